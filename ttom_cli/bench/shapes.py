"""The bench on the embedded models: is the model sound, does the guide guide, does the memory remember.

Every row is made by `generate`, as the command line makes videos, into a folder that is thrown away; all
rows of a table use the same prompts and seeds, in one run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import GuideConfig, MemoryConfig
from ..generate import Job, Outcome, generate
from ..layout import Layout
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from .report import Row, Table
from .score import score
from .suite import Case, compositional_cases, single_and_pair_cases

CATEGORIES = ("motion", "spatial", "numeracy")
Tell = Callable[[str, int, int], None]


def found_table(runtime: Runtime, *, count: int, seed: int, tell: Tell) -> Table:
    """Share of the named objects that the unguided model shows in the right colour and shape."""
    cases = single_and_pair_cases(seed, count)
    off = GuideConfig(mode="off")
    rows = []
    for name, part in (("one object", cases[:count]), ("two objects", cases[count:])):
        frames, whole = [], []
        for i, (case, outcome) in enumerate(_run(runtime, part, off, seed)):
            tell(f"unguided, {name}", i + 1, len(part))
            found, every = _seen(case, outcome.frames)
            frames.append(found)
            whole.append(every)
        rows.append(Row(name, {"prompts": len(part), "objects found": np.mean(frames), "all found": np.mean(whole)}))
    note = "found: seen in the right colour and shape in more than half of the frames"
    return Table("Unguided", note, rows)


def _seen(case: Case, video: np.ndarray) -> tuple[float, bool]:
    """(share of the case's objects that are there, whether all are)."""
    from ..shapes.detect import track

    there = {(f.color, f.shape) for f in track(video) if sum(b is not None for b in f.boxes) > len(video) / 2}
    seen = [look in there for look in case.objects]
    return float(np.mean(seen)), all(seen)


def guide_arms(card_guide: GuideConfig) -> dict[str, GuideConfig]:
    """The arms that are compared, all with the model's own settings but for what their name says.

    Where the latents move, no block's output stands within a step, and all that carry the adapter are trained.
    """
    return {
        "unguided": replace(card_guide, mode="off"),
        "params": card_guide,
        "latents": replace(card_guide, mode="latents"),
        "both": replace(card_guide, mode="both"),
        "params, l2": replace(card_guide, loss="l2"),
    }


def guide_table(
    runtime: Runtime, *, count: int, seed: int, tell: Tell, by: str = "look", arms: dict | None = None
) -> Table:
    """Guided against unguided on `count` prompts of each category."""
    cases = compositional_cases(seed, count)
    rows = []
    for name, config in (arms or guide_arms(runtime.card.guide)).items():
        scores, seconds = {c: [] for c in CATEGORIES}, []
        for i, (case, outcome) in enumerate(_run(runtime, cases, config, seed)):
            tell(name, i + 1, len(cases))
            scores[case.category].append(score(case, outcome.job.layout, outcome.frames, by=by))
            seconds.append(outcome.seconds["sample"])
        rows.append(Row(name, _figures(scores, seconds)))
    note = (
        f"{len(cases)} prompts of two and three objects; scores in T2V-CompBench's manner; objects by {by}; seed {seed}"
    )
    return Table("The guide", note, rows)


def _figures(scores: dict[str, list], seconds: list[float]) -> dict[str, float]:
    every = [s for part in scores.values() for s in part]
    by_category = {c: float(np.mean([s.value for s in part])) for c, part in scores.items()}
    return {
        "average": float(np.mean(list(by_category.values()))),
        **by_category,
        "IoU": float(np.mean([s.iou for s in every])),
        "found": float(np.mean([s.found for s in every])),
        "right way": float(np.mean([s.direction for s in scores["motion"]])),
        "s/video": float(np.median(seconds)),
    }


def memory_table(
    runtime: Runtime, *, count: int, seed: int, tell: Tell, by: str = "look", consolidate: int | None = None
) -> Table:
    """What an adapter is worth on another noise: the same prompt with a second seed, from the bank."""
    cases = [c for c in compositional_cases(seed, count) if c.category != "numeracy"]
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
        banks = {name: MemoryBank(Path(folder, name)) for name in ("consolidated", "plain")}
        for name, bank in banks.items():
            learn = replace(guide, consolidate=guide.consolidate if name == "consolidated" else 0)
            for i, _ in enumerate(_run(_with(runtime, bank), cases, learn, seed, MemoryConfig())):
                tell(f"filling the bank, {name}", i + 1, len(cases))
        rows = []
        for name, (config, memory, bank) in arms.items():
            scores, seconds, hits = [], [], 0
            if bank and memory.on_hit == "continue":
                banks[bank] = _copy(banks[bank], Path(folder, "continued"))
            used = _with(runtime, banks.get(bank))
            for i, (case, outcome) in enumerate(_run(used, cases, config, seed + 1, memory)):
                tell(name, i + 1, len(cases))
                scores.append((case.category, score(case, outcome.job.layout, outcome.frames, by=by)))
                seconds.append(outcome.seconds["sample"])
                hits += outcome.memory["outcome"] == "hit"
            rows.append(Row(name, _memory_figures(scores, seconds, hits)))
    base, cold = rows[0].figures["IoU"], rows[1].figures["IoU"]
    for row in rows:
        row.figures["gain kept"] = (row.figures["IoU"] - base) / (cold - base) if cold != base else float("nan")
    note = (
        f"{len(cases)} motion and spatial prompts; objects by {by}; learnt with seed {seed}, used with seed {seed + 1}"
    )
    return Table("The memory", note, rows)


def _memory_figures(scores, seconds, hits: int) -> dict[str, float]:
    motion = [s.direction for category, s in scores if category == "motion"]
    return {
        "hits": hits,
        "score": float(np.mean([s.value for _, s in scores])),
        "IoU": float(np.mean([s.iou for _, s in scores])),
        "found": float(np.mean([s.found for _, s in scores])),
        "right way": float(np.mean(motion)),
        "s/video": float(np.median(seconds)),
    }


def _with(runtime: Runtime, bank: MemoryBank | None) -> Runtime:
    return replace(runtime, bank=bank)


def _copy(bank: MemoryBank, folder: Path) -> MemoryBank:
    import shutil

    shutil.copytree(bank.folder, folder)
    return MemoryBank(folder)


def _run(
    runtime: Runtime, cases: list[Case], guide: GuideConfig, seed: int, memory: MemoryConfig | None = None
) -> Iterable[tuple[Case, Outcome]]:
    """Generate each case with its own seed, `seed` and its place in the list."""
    planner = make_planner()
    with tempfile.TemporaryDirectory() as folder:
        for i, case in enumerate(cases):
            layout: Layout = planner.plan(case.prompt)
            job = Job(
                layout=layout, seed=1000 * seed + i, path=Path(folder, f"{i}.mp4"), sample=runtime.card.sample,
                guide=guide, memory=memory or MemoryConfig(enabled=False), planner="rules",
            )  # fmt: skip
            yield case, generate(runtime, job)
