"""Video files that carry the recipe they were made from.

MP4, MOV and MKV hold H.264, WebM VP9, all yuv420p, and play in browsers; a GIF has 256 colours; a PNG is one frame. The
recipe is JSON in the container's `comment`, the prompt its `title` where it has one. Frames are (F, H, W, 3) uint8.
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
from .files import LONGEST, parse_json, put_whole, to_json
from .pictures import comment_of, save_picture

CRF = 12
H264 = "-c:v", "libx264", "-crf", str(CRF), "-preset", "medium"
CONTAINERS = {  # what may be written, by suffix, and how
    ".mp4": (*H264, "-movflags", "+faststart"),
    ".mov": (*H264, "-movflags", "+faststart+use_metadata_tags"),  # other tags of it end after 64 kB
    ".mkv": H264,
    ".webm": ("-c:v", "libvpx-vp9", "-crf", str(CRF), "-b:v", "0", "-row-mt", "1"),
    ".gif": (),
}
PNG = ".png"
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


def write_video(
    path: Path, frames: np.ndarray, *, fps: int, recipe: dict | None = None, scale: int = 1, overwrite: bool = False
) -> Path:
    """Write frames, each side enlarged `scale` times, as the suffix says: the file's path.

    The file appears whole or not at all, and unless `overwrite` at the next free name where something stands at `path`.
    Raises TTOMError where the place cannot be written or ffmpeg fails.
    """
    count, height, width = frames.shape[:3]
    if not count:
        raise TTOMError(f"there are no frames to write to {path}")
    kind = path.suffix.lower()
    if kind not in CONTAINERS and kind != PNG:
        raise TTOMError(f"cannot write {path}", f"videos end in {', '.join(CONTAINERS)}")
    if kind == PNG and count > 1:
        raise TTOMError(f"cannot write {count} frames to {path}", f"videos end in {', '.join(CONTAINERS)}")
    filters = f"scale={-(-width * scale // 2) * 2}:{-(-height * scale // 2) * 2}:flags=bicubic"
    if kind == ".gif":
        filters += ",split[a][b];[a]palettegen[p];[b][p]paletteuse"
    else:
        filters += f",scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams={COLOURS}"

    def write(partial: Path) -> None:
        if kind == PNG:
            return save_picture(partial, frames[0], recipe or {}, scale)
        notes = partial.with_name("metadata.txt")
        notes.write_text(_metadata(recipe or {}), encoding="utf-8")
        command = [
            find_ffmpeg(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
            "-r", str(fps), "-i", "-", "-i", str(notes), "-map", "0:v", "-map_metadata", "1", "-vf", filters,
            *CONTAINERS[kind], f"file:{partial}",
        ]  # fmt: skip
        done = subprocess.run(command, input=np.ascontiguousarray(frames).tobytes(), capture_output=True)
        if done.returncode:
            raise TTOMError(f"ffmpeg could not write {path}: {_last_line(done.stderr)}")
        if kind == ".gif" and recipe:
            _comment_gif(partial, to_json(recipe).encode())

    prepare_place(path)
    try:
        return put_whole(path, write, overwrite=overwrite)
    except OSError as error:
        raise TTOMError(f"cannot write {path}: {error.strerror}", "choose another place with --out") from None


def _comment_gif(path: Path, comment: bytes) -> None:
    """Put a comment, which ffmpeg reads of a GIF and does not write, ahead of its first image."""
    content = path.read_bytes()
    flags = content[10]
    head = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0)  # the screen and its palette
    parts = [comment[i : i + 255] for i in range(0, len(comment), 255)]
    block = b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    path.write_bytes(content[:head] + block + content[head:])


def read_frames(path: Path) -> np.ndarray:
    """All frames of a video file: (F, H, W, 3) uint8."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])


def read_recipe(path: Path, *, whole: bool = False) -> dict:
    """The recipe inside a video. Raises TTOMError where there is none; with `whole`, also where the file is cut off."""
    if not path.is_file():
        fault = f"{path} is no file" if path.exists() else f"there is no file {path}"
        raise TTOMError(f"{path} is a folder" if path.is_dir() else fault, "give a video that ttom wrote")
    if (comment := comment_of(path)) is not None:
        return _recipe_in(comment, path)
    packets = ["-map", "0:v", "-c", "copy", "-f", "null", "-"] if whole else []
    # The file may be anyone's: as a playlist it could name others, and addresses.
    command = [
        find_ffmpeg(), "-v", "error", "-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}",
        "-f", "ffmetadata", "-", *packets,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SLOWEST)
    except subprocess.TimeoutExpired:
        raise TTOMError(f"{path} is not read in {SLOWEST} seconds", "give a video that ttom wrote") from None
    if whole and (done.stderr or _cut_gif(path)):
        raise TTOMError(f"{path} is damaged: {_last_line(done.stderr)}")
    text = done.stdout[:LONGEST].decode("utf-8", "replace")
    for line in text.replace("\\\n", "\0").split("\n"):
        key, _, value = line.partition("=")
        if key.lower() == "comment":
            return _recipe_in(_unescape(value.replace("\0", "\\\n")), path)
    return _recipe_in("", path)


def _recipe_in(comment: str, path: Path) -> dict:
    with suppress(ValueError):
        recipe = parse_json(comment, f"the recipe in {path}")
        if isinstance(recipe, dict):
            return recipe
    raise TTOMError(f"{path} carries no ttom recipe", "give a video that ttom wrote, not re-encoded since")


def _cut_gif(path: Path) -> bool:
    """Whether it is a GIF without its end, of which ffmpeg says nothing."""
    with path.open("rb") as file:
        if file.read(4) != b"GIF8":
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b";"


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
