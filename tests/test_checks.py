"""What every layout goes through: repairs, and agreement with the prompt."""

import io
import json
from pathlib import Path

import pytest

from ttom_cli.cli import main
from ttom_cli.errors import LayoutError
from ttom_cli.layout import layout_from_json
from ttom_cli.layout.imports import import_cache
from ttom_cli.planning.check import check

LOW, HIGH = [0.6, 0.6, 0.8, 0.8], [0.6, 0.1, 0.8, 0.3]
LEFT, RIGHT = [0.05, 0.4, 0.35, 0.7], [0.6, 0.4, 0.9, 0.7]


def made(prompt, *objects):
    """A layout; an object is its phrase and its boxes at equal times, or keyframes."""
    entries = []
    for phrase, *boxes in objects:
        if not isinstance(boxes[0], dict):
            boxes = [{"t": i / max(len(boxes) - 1, 1), "box": b} for i, b in enumerate(boxes)]
        entries.append({"phrase": phrase, "boxes": boxes})
    return layout_from_json({"prompt": prompt, "objects": entries})


@pytest.mark.parametrize(
    ("prompt", "objects", "fault"),
    [
        ("a red ball moves left", [("red ball", LEFT, RIGHT)], "'red ball' goes right, and the prompt says left"),
        ("a red ball moves left", [("red ball", LEFT)], "object 'red ball' stands still, and the prompt says left"),
        ("a kite climbs", [("kite", [0.4, 0.1, 0.6, 0.3], [0.4, 0.6, 0.6, 0.8])], "goes down, and the prompt says up"),
        ("a dog to the left of a cat", [("dog", RIGHT), ("cat", LEFT)], "'dog' is not left of 'cat'"),
        ("a lamp above a bench", [("lamp", LEFT), ("bench", [0.2, 0.1, 0.8, 0.4])], "not above 'bench'"),
        ("a cat inside a box", [("cat", RIGHT), ("box", LEFT)], "'cat' is not inside 'box'"),
        ("a cat between a dog and a cow", [("dog", LEFT), ("cow", [0.4, 0.4, 0.5, 0.7]), ("cat", [0.7, 0.1, 0.9, 0.3])],
         "'cat' is not between the others"),
        ("three dogs run", [("dogs", LEFT), ("dogs", RIGHT)], "the prompt has 3 'dogs', and the layout 2"),
        ("a dog and a cat", [("dog", LEFT), ("cat", LEFT)], "'dog_1' and 'cat_1' have the same boxes"),
        ("a dog", [("dog", {"t": 0, "box": LEFT}, {"t": 0.1, "box": RIGHT})], "leaps 0.55 of the frame"),
        ("a cat and a dog run to the left", [("cat", LEFT, RIGHT)], "'cat' goes right, and the prompt says left"),
    ],
)  # fmt: skip
def test_what_disagrees_is_a_fault(prompt, objects, fault):
    with pytest.raises(LayoutError) as caught:
        check(made(prompt, *objects))
    assert fault in caught.value.message


@pytest.mark.parametrize(
    ("prompt", "objects"),
    [
        ("a red ball rises while a blue ball moves right", [("blue ball", LEFT, RIGHT), ("red ball", LOW, HIGH)]),
        ("a boy looks up at the sky", [("boy", LEFT)]),
        ("a boy kicks a ball to the right", [("boy", LEFT), ("ball", LEFT, RIGHT)]),
        ("a car drives down the road", [("car", RIGHT, LEFT)]),
        ("a crane lifts a steel beam", [("crane", LEFT), ("steel beam", LOW, HIGH)]),
        ("several kites in the sky", [("kites", LEFT), ("kites", RIGHT)]),
        ("two dogs and a cat", [("cat", LEFT)]),
        ("a cat between two dogs", [("dogs", LEFT), ("dogs", RIGHT), ("cat", [0.4, 0.1, 0.5, 0.3])]),
        ("a cat inside a box", [("box", LEFT), ("cat", [0.1, 0.5, 0.2, 0.6])]),
        ("a dog behind a fence", [("dog", LEFT), ("fence", [0, 0.4, 0.9, 0.8])]),
        ("a red square and a red circle", [("red square", LEFT), ("red circle", RIGHT)]),
    ],
)  # fmt: skip
def test_what_agrees_passes_as_it_is(prompt, objects):
    layout = made(prompt, *objects)
    assert check(layout) == (layout, [])


def test_objects_are_there_from_the_first_frame_to_the_last():
    late = ({"t": 0.3, "box": LEFT}, {"t": 0.8, "box": RIGHT})
    layout, notes = check(made("a dog runs right", ("dog", *late)))
    assert [k.t for k in layout.objects[0].boxes] == [0, 0.3, 0.8, 1]
    assert notes == [
        "object 'dog' began at t=0.3, and now stands there from t=0",
        "object 'dog' ended at t=0.8, and now stands there to t=1",
    ]
    layout, notes = check(made("a dog appears, runs right and leaves", ("dog", *late)))
    assert [k.t for k in layout.objects[0].boxes] == [0.3, 0.8] and notes == []


def test_an_object_that_begins_outside_is_moved_in():
    layout, notes = check(made("a dog runs right", ("dog", [-0.4, 0.4, -0.1, 0.7], RIGHT)))
    assert layout.objects[0].boxes[0].box == (0, 0.4, 0.3, 0.7) and "moved to its edge" in notes[0]
    entering = made("a dog enters from the left", ("dog", [-0.4, 0.4, -0.1, 0.7], RIGHT))
    assert check(entering) == (entering, [])


def test_a_layout_file_is_checked_and_its_repairs_are_said(capsys):
    data = made("a dog runs right", ("dog", {"t": 0.3, "box": LEFT}, {"t": 1, "box": RIGHT})).to_json()
    Path("dog.json").write_text(json.dumps(data))
    assert main(["plan", "--layout", "dog.json", "a dog runs right"]) == 0
    out, err = capsys.readouterr()
    assert "note: object 'dog' began at t=0.3" in err
    assert json.loads(out)["objects"][0]["boxes"][0]["t"] == 0
    Path("dog.json").write_text(json.dumps(data | {"prompt": "a dog runs left"}))
    assert main(["plan", "--layout", "dog.json", "a dog runs left"]) == 1
    assert "goes right, and the prompt says left" in capsys.readouterr().err


def test_a_trusted_layout_is_taken_with_a_note(capsys):
    data = made("a dog runs left", ("dog", LEFT, RIGHT)).to_json()
    Path("dog.json").write_text(json.dumps(data))
    assert main(["plan", "--layout", "dog.json", "a dog runs left"]) == 1
    assert "--trust-layout" in capsys.readouterr().err
    assert main(["plan", "--layout", "dog.json", "a dog runs left", "--trust-layout"]) == 0
    out, err = capsys.readouterr()
    assert "note: object 'dog' goes right, and the prompt says left" in err and json.loads(out) == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000, "nested too deeply"),
        ('{"prompt": "a dog", "objects": 2020-99-99}', "neither JSON nor YAML"),
        ("prompt: 2020-99-99", "neither JSON nor YAML"),
        ('{"objects": [{"phrase": "dog", "boxes": [{"t": 0, "box": [0, 0, 1, 1' + "0" * 5000 + "]}]}]}", "error:"),
        ("{objects: [{phrase: dog, boxes: [{t: .nan, box: [0, 0, 0.5, 0.5]}]}]}", "times must be numbers from 0 to 1"),
        ("\xff\xfe", "error:"),
    ],
)
def test_files_that_are_no_layouts_are_said_in_a_line(capsys, text, said):
    Path("l.json").write_text(text, encoding="latin-1")
    assert main(["plan", "--layout", "l.json", "a dog"]) == 1
    out, err = capsys.readouterr()
    assert said in err and out == "" and len(err.strip().splitlines()) == 1


def test_json_is_read_as_json_and_escapes_do_not_get_out(capsys):
    """Tabs, surrogate pairs and a byte order mark are JSON's; control characters go."""
    text = json.dumps(made("a dog \N{DOG FACE} runs", ("dog", LEFT)).to_json(), indent="\t")
    Path("l.json").write_text("\ufeff" + text.replace("runs", "runs\\u001b[31m \\ud800"), encoding="utf-8")
    assert main(["plan", "--layout", "l.json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "a dog \N{DOG FACE} runs [31m"


@pytest.mark.parametrize("text", ["template: 5", "1: 2", "planner: [1]", "x: 2020-99-99", "- a", "llm-timeout: .inf"])
def test_configs_that_are_none_are_said_in_a_line(capsys, text):
    Path("c.yaml").write_text(text)
    assert main(["plan", "a dog", "--config", "c.yaml"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_one_bad_item_of_a_batch_does_not_end_it(capsys):
    Path("p.yaml").write_text("[{prompt: a hen, layout: 5}, {prompt: a cow, layout: none.json}, {prompt: a dog}]")
    assert main(["plan", "--prompts", "p.yaml", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["prompt"] == "a dog" and len(err.strip().splitlines()) == 2


@pytest.mark.parametrize(
    "args", [["a dog", "--preview", "x.jpg"], ["a dog", "--out", "x.yaml"], ["a dog", "--size", "0x0"],
             ["a dog", "--import", "a.json"]],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused_before_work(capsys, args):
    assert main(["plan", *args]) == (2 if "--size" in args else 1)
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1


# ---------------------------------------------------------------- the reference's caches


def frames(*boxes):
    return {str(i + 1): [{"id": 0, "name": "cat", "box": box}] for i, box in enumerate(boxes)}


SCHEMA_A = {
    "original_prompt": "A cat slinking to the left",
    "enriched_prompt": "A graceful Siamese cat slinks to the left across a room.",
    "objects": {
        "0": {"object_id": "0", "object": "cat", "object_phrases": ["A graceful Siamese cat"], "object_words": ["cat"]}
    },
    "layout_with_reasoning": "...",
    "layout": {"frames": frames(*([600 - 100 * i, 240, 120, 120] for i in range(6))), "background": "room"},
}
SCHEMA_B = {
    "prompt": "two dogs sit in a park",
    "objects": {"0": {"name": "dogs"}},
    "layout": {
        "reasoning": "...",
        "frames": {
            str(k): [{"id": i, "name": "dogs", "box": [40 + 400 * i, 200, 300, 200]} for i in range(2)] for k in (1, 2)
        },
    },
}


def test_schema_a_is_relative_to_720_by_480():
    Path("a.json").write_text(json.dumps({"0": SCHEMA_A, "1": {"layout": {"frames": {}}}, "2": {"oops": 1}}))
    found = import_cache(Path("a.json"))
    (layout,) = found.layouts.values()
    assert layout.prompt == "A cat slinking to the left" and layout.background == "room"
    (cat,) = layout.objects
    assert cat.phrase == "A graceful Siamese cat" and cat.direction == "left"
    assert cat.boxes[0].box == pytest.approx((600 / 720, 0.5, 1.0, 0.75), abs=1e-4)
    assert [k.t for k in cat.boxes] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert set(found.faults) == {"1", "2"}


def test_schema_b_has_an_object_for_each_box():
    wide = json.loads(json.dumps(SCHEMA_B))
    for boxes in wide["layout"]["frames"].values():
        boxes[1]["box"][0] = 520  # ends at 820: beyond 720, so the canvas is 832 wide
    Path("b.json").write_text(json.dumps({"1": wide}))
    (layout,) = import_cache(Path("b.json")).layouts.values()
    assert [(t.id, t.phrase) for t in layout.objects] == [("dogs_1", "dogs"), ("dogs_2", "dogs")]
    assert layout.objects[1].boxes[0].box == pytest.approx((520 / 832, 200 / 480, 820 / 832, 400 / 480), abs=1e-4)
    assert len(layout.objects[0].boxes) == 1  # it never moves


def test_import_lists_what_it_skips(capsys):
    Path("a.json").write_text(json.dumps({"0": SCHEMA_A, "7": {"oops": 1}}))
    assert main(["plan", "--import", "a.json", "--out", "layouts"]) == 0
    out, err = capsys.readouterr()
    assert "entry 7 is skipped" in err and "1 of 2 layouts imported" in err
    assert json.loads(Path(out.strip()).read_text())["objects"][0]["word"] == "cat"
    Path("a.json").write_text("[1]")
    assert main(["plan", "--import", "a.json"]) == 1
    assert "no layout cache" in capsys.readouterr().err


# ---------------------------------------------------------------- ttom plan


def test_batches_go_to_files(capsys):
    Path("p.txt").write_text("a dog runs left\na dog runs left\n!!\n")
    assert main(["plan", "--prompts", "p.txt", "--out", "layouts"]) == 1
    out, err = capsys.readouterr()
    assert out.split() == ["layouts/a-dog-runs-left.json", "layouts/a-dog-runs-left-2.json"]
    assert "finds no object" in err


@pytest.mark.parametrize(("script", "code"), [("s/left/right/g", 1), ("s/0.0,/0.0 ,/", 0)])
def test_an_edit_is_checked_when_the_editor_closes(monkeypatch, capsys, script, code):
    monkeypatch.setenv("EDITOR", f"sed -i '{script}'")
    monkeypatch.delenv("VISUAL", raising=False)
    assert main(["plan", "a dog runs left", "--edit", "--out", "dog.json"]) == code
    err = capsys.readouterr().err
    if code:  # the prompt now says right; what was edited is not lost
        kept = Path(err.split("kept in ")[1].split(")")[0])
        assert "goes left, and the prompt says right" in err and "runs right" in kept.read_text()
        kept.unlink()
    else:
        assert json.loads(Path("dog.json").read_text())["prompt"] == "a dog runs left"


def test_an_edit_is_not_lost_where_it_cannot_be_written(monkeypatch, capsys):
    monkeypatch.setenv("EDITOR", "sed -i s/0.0,/0.01,/")
    monkeypatch.delenv("VISUAL", raising=False)
    Path("file").write_text("")
    assert main(["plan", "a dog runs left", "--edit", "--out", "file/dog.json"]) == 1
    kept = Path(capsys.readouterr().err.split("kept in ")[1].split(")")[0])
    assert json.loads(kept.read_text())["prompt"] == "a dog runs left"
    kept.unlink()


def test_an_editor_that_fails_is_said(monkeypatch, capsys):
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.delenv("VISUAL", raising=False)
    assert main(["plan", "a dog runs left", "--edit"]) == 1
    assert "the editor failed" in capsys.readouterr().err


def test_the_terminal_gets_a_drawing():
    from rich.console import Console

    from ttom_cli.layout.show import show
    from ttom_cli.planning import make_planner

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(show(make_planner().plan("a [red] ball rolls right while a blue cube rises")))
    text = console.export_text()
    assert "→ right" in text and "↑ up" in text and "┏A━" in text and "━B━" in text


def test_bench_plan_judges_by_metadata(capsys):
    Path("bench").mkdir()
    entries = [
        {"prompt": "A dog runs left", "object_1": name, "d_1": "left", "object_2": "", "d_2": ""}
        for name in ("dog", "horse")
    ]
    Path("bench/motion_binding.json").write_text(json.dumps(entries))
    assert main(["bench", "plan", "bench", "--wrong", "--json"]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)[0]["rows"]
    assert row.items() >= {"name": "motion binding", "prompts": 2, "right": 0.5, "wrong": 0.5, "unsure": 0}.items()
    assert "no track for 'horse'" in err
    assert main(["bench", "plan", "nowhere"]) == 1


def test_bench_plan_judges_vbench_and_answers(capsys):
    pair = {"object_a": "cup", "object_b": "skis", "relationship": "on the bottom of"}
    entries = [
        {"prompt_en": "a cup on the bottom of skis, front view", "dimension": ["spatial_relationship"],
         "auxiliary_info": {"spatial_relationship": {"spatial_relationship": pair}}},
        {"prompt_en": "skis and a cup", "dimension": ["multiple_objects"],
         "auxiliary_info": {"multiple_objects": {"object": "skis and cup"}}},
        {"prompt_en": "a cup", "dimension": ["color"], "auxiliary_info": {}},
    ]  # fmt: skip
    Path("VBench.json").write_text(json.dumps(entries))
    answers = [
        {"prompt": "Make the dog run to the left, please.", "objects": {"dog": "left"}},
        {"prompt": "a dog and a ktten", "objects": {"dog": "", "kitten": ""}},
        {"prompt": "slowly", "unsure": True, "held": True},
        {"prompt": "two dogs", "objects": {"dog": "x3"}},
        {"prompt": "a dog", "objects": {"cat": ""}},
    ]
    Path("own.yaml").write_text(json.dumps(answers))
    assert main(["bench", "plan", "VBench.json", "--json"]) == 0
    assert [row["right"] for row in json.loads(capsys.readouterr().out)[0]["rows"]] == [1, 1]
    assert main(["bench", "plan", "own.yaml", "--json"]) == 0
    first, held = json.loads(capsys.readouterr().out)[0]["rows"]
    assert [first[k] for k in ("right", "partly", "unsure", "wrong", "nonsense")] == [0.25] * 2 + [0] + [0.25] * 2
    assert held["unsure"] == 1
