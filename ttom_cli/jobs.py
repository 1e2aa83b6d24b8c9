"""A video to make, what came of it, and who is told on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from .config import CheckConfig, GuideConfig, MemoryConfig, SampleConfig
from .errors import TTOMError
from .layout import Layout
from .seeing.score import Check


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
    entries: tuple[tuple[str, float], ...] = ()
    """Use these entries of the bank, whatever their key: ids and likenesses, blended where there are several."""

    stride: int = 1
    """From the seed of one try to that of the next."""
    named: Callable[[int], Path] | None = None
    """The path by seed, where the file is named after that."""
    overwrite: bool = False
    """Put the files in the place of any that stand there; without it they get the next free names."""
    asked: str = ""
    """What the recipe keeps, so that the same need not be made twice; see `asked.py`."""

    def again(self, n: int) -> Job:
        """The same with the seed of the n-th try after this one, and the path that goes with it."""
        seed = (self.seed + n * self.stride + 2**63) % 2**64 - 2**63  # of 64 bits, as all seeds
        return replace(self, seed=seed, path=self.named(seed) if self.named else self.path)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job."""

    job: Job
    """As it was made: with the seed of the try that is kept, and the path of its file."""
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


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - began
