"""MP4 files that carry the recipe they were made from.

H.264, yuv420p, playable in browsers; the recipe is JSON in the container's `comment`, the prompt its
`title`. Frames are (F, H, W, 3) uint8.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from .errors import TTOMError
from .files import LONGEST, parse_json, to_json

CRF = 12
COLOURS = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"  # as players take a video to be, and said
SLOWEST = 60  # seconds that a file's metadata may take


def prepare_place(path: Path, option: str = "--out") -> None:
    """Make the folder of a file that is to be written. Raises TTOMError where that, or writing there, cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise TTOMError(f"cannot write to {path.parent}: {reason}", f"choose another place with {option}") from None


@cache
def find_ffmpeg() -> str:
    """The ffmpeg that writes and reads the videos. Raises TTOMError where there is none that runs."""
    import imageio_ffmpeg

    try:
        path = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([path, "-version"], capture_output=True, check=True)
    except (RuntimeError, OSError, subprocess.CalledProcessError):
        raise TTOMError(
            "there is no ffmpeg that runs",
            "reinstall imageio-ffmpeg, which brings one, or name one in IMAGEIO_FFMPEG_EXE",
        ) from None
    return path


def write_mp4(path: Path, frames: np.ndarray, *, fps: int, recipe: dict | None = None, scale: int = 1) -> None:
    """Write frames, each side enlarged `scale` times. The file appears whole or not at all.

    Raises TTOMError where the place cannot be written or ffmpeg fails.
    """
    count, height, width = frames.shape[:3]
    if not count:
        raise TTOMError(f"there are no frames to write to {path}")
    filters = f"scale={-(-width * scale // 2) * 2}:{-(-height * scale // 2) * 2}:flags=bicubic"
    filters += f",scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams={COLOURS}"
    prepare_place(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".ttom-") as folder:
            notes, partial = Path(folder, "metadata.txt"), Path(folder, "video.mp4")
            notes.write_text(_metadata(recipe or {}), encoding="utf-8")
            command = [
                find_ffmpeg(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
                "-r", str(fps), "-i", "-", "-i", str(notes), "-map", "0:v", "-map_metadata", "1", "-vf", filters,
                "-c:v", "libx264", "-crf", str(CRF), "-preset", "medium", "-movflags", "+faststart", str(partial),
            ]  # fmt: skip
            done = subprocess.run(command, input=np.ascontiguousarray(frames).tobytes(), capture_output=True)
            if done.returncode:
                raise TTOMError(f"ffmpeg could not write {path}: {_last_line(done.stderr)}")
            os.replace(partial, path)
    except OSError as error:
        raise TTOMError(f"cannot write {path}: {error.strerror}", "choose another place with --out") from None


def read_frames(path: Path) -> np.ndarray:
    """All frames of a video file: (F, H, W, 3) uint8."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])


def read_recipe(path: Path) -> dict:
    """The recipe inside a video. Raises TTOMError where there is none."""
    if not path.is_file():
        raise TTOMError(f"there is no file {path}", "give an MP4 that ttom wrote")
    # The file may be anyone's: as a playlist it could name others, and addresses.
    command = [
        find_ffmpeg(), "-v", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}", "-f", "ffmetadata", "-",
    ]  # fmt: skip
    try:
        text = subprocess.run(command, capture_output=True, timeout=SLOWEST).stdout[:LONGEST].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        raise TTOMError(f"{path} is not read in {SLOWEST} seconds", "give an MP4 that ttom wrote") from None
    for line in text.replace("\\\n", "\0").split("\n"):
        key, _, value = line.partition("=")
        if key == "comment":
            with suppress(ValueError):
                recipe = parse_json(_unescape(value.replace("\0", "\\\n")), f"the recipe in {path}")
                if isinstance(recipe, dict):
                    return recipe
            break
    raise TTOMError(f"{path} carries no ttom recipe", "give an MP4 that ttom wrote, not re-encoded since")


def _metadata(recipe: dict) -> str:
    lines = [";FFMETADATA1", f"comment={_escape(to_json(recipe))}"]
    if recipe.get("prompt"):
        lines.append(f"title={_escape(recipe['prompt'])}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return "".join("\\" + c if c in "=;#\\\n" else c for c in text)


def _unescape(text: str) -> str:
    out, skip = [], False
    for c in text:
        if c == "\\" and not skip:
            skip = True
            continue
        out.append(c)
        skip = False
    return "".join(out)


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"
