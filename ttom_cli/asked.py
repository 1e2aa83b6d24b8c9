"""The videos that a run is asked for: of each prompt and seed one, with its settings and its place; and those that are
there already, by the recipes in them."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .backbones import FAMILIES
from .backbones.card import ModelCard
from .errors import TTOMError
from .files import numbered
from .outputs import SUFFIXES, Pattern, read_pattern, refuse_existing
from .pictures import digest_of
from .settings import OPTIONS, Layer, Settings, named, seeds_of
from .text import plain
from .video import prepare_place, read_recipe

UNSEEN = "consolidate", "consolidate_batch", "checkpointing"  # settings of the guide that do not show in the video


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One video that is asked for."""

    item: Layer
    card: ModelCard
    settings: Settings
    seed: int
    mark: str
    """The same for what is asked for again: of prompt, layout or planner, seed, model and settings that shape it."""
    pattern: Pattern
    number: int
    """Of its prompt, from 1."""
    take: int
    """Of its prompt's videos, from 0."""
    stride: int
    """From the seed of one try to that of the next, so that none is another video's of the prompt."""

    def path(self, prompt: str, seed: int) -> Path:
        """The path of the video if it is made with that seed."""
        return self.pattern.path(prompt=prompt, seed=seed, number=self.number, take=self.take, model=self.card.name)

    @property
    def fixed(self) -> Path | None:
        """The file that the user has named, if it is one."""
        return self.path("", 0) if self.pattern.fixed else None


def videos_of(
    item: Layer, number: int, card: ModelCard, settings: Settings, *, common: Layer, given: dict
) -> list[Asked]:
    """The videos of a prompt. Raises TTOMError for wrong seeds, and for an `out` or a picture that cannot be."""
    family = FAMILIES[card.pipeline]
    pattern = read_pattern(settings.run.out, still=family.still)
    with named(item):
        family.check_image(settings.sample)
        if item.get("out") is not None:
            pattern = read_pattern(OPTIONS["out"].read(item["out"]), within=pattern.root, still=family.still)
    seeds, drawn = seeds_of(common, given, item)
    stride = max(seeds) - min(seeds) + 1
    made = [
        Asked(
            item=item, card=card, settings=settings, seed=seed, pattern=pattern, number=number, take=take,
            stride=stride, mark=_mark(item, card, settings, None if drawn else seed),
        )
        for take, seed in enumerate(seeds)
    ]  # fmt: skip
    with named(item):
        if pattern.fixed and len(made) > 1:
            raise TTOMError(
                f"out {pattern.text!r} is one file, and there are {len(made)} videos",
                "give a folder, or a pattern such as {slug}-{seed}.mp4",
            )
    return made


def _mark(item: Layer, card: ModelCard, settings: Settings, seed: int | None) -> str:
    layout = item.get("layout")
    if isinstance(layout, str) and Path(layout).is_file():
        layout = hashlib.sha256(Path(layout).read_bytes()).hexdigest()
    guide = {name: value for name, value in asdict(settings.guide).items() if name not in UNSEEN}
    facts = {
        "prompt": plain(item["prompt"] or ""),
        "layout": layout or settings.planner.label,
        "seed": seed,
        "model": card.name,
        "sample": asdict(settings.sample),
        "image": digest_of(settings.sample.image),
        "guide": guide,
        "memory": settings.memory.enabled and settings.memory.on_hit,
        "load": [settings.load.dtype, settings.load.quantize],
    }
    if settings.load.lora or settings.load.transformer:
        from .parts import key_of, settled

        facts["parts"] = key_of(settled(settings.load))
    return hashlib.sha256(json.dumps(facts, default=str, skipkeys=True).encode()).hexdigest()


class Finished:
    """The videos of folders, by the marks in their recipes. What is cut off, or has no recipe, is none."""

    def __init__(self):
        self.folders: dict[Path, dict[str, list[Path]]] = {}

    def take(self, asked: Asked) -> Path | None:
        """A video of what is asked for; each stands for one only."""
        folder = self._place(asked).parent
        if folder not in self.folders:
            self.folders[folder] = _marked(folder)
        found = self.folders[folder].get(asked.mark, [])
        if asked.fixed:
            return asked.fixed if asked.fixed in found else None
        return found.pop(0) if found else None

    def cut(self, asked: Asked) -> Path | None:
        """The file in the video's place, if it is the start of that very video."""
        path = self._place(asked)
        return path if path.is_file() and _mark_in(path, whole=False) == asked.mark and not _mark_in(path) else None

    @staticmethod
    def _place(asked: Asked) -> Path:
        return asked.path(asked.item["prompt"] or "", asked.seed)


def _marked(folder: Path) -> dict[str, list[Path]]:
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        marks = pool.map(_mark_in, files)
    found: dict[str, list[Path]] = {}
    for path, mark in zip(files, marks, strict=True):
        if mark:
            found.setdefault(mark, []).append(path)
    return found


def _mark_in(path: Path, *, whole: bool = True) -> str:
    """The mark in a video's recipe; empty where there is none, or, with `whole`, the file is cut off."""
    try:
        mark = read_recipe(path, whole=whole).get("asked")
    except (TTOMError, OSError):
        return ""
    return mark if isinstance(mark, str) else ""


class Places:
    """Which files a run may write: what the user names is written once, and nothing is written over unasked."""

    def __init__(self, overwrite: bool):
        self.overwrite = overwrite
        self.claimed: dict[Path, int] = {}  # files that the user names, by the prompt's number
        self.given: dict[Path, tuple[int, int]] = {}  # places, by the prompt's number and its video's
        self.cut: dict[Path, tuple[int, int]] = {}  # cut off files, by whose place they are in

    def claim(self, asked: Asked, cut: Path | None = None) -> None:
        """Raises TTOMError where a named file is there, or is another prompt's too, and where none can be written.

        `cut` is the start of this video, which it may take the place of.
        """
        if cut:
            self.cut.setdefault(cut, (asked.number, asked.take))
        with named(asked.item):
            if asked.item["prompt"]:
                prepare_place(asked.path(asked.item["prompt"], asked.seed))
            path = asked.fixed
            if not path:
                return
            other = self.claimed.setdefault(path, asked.number)
            if other != asked.number:
                raise TTOMError(f"{path} is the file of prompt {other} already", "name another, or none")
            refuse_existing(path, self.may_overwrite(asked, path))

    def leave(self, asked: Asked) -> None:
        """A file that is left as it is, is no other prompt's."""
        if asked.fixed:
            self.claimed.setdefault(asked.fixed, asked.number)

    def place(self, asked: Asked, prompt: str, seed: int) -> Path:
        """Where a video goes. What is written over is never another video of this run: that keeps the first number."""
        path = asked.path(prompt, seed)
        if not self.overwrite:
            return path  # the next free one is found once the file is there
        own = asked.number, asked.take
        return next(name for name in numbered(path) if self.given.setdefault(name, own) == own)

    def may_overwrite(self, asked: Asked, path: Path) -> bool:
        return self.overwrite or self.cut.get(path) == (asked.number, asked.take)
