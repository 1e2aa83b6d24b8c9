"""Pictures in place of videos, by the command: PNG files that carry their recipe."""

from pathlib import Path

import families
import numpy as np
import pytest
from PIL import Image

from ttom_cli.cli import main
from ttom_cli.errors import TTOMError
from ttom_cli.video import read_recipe, write_video

SMALL = ["--size", "64x64", "--steps", "2", "--no-check", "--seed", "1", "--blocks", "1", "--no-memory"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen-image")
    families.build("qwen-image").save_pretrained(folder)
    return folder


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out.split(), " ".join(err.split())


def test_a_picture_is_guided_and_made_again_from_the_recipe_in_it(capsys, folder):
    asked = ["generate", "a red ball beside a blue cube", "--model", folder, *SMALL]
    code, (path,), err = run(capsys, *asked, "--iterations", "2", "--lr", "0.01")
    assert code == 0 and path == "videos/a-red-ball-beside-a-blue-cube-seed1.png", err
    recipe = read_recipe(Path(path), whole=True)
    assert Image.open(path).size == (64, 64) and recipe["sample"]["frames"] == 1
    assert recipe["losses"][0][1] < recipe["losses"][0][0]
    code, _, err = run(capsys, "generate", "--replay", path, "-y", "-o", "again.png")
    assert code == 0 and "the frames are the same" in err
    assert np.array_equal(Image.open("again.png"), Image.open(path))
    assert run(capsys, "show", path)[0] == 0
    code, _, err = run(capsys, *asked, "--iterations", "2", "--lr", "0.01", "--resume")
    assert code == 0 and "is there, and is left out" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-o", "a.mp4"], "neither a folder nor a picture: those are written as .png"),
        (["--frames", "5"], "cannot make 5 frames (it makes pictures: --frames 1)"),
        (["--set", "true_cfg_scale=3"], "--cfg does"),
    ],
)
def test_what_a_picture_cannot_be_is_one_clear_line(capsys, folder, more, said):
    code, out, err = run(capsys, "generate", "a red ball", "--model", folder, *SMALL, *more)
    assert code == 1 and not out and said in err


def test_videos_are_no_pictures(capsys, tmp_path):
    code, _, err = run(capsys, "generate", "a red ball", "-o", "a.png")
    assert code == 1 and "neither a folder nor a video" in err
    with pytest.raises(TTOMError, match="cannot write 3 frames"):
        write_video(tmp_path / "a.png", np.zeros((3, 8, 8, 3), np.uint8), fps=8)


def test_a_png_of_others_or_one_that_is_cut_has_no_recipe(tmp_path):
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    path = write_video(tmp_path / "a.png", frames, fps=1, recipe={"prompt": "ein roter Ball, größer"}, scale=2)
    assert read_recipe(path) == {"prompt": "ein roter Ball, größer"} and Image.open(path).size == (16, 16)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(path.read_bytes()[:-30])
    for name, said in (("b.png", "carries no ttom recipe"), ("c.png", "is damaged")):
        with pytest.raises(TTOMError, match=said):
            read_recipe(tmp_path / name, whole=True)
