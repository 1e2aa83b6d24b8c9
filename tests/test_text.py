"""Where a phrase stands in a text, in any script and spelling."""

import unicodedata

import pytest

from ttom_cli.text import fold, occurrences


def parted(text):
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("red ball", "a Red ball, a red  ball", ["Red ball", "red  ball"]),
        ("cat", "a catalog and a cat", ["cat"]),
        ("re", "a red ball", []),
        ("cafe", "a café", []),
        ("girl", "1girl, solo", []),
        ("1girl", "masterpiece, 1girl, solo", ["1girl"]),
        ("红球", "一个红球向右滚动", ["红球"]),
        ("橘猫", "一只橘猫在公园里", ["橘猫"]),
        ("赤いボール", "赤いボールが右に転がる", ["赤いボール"]),
        ("ボール", "赤いﾎﾞｰﾙが", ["ﾎﾞｰﾙ"]),
        ("빨간 공", "빨간 공이 오른쪽으로", ["빨간 공"]),
        ("빨간 공", parted("빨간 공이"), [parted("빨간 공")]),
        (parted("빨간 공"), "빨간 공이", ["빨간 공"]),
        ("robot", "一个robot向右走", ["robot"]),
        ("แมว", "มีแมวสีส้มเดิน", ["แมว"]),
        ("कुत्ता", "एक कुत्ता दौड़ता है", ["कुत्ता"]),
        ("कुत्त", "एक कुत्ता दौड़ता है", []),
        ("красный мяч", "Красный мяч катится", ["Красный мяч"]),
        ("مكعب", "هذا مكعب أزرق", ["مكعب"]),
        ("café table", parted("a café table"), [parted("café table")]),
        (parted("café table"), "a café table", ["café table"]),
        ("man's hat", "a man’s hat", ["man’s hat"]),
        ('"red" ball', "a “red” ball", ["“red” ball"]),
        ("fire truck", "a ﬁre truck", ["ﬁre truck"]),
        ("ﬁre truck", "a fire truck", ["fire truck"]),
        ("red ball", "a ｒｅｄ　ｂａｌｌ", ["ｒｅｄ　ｂａｌｌ"]),
        ("red-ball machine", "a red‑ball machine", ["red‑ball machine"]),
        ("salt & pepper", "salt &amp; pepper, salt &amp;amp; pepper", ["salt &amp; pepper", "salt &amp;amp; pepper"]),
        ("salt &amp; pepper", "salt & pepper", ["salt & pepper"]),
        ("🐶", "a 🐶 runs", ["🐶"]),
        ("a.b", "a b axb", []),
        (" ", "a b", []),
    ],
)
def test_occurrences(phrase, text, found):
    assert [text[a:b] for a, b in occurrences(phrase, text)] == found


def test_folded_texts_are_alike():
    assert fold("  ａ “café”\n&amp; tea ") == fold(parted('a "café" & tea')) == 'a "café" & tea'
