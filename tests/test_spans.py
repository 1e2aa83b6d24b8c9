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
