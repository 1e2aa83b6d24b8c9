import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from ttom_cli.errors import TTOMError
from ttom_cli.outputs import SUFFIXES
from ttom_cli.video import CONTAINERS, read_frames, read_recipe, write_video

FRAMES = np.random.default_rng(0).integers(0, 255, (7, 1, 1, 3)).astype(np.uint8).repeat(48, 1).repeat(64, 2)
RECIPE = {"prompt": 'a "red" ball; = #1 \\ back\nline', "n": [1, 2.5], "text": "naïve 红球 \u2028 end"}


def test_recipe_round_trip(tmp_path):
    write_video(tmp_path / "a.mp4", FRAMES, fps=8, recipe=RECIPE)
    assert read_recipe(tmp_path / "a.mp4") == RECIPE
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_holds_a_long_recipe_and_the_frames(tmp_path, kind):
    recipe = RECIPE | {"losses": [[i / 7 for i in range(100)] for _ in range(200)]}
    path = write_video(tmp_path / f"a{kind.upper()}", FRAMES, fps=10, recipe=recipe)
    assert read_recipe(path, whole=True) == recipe
    back = read_frames(path)
    assert back.shape == FRAMES.shape and np.abs(back.astype(int) - FRAMES).mean() < 4
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(TTOMError, match="is damaged"):
        read_recipe(path, whole=True)


def test_every_suffix_that_an_output_may_have_is_written():
    assert (*CONTAINERS, ".png") == SUFFIXES  # a picture is written by itself


def test_what_stands_there_stays_unless_it_is_to_go(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("mine")
    assert write_video(path, FRAMES, fps=8) == tmp_path / "a-2.mp4" and path.read_text() == "mine"
    assert write_video(path, FRAMES, fps=8, overwrite=True) == path and read_frames(path).shape == FRAMES.shape


def test_it_is_h264_yuv420p_with_the_index_first(tmp_path):
    write_video(tmp_path / "a.mp4", FRAMES, fps=8, recipe=RECIPE)
    probe = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "a.mp4")], capture_output=True, text=True
    ).stderr
    assert "h264" in probe and "yuv420p" in probe and "64x48" in probe and "8 fps" in probe
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_frames_come_back_nearly_the_same(tmp_path):
    write_video(tmp_path / "a.mp4", FRAMES, fps=8)
    back = read_frames(tmp_path / "a.mp4")
    assert back.shape == FRAMES.shape
    assert np.abs(back.astype(int) - FRAMES).mean() < 4


def test_its_colours_are_said_and_are_those_of_the_frames(tmp_path):
    """Ten flat colours in stripes, whose middles no halved resolution of the colours blurs."""
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 128, 128], [255, 255, 0],
               [0, 255, 255], [255, 0, 255], [200, 100, 50]]  # fmt: skip
    frames = np.broadcast_to(np.array(colours, np.uint8).repeat(16, 0), (4, 64, 160, 3))
    write_video(tmp_path / "a.mp4", frames, fps=8)
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "a.mp4")], capture_output=True, text=True
    ).stderr
    assert "yuv420p(tv, bt709, progressive)" in said  # one name where matrix, primaries and transfer are the same
    middles = read_frames(tmp_path / "a.mp4")[:, 32, 8::16]
    assert np.abs(middles.astype(int) - colours).max() <= 3


def test_enlarging_and_odd_sizes(tmp_path):
    write_video(tmp_path / "a.mp4", FRAMES[:, :33, :21], fps=8, scale=3)
    assert read_frames(tmp_path / "a.mp4").shape == (7, 100, 64, 3)


def test_unwritable_place_and_files_without_a_recipe(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TTOMError, match="cannot write"):
        write_video(tmp_path / "file" / "a.mp4", FRAMES, fps=8)
    with pytest.raises(TTOMError, match="there is no file"):
        read_recipe(tmp_path / "none.mp4")
    with pytest.raises(TTOMError, match="carries no ttom recipe"):
        read_recipe(tmp_path / "file")
    write_video(tmp_path / "a.mp4", FRAMES, fps=8)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(TTOMError, match="ffmpeg could not write"):
        write_video(tmp_path / "a.mp4", FRAMES, fps=0)
    with pytest.raises(TTOMError, match="cannot write"):
        write_video(tmp_path / "a.avi", FRAMES, fps=8)
    with pytest.raises(TTOMError, match="no frames"):
        write_video(tmp_path / "a.mp4", FRAMES[:0], fps=8)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "file"]
