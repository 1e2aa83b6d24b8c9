"""Does a stream of prompts get better and cheaper the longer it is: the memory against none, prompt by prompt.

The stream is of few compositions that come again and again in random order, each time with other objects, other noise,
and boxes a little aside. Every second counts, of recall, looking and learning as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import MemoryConfig
from ..files import put_whole
from ..layout import Keyframe, Track
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from .estimate import Estimate
from .making import Tell, generated, score
from .report import Row, Table
from .suite import Case, cases, other_objects

COMPOSITIONS, PROMPTS, PART = 12, 120, 20
ASIDE = 0.03  # of the frame, that an object's boxes are moved at most
CATEGORIES = ("motion", "spatial", "several", "paths")


@dataclass(frozen=True)
class Step:
    """What came of one prompt of the stream."""

    score: float
    seconds: float
    """CPU time."""
    hit: bool
    passed: bool


Runs = dict[str, list[Step]]


def run_stream(runtime: Runtime, *, name: str, prompts: int, seed: int, tell: Tell) -> Runs:
    """The same stream for each arm: with the memory, without it, and by the bias alone, which learns nothing.

    The arms take turns, prompt by prompt, so that what slows the machine down for a while slows them all.
    """
    card = runtime.card
    arms = {
        "without memory": (card.guide, None), "memory, skip": (card.guide, MemoryConfig(on_hit="skip")),
        "memory, auto (default)": (card.guide, MemoryConfig()), "attention alone": (card.guide_in("attention"), None),
    }  # fmt: skip
    wanted, runs, turns = list(stream(name, prompts, seed)), {arm: [] for arm in arms}, {}
    with tempfile.TemporaryDirectory() as folder:
        for arm, (guide, memory) in arms.items():
            bank = MemoryBank(Path(folder, arm), capacity=prompts) if memory else None
            made = generated(replace(runtime, bank=bank), wanted, guide, tell, arm, memory)
            turns[arm] = _steps(made, runtime)
        for number in range(prompts):
            for arm in np.roll([*arms], number):
                runs[arm].append(next(turns[arm]))
    return runs


def stream(name: str, prompts: int, seed: int) -> Iterator[Case]:
    """The prompts, whose compositions are the first of each category of a set."""
    planner, random = make_planner(), np.random.default_rng([23, seed])
    each = -(-COMPOSITIONS // len(CATEGORIES))
    known = [case for case in cases(name, each) if case.category in CATEGORIES][:COMPOSITIONS]
    known = [replace(case, layout=case.layout or planner.plan(case.prompt)) for case in known]
    for n in range(prompts):
        case = known[random.integers(len(known))]
        case = other_objects(replace(case, seed=case.seed + 10_000 * (n + 1)), case.layout)
        tracks = tuple(_aside(track, random) for track in case.layout.objects)
        yield replace(case, layout=replace(case.layout, objects=tracks))


def _aside(track: Track, random: np.random.Generator) -> Track:
    x, y = random.uniform(-ASIDE, ASIDE, 2)
    moved = [Keyframe(k.t, tuple(np.add(k.box, (x, y, x, y)).tolist())) for k in track.boxes]
    return replace(track, boxes=tuple(moved))


def _steps(made, runtime: Runtime) -> Iterator[Step]:
    began = time.process_time()
    for case, outcome in made:
        seconds = time.process_time() - began
        hit = outcome.memory["outcome"] == "hit" or "failed" in outcome.memory
        yield Step(score(case, outcome, runtime), seconds, hit, outcome.check.passed)
        began = time.process_time()


def stream_tables(runs: Runs, about: str) -> list[Table]:
    """Seconds, score and hits of each arm by part of the stream, and of all of it."""
    note = f"{len(next(iter(runs.values())))} prompts of {COMPOSITIONS} compositions, each with other objects; {about}"
    kinds = {"seconds": "CPU seconds a video", "score": "score", "passed": "passed their check", "hit": "hits"}
    tables = []
    for kind, title in kinds.items():
        rows = []
        for arm, steps in runs.items():
            values = [float(getattr(step, kind)) for step in steps]
            parts = range(0, len(values), PART)
            figures = {f"{i + 1}–{min(i + PART, len(values))}": float(np.mean(values[i : i + PART])) for i in parts}
            rows.append(Row(arm, figures | {"all": Estimate.of(values)}))
        tables.append(Table(f"The stream: {title}", note, rows))
    return tables


def plot(runs: Runs, path: Path, title: str) -> None:
    """Seconds and score by the prompt's number, means over the last PART, as PNG."""
    from ..probing.plot import figure_of

    figure = figure_of(9, 4)
    for axes, kind, label in zip(
        figure.subplots(1, 2), ("seconds", "score"), ("CPU seconds a video", "score"), strict=True
    ):
        for arm, steps in runs.items():
            values = np.cumsum([0.0, *(getattr(step, kind) for step in steps)])
            ends = np.arange(1, len(steps) + 1)
            begins = np.maximum(ends - PART, 0)
            axes.plot(ends, (values[ends] - values[begins]) / (ends - begins), label=arm)
        axes.set(xlabel=f"prompt; mean of the last {PART}", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    put_whole(path, lambda partial: figure.savefig(partial, dpi=110), overwrite=True)
