import pytest

from ttom_cli.errors import LayoutError
from ttom_cli.guidance.spans import phrase_spans
from ttom_cli.layout import layout_from_json
from ttom_cli.shapes.networks import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def spans(tokenizer, prompt, phrases, max_length=64):
    boxes = [{"t": 0, "box": [0, 0, 0.5, 0.5]}]
    layout = layout_from_json({"prompt": prompt, "objects": [{"phrase": p, "boxes": boxes} for p in phrases]})
    encoded = tokenizer(prompt, return_offsets_mapping=True, truncation=True, max_length=max_length)
    return phrase_spans(layout, prompt, encoded["offset_mapping"])


def test_spans_are_the_phrase_s_tokens(tokenizer):
    prompt = "a Red ball rolls right while a zebra rises"
    tokens = tokenizer.tokenize(prompt)
    red, zebra = spans(tokenizer, prompt, ["red ball", "zebra"])
    assert [tokens[i] for i in red] == ["red", "ball"]
    assert "".join(tokens[i].removeprefix("##") for i in zebra) == "zebra"


def test_a_phrase_that_stands_twice_for_two_objects_is_dealt_out_in_order(tokenizer):
    prompt = "a red ball rolls right and a red ball rises"
    assert spans(tokenizer, prompt, ["red ball", "red ball"]) == [(1, 2), (7, 8)]
    assert spans(tokenizer, prompt, ["red ball"]) == [(1, 2, 7, 8)]


def test_objects_of_one_phrase_share_it(tokenizer):
    assert spans(tokenizer, "three red balls", ["red balls"] * 3) == [(1, 2)] * 3


def test_words_are_matched_whole(tokenizer):
    assert spans(tokenizer, "a catalog and a cat", ["cat"])[0][0] > 3


def test_a_phrase_beyond_what_the_model_reads_is_an_error(tokenizer):
    with pytest.raises(LayoutError, match="beyond the 4 tokens"):
        spans(tokenizer, "a red ball and a blue cube", ["blue cube"], max_length=4)


def test_a_phrase_that_recurs_beyond_what_is_read_is_used_where_it_is_read(tokenizer):
    prompt = "a red ball and a blue cube and a red ball"
    assert spans(tokenizer, prompt, ["red ball"], max_length=7) == [(1, 2)]
    assert spans(tokenizer, prompt, ["red ball", "red ball"], max_length=7) == [(1, 2), (1, 2)]


def test_what_stands_in_the_phrase_of_another_object_is_that_one_s(tokenizer):
    prompt = "a ball and a red ball"
    assert spans(tokenizer, prompt, ["ball", "red ball"]) == [(1,), (4, 5)]
    assert spans(tokenizer, "a red ball", ["ball", "red ball"]) == [(2,), (1, 2)]


def letters(text):
    """A token for each character."""
    return [(i, i + 1) for i in range(len(text))]


@pytest.mark.parametrize(
    ("phrases", "text", "found"),
    [
        (["红球"], "一个红球向右滚动", ["红球"]),
        (["球", "红球"], "一个红球追一个球", ["球", "红球"]),
        (["man's hat"], "a man’s hat", ["man’s hat"]),
        (["man’s hat"], "a man's hat", ["man's hat"]),
        (["black &amp; white cat"], "a black & white cat", ["black & white cat"]),
        (["red ball"], "a ｒｅｄ　ｂａｌｌ", ["ｒｅｄ　ｂａｌｌ"]),
    ],
)
def test_spans_in_other_scripts_and_spellings(phrases, text, found):
    """The tokenizer's text may be cleaned by the pipeline, or not."""
    box = [{"t": 0, "box": [0, 0, 0.5, 0.5]}]
    layout = layout_from_json({"prompt": text, "objects": [{"phrase": p, "boxes": box} for p in phrases]})
    assert ["".join(text[i] for i in span) for span in phrase_spans(layout, text, letters(text))] == found


def test_the_noun_is_taken_where_the_enriched_prompt_has_another_phrase():
    text = "a shiny scarlet ball rolls"
    box = [{"t": 0, "box": [0, 0, 0.5, 0.5]}]
    layout = layout_from_json(
        {"prompt": "a red ball rolls", "enriched_prompt": text, "objects": [{"phrase": "red ball", "boxes": box}]}
    )
    (span,) = phrase_spans(layout, layout.text, letters(text))
    assert "".join(text[i] for i in span) == "ball"
