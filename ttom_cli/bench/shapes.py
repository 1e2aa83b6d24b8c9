"""The bench on the embedded models: is the model sound, does the guide guide, does the memory remember.

Every row is made by `generate`, as the command line makes videos, into a folder that is thrown away; all
rows of a table use the same prompts and noises, in one run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..generate import generate
from ..jobs import Job, Outcome
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from ..seeing.score import Check
from .estimate import Estimate
from .report import Row, Table
from .suite import MAKERS, Case, cases, singles_and_pairs, triples

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


def found_table(runtime: Runtime, *, name: str, each: int, tell: Tell) -> Table:
    """Share of the named objects that the unguided model shows in the right colour and shape."""
    prompts = singles_and_pairs(name, each)
    rows = []
    for title, part in (("one object", prompts[:each]), ("two objects", prompts[each:])):
        made = _run(runtime, part, replace(runtime.card.guide, mode="off"), tell, f"unguided, {title}")
        found = [[o.found for o in m.check.objects] for m in made]
        figures = {"objects found": list(map(np.mean, found)), "all found": list(map(all, found))}
        rows.append(Row(title, {"prompts": len(part), **_estimates(figures)}))
    note = "found: seen in the right colour and shape in more than half of the frames"
    return Table("Unguided", f"{note}; set {name}", rows)


def guide_arms(guide: GuideConfig) -> dict[str, GuideConfig]:
    """What is compared: the model's default way to steer, each way alone, and the paper's.

    All with the model's own settings but for what their name says.
    """
    arms = {"unguided": replace(guide, mode="off"), f"{guide.mode} (default)": guide}
    for mode in ("attention", "latents", "params", "attention+latents"):
        if mode != guide.mode:
            arms[mode] = replace(guide, mode=mode)
    return arms


def guide_tables(runtime: Runtime, *, name: str, each: int, tell: Tell, arms: dict | None = None) -> list[Table]:
    """Guided against unguided on `each` prompts of each category: all together, and category by category."""
    prompts, rows, by_category = cases(name, each), [], []
    for arm, config in (arms or guide_arms(runtime.card.guide)).items():
        made = list(_run(runtime, prompts, config, tell, arm))
        seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
        rows.append(Row(arm, {"average": Estimate.of([m.score for m in made]), **_seen(made), "s/video": seconds}))
        scores = {c: [m.score for m in made if m.case.category == c] for c in MAKERS}
        by_category.append(Row(arm, _estimates(scores)))
    note = f"{len(prompts)} prompts, {each} of each category, scored in T2V-CompBench's manner; set {name}"
    return [Table("The guide", note, rows), Table("The guide by category", note, by_category)]


def tries_table(runtime: Runtime, *, name: str, each: int, tell: Tell, tries: int = 3) -> Table:
    """How many prompts of three objects pass their check, with one video and with more, guided and not."""
    prompts, rows = triples(name, each), []
    for arm, guide in (("unguided", replace(runtime.card.guide, mode="off")), ("guided", runtime.card.guide)):
        made = [m.outcome for m in _run(runtime, prompts, guide, tell, arm, check=CheckConfig(tries=tries))]
        passed = {
            f"pass in {n + 1}": [bool(o.check.passed and o.tries <= n + 1) for o in made] for n in range(tries)
        }  # fmt: skip
        videos = float(np.mean([o.tries for o in made]))
        rows.append(Row(arm, {"prompts": len(prompts), **_estimates(passed), "videos a prompt": videos}))
    note = "three objects, each seen, moving the right way, standing as planned, and none too many"
    return Table("Tries", f"{note}; set {name}", rows)


def memory_table(runtime: Runtime, *, name: str, each: int, tell: Tell, consolidate: int | None = None) -> Table:
    """What an adapter is worth on another noise: the same prompt with a second seed, from the bank."""
    prompts = [c for c in cases(name, each) if c.category in ("motion", "spatial")]
    again = [replace(case, seed=case.seed + 500) for case in prompts]
    guide = runtime.card.guide
    if consolidate is not None:
        guide = replace(guide, consolidate=consolidate)
    skip, more = MemoryConfig(on_hit="skip"), MemoryConfig(on_hit="continue")
    short = replace(guide, iterations=max(1, guide.iterations // 3), consolidate=0)
    arms = {  # name: (guide, memory, whether a bank filled with the first seed is used)
        "unguided": (replace(guide, mode="off"), skip, None),
        "cold": (replace(guide, consolidate=0), MemoryConfig(enabled=False), None),
        f"cold, {short.iterations} a step": (short, MemoryConfig(enabled=False), None),
        "hit, skip": (guide, skip, "consolidated"),
        f"hit, continue, {short.iterations} a step": (short, more, "consolidated"),
        "hit, skip, not consolidated": (guide, skip, "plain"),
    }
    with tempfile.TemporaryDirectory() as folder:
        banks = {kind: MemoryBank(Path(folder, kind)) for kind in ("consolidated", "plain")}
        for kind, bank in banks.items():
            learn = replace(guide, consolidate=guide.consolidate if kind == "consolidated" else 0)
            # All that is learnt is kept here, also of a video that fails its check: what it is worth is measured below.
            blind = CheckConfig(enabled=False)
            for _ in _made(
                _with(runtime, bank), prompts, learn, tell, f"filling the bank, {kind}", MemoryConfig(), blind
            ):
                pass
        rows = []
        for arm, (config, memory, kind) in arms.items():
            if kind and memory.on_hit == "continue":
                banks[kind] = _copy(banks[kind], Path(folder, "continued"))
            made = list(_run(_with(runtime, banks.get(kind)), again, config, tell, arm, memory))
            hits = sum(m.outcome.memory["outcome"] == "hit" for m in made)
            seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
            score = Estimate.of([m.score for m in made])
            rows.append(Row(arm, {"hits": hits, "score": score, **_seen(made), "s/video": seconds}))
    base, cold = (row.figures["IoU"].value for row in rows[:2])
    for row in rows:
        row.figures["gain kept"] = (row.figures["IoU"].value - base) / (cold - base) if cold != base else None
    note = f"{len(prompts)} motion and spatial prompts, learnt on one noise and used on another; set {name}"
    return Table("The memory", note, rows)


def _estimates(values: dict[str, list]) -> dict[str, Estimate | None]:
    return {column: Estimate.of(list(map(float, part))) for column, part in values.items()}


def _seen(made: list[Made]) -> dict[str, Estimate | None]:
    """What does not depend on the category."""
    return {
        "IoU": Estimate.of([m.check.iou for m in made]),
        "found": Estimate.of([m.check.found for m in made]),
        "right way": Estimate.of([m.check.right_way for m in made]),
    }


def _score(case: Case, outcome: Outcome, runtime: Runtime) -> float:
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


def _with(runtime: Runtime, bank: MemoryBank | None) -> Runtime:
    return replace(runtime, bank=bank)


def _copy(bank: MemoryBank, folder: Path) -> MemoryBank:
    shutil.copytree(bank.folder, folder)
    return MemoryBank(folder)


def _run(runtime, prompts, guide, tell, label, memory=None, check=None) -> Iterable[Made]:
    """Generate each case and score it."""
    for case, outcome in _made(runtime, prompts, guide, tell, label, memory, check):
        yield Made(case, outcome, _score(case, outcome, runtime))


def _made(
    runtime: Runtime,
    prompts: list[Case],
    guide: GuideConfig,
    tell: Tell,
    label: str,
    memory: MemoryConfig | None = None,
    check: CheckConfig | None = None,
) -> Iterable[tuple[Case, Outcome]]:
    """Generate each case."""
    planner = make_planner()
    with tempfile.TemporaryDirectory() as folder:
        for i, case in enumerate(prompts):
            job = Job(
                layout=case.layout or planner.plan(case.prompt), seed=case.seed, path=Path(folder, f"{i}.mp4"),
                sample=runtime.card.sample, guide=guide, memory=memory or MemoryConfig(enabled=False),
                planner="rules", check=check or CheckConfig(),
            )  # fmt: skip
            yield case, generate(runtime, job)
            tell(label, i + 1, len(prompts))
