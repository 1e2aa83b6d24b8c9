"""Recipes in videos that may be anyone's: what one may ask for is bounded, and its faults are one line each."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from ttom_cli.catalog import CARDS
from ttom_cli.cli import main
from ttom_cli.commands import show
from ttom_cli.config import GuideConfig, LoadConfig, SampleConfig
from ttom_cli.errors import TTOMError
from ttom_cli.layout import Layout
from ttom_cli.options import options_of
from ttom_cli.recipe import brings_in, recipe_schema, replay_job
from ttom_cli.video import write_video

FRAMES = np.zeros((3, 16, 16, 3), np.uint8)


def a_recipe(**more) -> dict:
    """One as ttom writes it, without objects, but for what is said otherwise: a name's parts are joined by __."""
    card = CARDS["shapes"]
    recipe = {
        "ttom": "0.9", "model": "shapes", "prompt": "a dog", "layout": Layout(prompt="a dog", objects=()).to_json(),
        "planner": "rules", "seed": 3, "scheduler": "UniPC", "sample": asdict(card.sample),
        "guide": asdict(card.guide) | {"mode": "off"}, "memory": {"outcome": "off"}, "on_hit": "skip", "losses": [],
        "check": None, "tries": 1, "load": asdict(LoadConfig()), "versions": {"torch": "2"}, "frames_sha256": "0" * 64,
    }  # fmt: skip
    for name, value in more.items():
        *path, last = name.split("__")
        part = recipe
        for step in path:
            part = part[step]
        part[last] = value
    return json.loads(json.dumps(recipe))


def test_what_ttom_writes_is_within_the_bounds():
    for card in CARDS.values():
        replay_job(a_recipe(sample=asdict(card.sample), guide=asdict(card.guide)), Path("a.mp4"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sample__steps": 10**9}, "sample.steps is 1000000000, and 1000 is the most"),
        ({"sample__frames": 10**30}, "sample.frames is 1000"),
        ({"sample__height": 64.0}, "height must be a whole number of at least 1, not 64.0"),
        ({"sample__width": "64"}, "sample.width must be a whole number, not '64'"),
        ({"sample__height": 4096, "sample__width": 4096, "sample__frames": 1000}, "asks for 268,435 megapixels"),
        ({"sample__guidance_scale": 10**400}, "cfg must be a number, not a number of 401 digits"),
        ({"sample__negative_prompt": "x" * 4097}, "sample.negative_prompt has 4097 characters, and 4096 are the most"),
        ({"sample__more": {"latents": [[1]]}}, "sample.more.latents[0] must be a number, not [1]"),
        ({"sample__prompt": 1}, "has settings that this ttom has not: prompt"),
        ({"guide__iterations": 10**6}, "guide.iterations is 1000000, and"),
        ({"guide__consolidate": 10**6}, "guide.consolidate is 1000000, and"),
        ({"guide__blocks": list(range(101))}, "guide.blocks has 101 entries, and 100 are the most"),
        ({"guide__blocks": [-1]}, "guide.blocks[0] is -1, and 0 is the least"),
        ({"guide__lr": "fast"}, "lr must be a number above 0, not 'fast'"),
        ({"guide": []}, "guide must be an object, not []"),
        ({"tries": 10**6}, "tries is 1000000, and"),
        ({"seed": 2**70}, "seed must be a whole number of 64 bits"),
        ({"seed": None}, "seed must be a whole number, not null"),
        ({"model": "a\0b"}, "model is not what it must be: 'a\\x00b' does not match"),
        ({"model": ["shapes"]}, "model must be a text, not ['shapes']"),
        ({"memory": "hit"}, "memory must be an object, not 'hit'"),
        ({"memory": {"outcome": "hit", "entry": {}}}, "memory.entry is not what it must be: {} is not valid"),
        ({"memory": {"outcome": "hit"}}, "cannot be replayed: it has no 'entry'"),
        ({"layout__objects": [{"phrase": "cat"}]}, "has no 'boxes'"),
        ({"layout__objects": [{}] * 99}, "layout.objects has 99 entries, and 16 are the most"),
        ({"layout": None}, "layout must be an object, not null"),
        ({"on_hit": "explode"}, "unknown on-hit 'explode'"),
        ({"load__device": 5}, "device must be text, not 5"),
        ({"load__shell": "rm"}, "has settings that this ttom has not: shell"),
    ],
)
def test_recipes_that_ask_for_what_no_video_needs(more, said):
    with pytest.raises(TTOMError) as caught:
        replay_job(a_recipe(**more), Path("a.mp4"))
    assert said in caught.value.message and "\n" not in caught.value.message and len(caught.value.message) < 400


CHECK = {
    "detector": "shapes", "passed": False, "score": 0.5, "iou": 0.25, "faults": ["blue cube: not seen"], "remarks": [],
    "objects": [{"phrase": "red ball", "frames": 12, "of": 13, "iou": 0.5}],
}  # fmt: skip


@pytest.mark.parametrize("width", [60, 120])
def test_show_tells_how_a_video_was_made(capsys, monkeypatch, layout, width):
    monkeypatch.setattr(show, "PIPED", width)
    recipe = a_recipe(layout=layout.to_json(), check=CHECK, tries=2, losses=[[0.5, 0.25]], prompt=layout.prompt)
    recipe["memory"] = {"outcome": "hit", "entry": "abc", "action": "skip", "sha256": "0"}
    write_video(Path("a.mp4"), FRAMES, fps=8, recipe=recipe)
    assert main(["show", "a.mp4"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and max(map(len, out.splitlines())) <= width
    assert out.startswith(layout.prompt) and "┏" in out and "0.00 0.00 0.40 0.40  0.60" in out
    words = " ".join(out.split())
    for said in (
        "model shapes seed 3 planner rules", "size 64x64, frames 13, fps 8, steps 25, cfg 4", "blocks 3,5,",
        "memory hit abc skip", "loss 0.500 → 0.250", "check did not pass: score 0.50, IoU 0.25 (shapes, of 2 tries)",
        "red ball: seen in 12 of 13 frames, IoU 0.50", "blue cube: not seen", "made by ttom 0.9, torch 2",
    ):  # fmt: skip
        assert said in words, said
    assert main(["show", "a.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == recipe


def test_show_tells_what_there_is(capsys):
    assert main(["plan", "a red ball rolls right", "--preview", "p.mp4"]) == 0
    write_video(Path("c.mp4"), FRAMES, fps=8, recipe={"prompt": "a \x1b[31mred ball"})
    write_video(Path("d.mp4"), FRAMES, fps=8, recipe=a_recipe(sample__new=1, check={"passed": 1}))
    capsys.readouterr()
    assert main(["show", "p.mp4"]) == 0
    assert "red ball" in capsys.readouterr().out
    assert main(["show", "c.mp4"]) == 0
    assert capsys.readouterr().out.strip() == "a [31mred ball"
    assert main(["show", "d.mp4"]) == 1
    assert "check has no 'score'" in capsys.readouterr().err
    Path("e.mp4").write_text("no video")
    for path, said in (
        ("e.mp4", "carries no ttom recipe"),
        (".", ". is a folder"),
        ("/dev/null", "/dev/null is no file"),
        ("none", "there is no file"),
    ):
        assert main(["show", path]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and said in err


def test_another_model_is_asked_for_first(capsys, monkeypatch):
    """Without a terminal there is nobody to ask; the names are not even looked up."""
    from ttom_cli.runtime import Runtime

    monkeypatch.setattr(Runtime, "open", lambda *_, **__: pytest.fail("the model was loaded"))
    for more, what in (
        ({"model": "someone/else"}, "the model someone/else"),
        ({"model": "wan2.1-14b"}, "the model wan2.1-14b"),
        ({"model": str(Path(CARDS["shapes"].source))}, "the model /"),
        ({"load__attention_backend": "flash_hub"}, "the attention backend flash_hub"),
    ):
        write_video(Path("a.mp4"), FRAMES, fps=8, recipe=a_recipe(**more), overwrite=True)
        assert main(["generate", "--replay", "a.mp4"]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and f"the recipe in a.mp4 asks for {what}" in err and "--yes" in err
    assert brings_in(a_recipe()) == ""


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("[" * 5000, "the recipe in a.mp4 is nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "the recipe in a.mp4 is nested too deeply"),
        ('{"seed": NaN}', "carries no ttom recipe"),
        ('{"seed": 1e999}', "carries no ttom recipe"),
        ('{"seed": ' + "9" * 5000 + "}", "carries no ttom recipe"),
        ("[1]", "carries no ttom recipe"),
        ("made by hand", "carries no ttom recipe"),
        ('{"seed": 1}', "cannot be replayed: it has no 'memory'"),
    ],
)
@pytest.mark.parametrize("command", [["generate", "--replay"], ["show"]])
def test_comments_that_are_no_recipe(capsys, command, comment, said):
    write_video(Path("b.mp4"), FRAMES, fps=8)
    notes = ["-metadata", f"comment={comment}"]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "b.mp4", "-c", "copy", *notes, "a.mp4"])
    code = main([*command, "a.mp4"])
    out, err = capsys.readouterr()
    if command == ["show"] and "cannot be replayed" in said:
        assert code == 0
    else:
        assert code == 1 and out == "" and err.count("\n") == 1 and said in err, err


def test_files_beside_videos_are_no_videos(capsys):
    for recipe, said in (
        ({"prompt": "a red ball", "compares": "a.mp4"}, "compares two videos, and is none itself (replay a.mp4)"),
        ({"prompt": "a red ball", "layout": {}}, "is a drawing of a layout, and no video"),
    ):
        write_video(Path("b.mp4"), FRAMES, fps=8, recipe=recipe, overwrite=True)
        assert main(["generate", "--replay", "b.mp4"]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and said in err, err


def test_a_replay_leaves_a_file_of_options_alone_and_says_so(capsys):
    write_video(Path("a.mp4"), FRAMES, fps=8, recipe=a_recipe())
    Path("o.yaml").write_text("steps: 3\ndtype: float64\n")
    assert main(["generate", "--replay", "a.mp4", "--no-check"]) == 1
    assert "as it was made, without --no-check (leave --no-check out)" in capsys.readouterr().err
    Path("o.yaml").write_text("steps: 3\nout: a.mp4\n")
    assert main(["generate", "--replay", "a.mp4", "--config", "o.yaml"]) == 1
    assert "note: o.yaml: a replay makes the video as it was made, without steps of here" in capsys.readouterr().err


def test_a_comparison_says_whose_it_is(capsys):
    write_video(Path("b.mp4"), FRAMES, fps=8, recipe={"prompt": "a red ball", "compares": "a.mp4"})
    assert main(["show", "b.mp4"]) == 0
    out = capsys.readouterr().out
    assert "a red ball" in out and "a.mp4, whose recipe says more" in out


def test_a_recipe_may_ask_for_all_that_options_allow():
    properties = recipe_schema()["properties"]
    for name, kind in (("sample", SampleConfig), ("guide", GuideConfig)):
        bounds = properties[name]["properties"]
        for option in options_of(kind):
            if option.kind is int and option.field in bounds and "maximum" in bounds[option.field]:
                assert bounds[option.field]["maximum"] >= option.most, option.name
