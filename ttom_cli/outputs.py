"""Where videos go: a file, a pattern with fields in braces, or a folder, in which prompts give them their names."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from .errors import TTOMError
from .text import plain, slug

VIDEOS, STILLS = (".mp4", ".mov", ".mkv", ".webm", ".gif"), (".png",)
SUFFIXES = *VIDEOS, *STILLS
FIELDS = {
    "slug": "the prompt in small letters and dashes",
    "prompt": "the prompt as it is",
    "seed": "the seed",
    "number": "the prompt's number, from 1",
    "take": "the video's number among its prompt's, from 0",
    "model": "the model",
}
NAMED = "{slug}-seed{seed}"  # in a folder
LONGEST = 240  # bytes of a name, so that a number can follow


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A path with fields in braces; braces of the path itself are doubled."""

    text: str

    @property
    def fixed(self) -> bool:
        """Whether it has no fields, and so is one file that the user has named."""
        return not any(_fields(self.text))

    @property
    def root(self) -> Path:
        """The folder that all of its files are in, or below."""
        folder = Path(self.text).parent
        while any(_fields(str(folder))):
            folder = folder.parent
        return Path(str(folder).format())

    def path(self, *, prompt: str, seed: int, number: int = 1, take: int = 0, model: str = "") -> Path:
        """The path of a video. Raises TTOMError where a name is too long for a file."""
        spoken = re.sub(r'[/\\:*?"<>|]+', "-", plain(prompt)).encode()[:200].decode(errors="ignore").strip(". -")
        name = re.sub(r"[^\w.-]+", "-", Path(model).name).strip(".-")
        made = Path(
            self.text.format(
                slug=slug(prompt), prompt=spoken or "video", seed=seed, number=number, take=take, model=name or "model"
            )
        )
        for part in made.parts:
            if len(part.encode()) > LONGEST:
                raise TTOMError(f"out makes a name of {len(part.encode())} bytes, {part[:40]}...", "use fewer fields")
        return made


def comparison_of(path: Path) -> Path:
    """Where a video's comparison goes."""
    return path.with_stem(f"{path.stem}.compare")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises TTOMError where a file that the user has named is there, unless it may be written over."""
    if path.is_dir():
        raise TTOMError(f"{path} is a folder", "name a file")
    if os.path.lexists(path) and not overwrite:  # a link that leads nowhere is there as well
        raise TTOMError(f"{path} is there already", "--overwrite writes over it")


def read_pattern(out: str, within: Path | None = None, *, still: bool = False) -> Pattern:
    """The pattern of an `out` of videos, or of `still` pictures; with `within`, that of a prompt of its own, inside the
    folder.

    What ends in a slash, is a folder, or has no suffix is a folder. Raises TTOMError for fields that are none, for
    what cannot be written, and for a path that leads out of `within`.
    """
    if within is None and out.startswith("~"):
        out = os.path.expanduser(out)  # in files no shell has done so
    path, suffixes = Path(out), STILLS if still else VIDEOS
    if out == "-" or path.name.lower() in SUFFIXES:
        raise TTOMError(f"out {out!r} names neither a file nor a folder", "such as video.mp4")
    if within is not None and (path.is_absolute() or ".." in path.parts):
        raise TTOMError(
            f"out {out!r} of a prompt leads out of the folder {within}", "name a file inside it; --out is the folder"
        )
    unknown = [name for name in _fields(out) if name not in FIELDS]
    if unknown:
        listed = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise TTOMError(
            f"out {out!r} has the field {unknown[0]!r}", f"there are {listed}; braces of a name are doubled"
        )
    text = out if within is None else f"{_escaped(str(within))}/{out}"
    if out.endswith("/") or not path.suffix or _is_folder(text):
        return Pattern(text=f"{text.rstrip('/')}/{NAMED}{suffixes[0]}")
    if path.suffix.lower() not in suffixes:
        kind = "picture" if still else "video"
        raise TTOMError(
            f"out {out!r} is neither a folder nor a {kind}: those are written as {', '.join(suffixes)}",
            f"for a folder of that name write {out}/",
        )
    return Pattern(text=text)


def _is_folder(text: str) -> bool:
    with suppress(OSError):  # such as a name that is too long
        return not any(_fields(text)) and Path(text.format()).is_dir()
    return False


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _fields(text: str) -> list[str]:
    """The names of its fields. Raises TTOMError for braces that are none, and for a format that a field cannot have."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise TTOMError(
            f"out {text!r}: a brace is open or empty", "fields such as {slug} have two; braces of a name are doubled"
        ) from None
    for _, name, form, conversion in parts:
        whole = name in ("seed", "number", "take")
        if conversion or (form and not (whole and re.fullmatch(r"0?\d{1,2}", form))):
            raise TTOMError(f"out {text!r}: {{{name}}} is written otherwise", "a number may have a width: {number:03}")
    return [name for _, name, _, _ in parts if name is not None]
