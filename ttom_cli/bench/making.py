"""Cases made as the command line makes videos, and scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..generate import generate
from ..jobs import Job, Outcome
from ..planning import make_planner
from ..runtime import Runtime
from ..seeing.score import Check
from .estimate import Estimate
from .suite import Case

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Made:
    """A case and what came of it."""

    case: Case
    outcome: Outcome
    score: float
    """Of its category, 0 to 1."""

    @property
    def check(self) -> Check:
        return self.outcome.check


def common(made: list[Made]) -> dict[str, Estimate | None]:
    """What does not depend on the category."""
    return {
        "IoU": Estimate.of([m.check.iou for m in made]),
        "found": Estimate.of([m.check.found for m in made]),
        "right way": Estimate.of([m.check.right_way for m in made]),
    }


def score(case: Case, outcome: Outcome, runtime: Runtime) -> float:
    """Of a case's category, 0 to 1, in T2V-CompBench's manner."""
    check = outcome.check
    if case.category == "dynamic":
        return _turned(case, outcome.frames, runtime)
    if case.category == "binding":  # each in its own colour and shape, for as long as it should be there
        return float(np.mean([o.frames / max(o.of, 1) for o in check.objects]))
    part = "motion" if case.category == "paths" else case.category
    return check.parts.get(part, check.score)


def _turned(case: Case, frames: np.ndarray, runtime: Runtime) -> float:
    """How much of the first third shows the first object in its first colour, and of the last third in its last."""
    (color, shape), third = case.objects[0], len(frames) // 3
    shown = []
    for part, name in ((frames[:third], color), (frames[-third:], case.truth[0])):
        (seen,) = runtime.see(part, [f"{name} {shape}"])
        shown.append(max((sum(box is not None for box in s.boxes) / third for s in seen), default=0.0))
    return float(np.mean(shown))


def scored(runtime, prompts, guide, tell, label, memory=None, check=None, entries=()) -> Iterable[Made]:
    """Generate each case and score it."""
    for case, outcome in generated(runtime, prompts, guide, tell, label, memory, check, entries):
        yield Made(case, outcome, score(case, outcome, runtime))


def generated(
    runtime: Runtime,
    prompts: list[Case],
    guide: GuideConfig,
    tell: Tell,
    label: str,
    memory: MemoryConfig | None = None,
    check: CheckConfig | None = None,
    entries: tuple = (),
) -> Iterable[tuple[Case, Outcome]]:
    """Generate each case."""
    planner = make_planner()
    with tempfile.TemporaryDirectory() as folder:
        for i, case in enumerate(prompts):
            job = Job(
                layout=case.layout or planner.plan(case.prompt), seed=case.seed, path=Path(folder, f"{i}.mp4"),
                sample=runtime.card.sample, guide=guide, memory=memory or MemoryConfig(enabled=False),
                planner="rules", check=check or CheckConfig(), entries=entries,
            )  # fmt: skip
            yield case, generate(runtime, job)
            tell(label, i + 1, len(prompts))
