"""A video to make, what came of it, and who is told on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from .config import CheckConfig, GuideConfig, MemoryConfig, SampleConfig
from .errors import TTOMError
from .layout import Layout
from .seeing.score import Check
from .text import slug


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to make."""

    layout: Layout
    """Without objects for a video that is not guided."""
    seed: int
    path: Path
    sample: SampleConfig
    guide: GuideConfig
    memory: MemoryConfig
    check: CheckConfig = field(default_factory=CheckConfig)
    planner: str = "file"
    compare: bool = False
    """Write a second file too: unguided beside guided, with the boxes drawn."""
    entry: str | None = None
    """Use this entry of the bank, whatever its key."""

    def again(self, n: int) -> Job:
        """The same with the n-th seed after this one; its file is named after that, if it is named after this one."""
        own, new = f"-seed{self.seed}", self.seed + n
        stem = self.path.stem
        name = f"{stem.removesuffix(own)}-seed{new}" if stem.endswith(own) else stem
        return replace(self, seed=new, path=self.path.with_name(name + self.path.suffix))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job."""

    job: Job
    """As it was made: with the seed and path of the try that is kept."""
    frames: np.ndarray
    memory: dict
    losses: list[list[float]]
    seconds: dict[str, float]
    check: Check | None = None
    """What was seen in it; None where nothing looked."""
    tries: int = 1
    """Videos made."""
    extra_paths: list[Path] = field(default_factory=list)
    trouble: TTOMError | None = None
    """What failed after the video was written."""

    def to_json(self) -> dict:
        """The line that `ttom generate --json` prints."""
        flat = [loss for step in self.losses for loss in step]
        return {
            "path": str(self.job.path),
            "prompt": self.job.layout.prompt,
            "seed": self.job.seed,
            "check": self.check and self.check.to_json(),
            "tries": self.tries,
            "memory": self.memory,
            "loss_first": flat[0] if flat else None,
            "loss_last": flat[-1] if flat else None,
            "seconds": {stage: round(s, 3) for stage, s in self.seconds.items()},
            "also": [str(p) for p in self.extra_paths],
            "error": self.trouble and self.trouble.message,
        }


class Report(Protocol):
    """Who is told of progress."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def step(self, done: int) -> None: ...

    def loss(self, value: float) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    def stage(self, name, total=None):
        pass

    def step(self, done):
        pass

    def loss(self, value):
        pass

    def note(self, text):
        pass


def file_name(prompt: str, seed: int) -> str:
    """'A red ball!' and 7 -> 'a-red-ball-seed7.mp4'."""
    return f"{slug(prompt)}-seed{seed}.mp4"


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - began
