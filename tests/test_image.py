"""Videos that start from a picture, by the command: its picture is read, refused, kept in the recipe."""

import json
from pathlib import Path

import families
import numpy as np
import pytest
from PIL import Image, ImageDraw

from ttom_cli.cli import main
from ttom_cli.errors import TTOMError
from ttom_cli.pictures import read_picture
from ttom_cli.video import read_frames, read_recipe

SMALL = ["--size", "64x64", "--frames", "5", "--steps", "1", "--guide", "off", "--no-check", "--seed", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan-image")
    families.build("wan2.2-i2v-a14b").save_pretrained(folder)
    return folder


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out.split(), err


def painted(name, colour="red", size=(80, 60)) -> Path:
    """A picture with a bar on its left."""
    made = Image.new("RGB", size, "white")
    ImageDraw.Draw(made).rectangle((0, 0, size[0] // 2, size[1]), colour)
    made.save(name)
    return Path(name)


def test_a_prompt_file_s_pictures_make_the_videos_and_a_replay_holds_against_the_picture(capsys, folder):
    painted("a.png")
    painted("b.jpg", "blue")
    Path("two.yaml").write_text("- {prompt: a red ball, image: a.png}\n- {prompt: a red ball, image: b.jpg}\n")
    code, (one, two), err = run(capsys, "generate", "--prompts", "two.yaml", "--model", folder, *SMALL)
    assert code == 0, err
    assert not np.array_equal(read_frames(Path(one)), read_frames(Path(two)))
    recipe = read_recipe(Path(one))
    assert recipe["sample"]["image"] == str(Path("a.png").absolute()) and len(recipe["image_sha256"]) == 64
    code, _, err = run(capsys, "generate", "--replay", one, "-y", "-o", "again.mp4")
    assert code == 0 and "the frames are the same" in err
    painted("a.png", "green")
    code, out, err = run(capsys, "generate", "--replay", one, "-y", "-o", "changed.mp4")
    assert code == 1 and not out and "a.png is not the one that the video started from" in " ".join(err.split())


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ([], "the model makes videos of a picture and a prompt"),
        (["--image", "none.png"], "there is no file"),
        (["--image", "text.png"], "is no picture"),
        (["--image", "cut.png"], "cannot be read"),
        (["--image", "."], "there is no file"),
        (["--image", "a.png", "--set", "image=3"], "--set cannot set image"),
    ],
)
def test_a_bad_picture_is_one_clear_line(capsys, folder, image, said):
    Path("text.png").write_text("no picture")
    Path("cut.png").write_bytes(painted("a.png").read_bytes()[:100])
    code, out, err = run(capsys, "generate", "a red ball", "--model", folder, *SMALL, *image)
    assert code == 1 and not out and said in " ".join(err.split()) and "Traceback" not in err


def test_a_picture_for_a_model_of_text_alone_is_refused(capsys):
    painted("a.png")
    code, _, err = run(capsys, "generate", "a red ball", "--image", "a.png")
    assert code == 1 and "the model makes videos of text alone" in " ".join(err.split())


def test_a_picture_is_upright_its_middle_of_the_video_s_shape(monkeypatch):
    made = Image.open(painted("wide.png", size=(120, 60)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the bar is on top
    made.save("turned.jpg", exif=exif, quality=95)
    cut = np.asarray(read_picture("turned.jpg", (60, 60)))
    assert cut.shape == (60, 60, 3) and cut[5, :, 1].max() < 60 and cut[-5, :, 1].min() > 200
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(TTOMError, match="megapixels"):
        read_picture("wide.png", (60, 60))


def test_what_is_learnt_of_a_picture_is_kept_with_it(capsys, folder):
    """The same prompt with the same picture meets the adapter, with another it does not."""
    painted("a.png")
    painted("b.png", "blue")
    small = [arg for arg in SMALL if arg not in ("--guide", "off")]
    guided = ["--blocks", "1", "--rank", "2", "--iterations", "1", "--guided-steps", "1", "--bank", "bank", "--json"]
    asked = ["generate", "a red ball rolls to the right", "--model", folder, *small, *guided, "--image"]
    seen = []
    for picture in ("a.png", "a.png", "b.png"):
        assert main([str(a) for a in (*asked, picture)]) == 0
        seen.append(json.loads(capsys.readouterr().out)["memory"])
    assert [memory["outcome"] for memory in seen] == ["miss", "hit", "miss"]
    painted("c.png", "green")
    kept = [arg for arg in small if arg not in ("--no-check", "--seed", "1")]
    search = ["memory", "search", asked[1], "--model", folder, *kept, "1", *guided, "--image"]
    for picture, hit in (("a.png", seen[0]["entry"]), ("b.png", seen[2]["entry"]), ("c.png", None)):
        assert main([str(a) for a in (*search, picture)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [c["id"] for c in found if c["hit"]] == [hit] * bool(hit), "what generate would hit"
    assert all("made with image " in " ".join(c["reasons"]) for c in found)
    code, _, err = run(capsys, "memory", "update", seen[0]["entry"], "--optimise", "--bank", "bank")
    assert code == 1 and "was learnt from a picture" in " ".join(err.split())
