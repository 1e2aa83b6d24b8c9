import copy
import json

import jsonschema
import pytest

from ttom_cli.errors import LayoutError, TTOMError
from ttom_cli.layout import layout_from_json, read_layout
from ttom_cli.layout.draw import draw_boxes, preview
from ttom_cli.layout.model import iou
from ttom_cli.layout.parse import layout_schema

GOOD = {
    "prompt": "a red ball and a dog",
    "objects": [
        {"phrase": "red ball", "boxes": [{"t": 0.2, "box": [0, 0, 0.5, 0.5]}, {"t": 0.8, "box": [0.5, 0.5, 1, 1]}]},
        {"phrase": "dog", "boxes": [{"t": 0, "box": [0.1, 0.1, 0.3, 0.3]}]},
    ],
}


def changed(**edits):
    """GOOD with the first object's fields replaced; `box` replaces its first box."""
    data = copy.deepcopy(GOOD)
    if "box" in edits:
        data["objects"][0]["boxes"][0]["box"] = edits.pop("box")
    data["objects"][0].update(edits)
    return data


def test_boxes_are_linear_between_keyframes_and_absent_outside_them():
    ball, dog = layout_from_json(GOOD).objects
    assert ball.box_at(0.5) == pytest.approx((0.25, 0.25, 0.75, 0.75))
    assert ball.box_at(0.2) == pytest.approx((0, 0, 0.5, 0.5))
    assert ball.box_at(0.1) is None and ball.box_at(0.9) is None
    assert dog.box_at(0) == dog.box_at(1) == (0.1, 0.1, 0.3, 0.3)


def test_json_round_trip_and_defaults():
    layout = layout_from_json(GOOD)
    assert [t.id for t in layout.objects] == ["ball_1", "dog_1"]
    assert layout.objects[0].word == "ball"
    data = layout.to_json()
    jsonschema.validate(data, layout_schema())
    assert list(data) == ["prompt", "enriched_prompt", "objects", "background", "camera", "scene"]
    assert layout_from_json(json.loads(json.dumps(data))) == layout


def test_directions():
    ball, dog = layout_from_json(
        changed(boxes=[{"t": 0, "box": [0.5, 0, 0.7, 0.2]}, {"t": 1, "box": [0, 0.1, 0.2, 0.3]}])
    ).objects
    assert (ball.direction, dog.direction) == ("left", None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(phrase="green ball"), "object 'green ball': the phrase does not stand in the prompt"),
        (changed(phrase="re"), "object 're': the phrase does not stand in the prompt"),
        (changed(word="cube"), "object 'red ball': the word 'cube' is not part of the phrase"),
        (changed(box=[0.5, 0, 0.4, 0.5]), "object 'red ball' at t=0.2: box [0.5, 0.0, 0.4, 0.5] is not [left, top"),
        (changed(box=[0, 0, 0.01, 0.5]), "box [0.0, 0.0, 0.01, 0.5] is smaller than 0.02"),
        (changed(box=[-1, 0, 1, 0.5]), "is larger than 1.5"),
        (changed(box=[0, 0, 7, 0.5]), "object 'red ball': boxes[0].box[2] is 7, and 2 is the most"),
        (changed(box=[0, 0, "x", 0.5]), "boxes[0].box[2] must be a number, not 'x'"),
        (changed(box=[0, 0, float("nan"), 0.5]), "holds a number that is not finite"),
        (changed(box=[0, 0, 0.5]), "boxes[0].box has 3 entries, and 4 are the least"),
        (changed(boxes=[]), "object 'red ball': boxes"),
        (changed(boxes=[{"t": 0.5, "box": [0, 0, 1, 1]}, {"t": 0.5, "box": [0, 0, 1, 1]}]), "not in ascending order"),
        (changed(boxes=[{"t": 0, "box": [1.2, 0, 1.6, 0.4]}]), "it never touches the frame"),
        (changed(colour="red"), "has 'colour', which is no name of it"),
        (changed(id="dog_1"), "object id 'dog_1' is used 2 times"),
        ({**GOOD, "objects": []}, "objects"),
        ({"prompt": "a"}, "it has no 'objects'"),
        ([], "it must be an object, not []"),
        (None, "it must be an object, not null"),
    ],
)
def test_faults_name_the_object_and_the_value(data, message):
    with pytest.raises(LayoutError) as caught:
        layout_from_json(data)
    assert message in caught.value.message


def test_all_faults_are_told_at_once():
    data = changed(phrase="cow")
    data["objects"][1]["boxes"][0]["box"] = [0.5, 0.5, 0.4, 0.4]
    with pytest.raises(LayoutError) as caught:
        layout_from_json(data)
    assert len(caught.value.faults) == 2


def test_a_layout_for_another_prompt_is_refused():
    with pytest.raises(LayoutError, match="is not the prompt given"):
        layout_from_json(GOOD, prompt="a red ball and a dog in a park")


def test_files_in_json_and_yaml(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    (tmp_path / "a.yaml").write_text(
        "prompt: a dog\nobjects:\n  - phrase: dog\n    boxes:\n      - {t: 0, box: [0.1, 0.1, 0.5, 0.5]}\n"
    )
    assert read_layout(tmp_path / "a.json") == layout_from_json(GOOD)
    assert read_layout(tmp_path / "a.yaml").objects[0].phrase == "dog"
    (tmp_path / "bad.yaml").write_text("{[")
    with pytest.raises(TTOMError, match="neither JSON nor YAML"):
        read_layout(tmp_path / "bad.yaml")
    with pytest.raises(TTOMError, match=r"cannot read .*none\.json"):
        read_layout(tmp_path / "none.json")


def test_iou_by_hand():
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0


def test_drawing_puts_boxes_where_they_are(tmp_path):
    import numpy as np

    layout = layout_from_json(GOOD)
    frames = np.zeros((3, 100, 100, 3), np.uint8)
    drawn = draw_boxes(frames, layout)
    assert drawn[0][10, 10:30].any() and not drawn[0][50, 50].any()  # the dog's upper edge; the ball not yet
    assert drawn[1][25, 30:70].any()  # the ball's upper edge in the middle of its path
    for name in ("a.png", "a.gif", "a.mp4"):
        preview(layout, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 500
    with pytest.raises(TTOMError, match="cannot draw a preview as"):
        preview(layout, tmp_path / "a.txt")
