"""The bench on the embedded models: is the model sound, does the guide guide, does the memory remember.

Every row is made by `generate`, as the command line makes videos, into a folder that is thrown away; all
rows of a table use the same prompts and noises, in one run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..backbones.card import ModelCard
from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..generate import generate
from ..jobs import Job, Outcome
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from ..seeing.score import Check
from .estimate import Estimate
from .report import Row, Table
from .suite import AGAIN, MAKERS, Case, cases, other_objects, singles_and_pairs, triples

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


def found_table(runtime: Runtime, *, name: str, each: int, tell: Tell) -> list[Table]:
    """Share of the named objects that the unguided model shows in the right colour and shape."""
    prompts = singles_and_pairs(name, each)
    rows = []
    for title, part in (("one object", prompts[:each]), ("two objects", prompts[each:])):
        made = _run(runtime, part, replace(runtime.card.guide, mode="off"), tell, f"unguided, {title}")
        found = [[o.found for o in m.check.objects] for m in made]
        figures = {"objects found": list(map(np.mean, found)), "all found": list(map(all, found))}
        rows.append(Row(title, {"prompts": len(part), **_estimates(figures)}))
    note = "found: seen in the right colour and shape in more than half of the frames"
    return [Table("Unguided", f"{note}; set {name}", rows)]


def guide_arms(card: ModelCard) -> dict[str, GuideConfig]:
    """What is compared: the model's default way to steer, each way alone, the paper's among them, and sums.

    All with the model's own settings for the way.
    """
    modes = ("attention", "latents", "params", "attention+params", "attention+latents")
    arms = {"unguided": card.guide_in("off"), f"{card.guide.mode} (default)": card.guide}
    return arms | {mode: card.guide_in(mode) for mode in modes if mode != card.guide.mode}


def guide_tables(runtime: Runtime, *, name: str, each: int, tell: Tell, arms: dict | None = None) -> list[Table]:
    """Guided against unguided on `each` prompts of each category: all together, and category by category."""
    prompts, rows, by_category = cases(name, each), [], []
    for arm, config in (arms or guide_arms(runtime.card)).items():
        made = list(_run(runtime, prompts, config, tell, arm))
        seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
        rows.append(Row(arm, {"average": Estimate.of([m.score for m in made]), **_seen(made), "s/video": seconds}))
        scores = {c: [m.score for m in made if m.case.category == c] for c in MAKERS}
        by_category.append(Row(arm, _estimates(scores)))
    note = f"{len(prompts)} prompts, {each} of each category, scored in T2V-CompBench's manner; set {name}"
    return [Table("The guide", note, rows), Table("The guide by category", note, by_category)]


def tries_table(runtime: Runtime, *, name: str, each: int, tell: Tell, tries: int = 3) -> list[Table]:
    """How many of 3 * `each` prompts of three objects pass their check, with one video and more, guided and not."""
    prompts, rows = triples(name, 3 * each), []
    for arm, guide in (("unguided", replace(runtime.card.guide, mode="off")), ("guided", runtime.card.guide)):
        made = [m.outcome for m in _run(runtime, prompts, guide, tell, arm, check=CheckConfig(tries=tries))]
        passed = {
            f"pass in {n + 1}": [bool(o.check.passed and o.tries <= n + 1) for o in made] for n in range(tries)
        }  # fmt: skip
        videos = float(np.mean([o.tries for o in made]))
        rows.append(Row(arm, {"prompts": len(prompts), **_estimates(passed), "videos a prompt": videos}))
    note = "three objects, each seen, moving the right way, standing as planned, and none too many"
    return [Table("Tries", f"{note}; set {name}", rows)]


def memory_table(runtime: Runtime, *, name: str, each: int, tell: Tell) -> list[Table]:
    """What is remembered of a composition is worth on another noise: with the same objects, and with others.

    By the model's default way, and by the paper's, whose adapters are consolidated; of these the match asks for the
    same objects, and on others they are forced here. All that is learnt is kept, also of a video that fails its check.
    """
    planner, card = make_planner(), runtime.card
    prompts = [case for case in cases(name, each) if case.category in ("motion", "spatial", "several")]
    prompts = [replace(case, layout=case.layout or planner.plan(case.prompt)) for case in prompts]
    again = [replace(case, seed=case.seed + AGAIN) for case in prompts]
    others = [other_objects(case, case.layout) for case in prompts]
    ways, blind, rows = {"default": card.guide, "params": card.guide_in("params")}, CheckConfig(enabled=False), []
    with tempfile.TemporaryDirectory() as folder:
        banks = {way: MemoryBank(Path(folder, way), objects=-1.0, scene=-1.0) for way in ways}
        for way, guide in ways.items():
            for _ in _made(_with(runtime, banks[way]), prompts, guide, tell, f"learning, {way}", MemoryConfig(), blind):
                pass
        for what, group in (("same objects", again), ("other objects", others)):
            arms = {"unguided": (card.guide_in("off"), None), "attention alone": (card.guide_in("attention"), None)}
            for way, guide in ways.items():
                arms |= {f"cold, {way}": (guide, None), f"hit, {way}": (guide, banks[way])}
            figures = {}
            for arm, (guide, bank) in arms.items():
                memory = MemoryConfig(enabled=bank is not None)
                made = list(_run(_with(runtime, bank), group, guide, tell, f"{what}: {arm}", memory))
                hits = sum(m.outcome.memory["outcome"] == "hit" for m in made)
                seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
                figures[arm] = {"hits": hits, "score": Estimate.of([m.score for m in made]), **_seen(made)}
                figures[arm]["s/video"] = seconds
            base = figures["unguided"]["IoU"].value
            for arm, row in figures.items():
                cold = figures[f"cold, {arm.rpartition(' ')[2]}"]["IoU"].value if arm.startswith("hit") else base
                row["gain kept"] = (row["IoU"].value - base) / (cold - base) if cold != base else None
                rows.append(Row(f"{what}: {arm}", row))
    note = f"{len(prompts)} compositions learnt on one noise and used on another; set {name}"
    return [Table("The memory", note, rows)]


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
