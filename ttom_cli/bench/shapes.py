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

from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..generate import generate
from ..jobs import Job, Outcome
from ..layout import Layout
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from ..seeing.score import Check
from .report import Row, Table
from .suite import Case, compositional_cases, single_and_pair_cases, triple_cases

CATEGORIES = ("motion", "spatial", "numeracy")
Tell = Callable[[str, int, int], None]


def found_table(runtime: Runtime, *, count: int, seed: int, tell: Tell) -> Table:
    """Share of the named objects that the unguided model shows in the right colour and shape."""
    cases = single_and_pair_cases(seed, count)
    off = GuideConfig(mode="off")
    rows = []
    for name, part in (("one object", cases[:count]), ("two objects", cases[count:])):
        frames, whole = [], []
        for i, (_, outcome) in enumerate(_run(runtime, part, off, seed)):
            tell(f"unguided, {name}", i + 1, len(part))
            found = [o.found for o in outcome.check.objects]
            frames.append(np.mean(found))
            whole.append(all(found))
        rows.append(Row(name, {"prompts": len(part), "objects found": np.mean(frames), "all found": np.mean(whole)}))
    note = "found: seen in the right colour and shape in more than half of the frames"
    return Table("Unguided", note, rows)


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


def guide_table(runtime: Runtime, *, count: int, seed: int, tell: Tell, arms: dict | None = None) -> Table:
    """Guided against unguided on `count` prompts of each category."""
    cases = compositional_cases(seed, count)
    rows = []
    for name, config in (arms or guide_arms(runtime.card.guide)).items():
        checks, seconds = {c: [] for c in CATEGORIES}, []
        for i, (case, outcome) in enumerate(_run(runtime, cases, config, seed)):
            tell(name, i + 1, len(cases))
            checks[case.category].append(outcome.check)
            seconds.append(outcome.seconds["sample"])
        rows.append(Row(name, _figures(checks, seconds)))
    note = f"{len(cases)} prompts of two and three objects; scores in T2V-CompBench's manner; seed {seed}"
    return Table("The guide", note, rows)


def _figures(checks: dict[str, list[Check]], seconds: list[float]) -> dict[str, float]:
    every = [check for part in checks.values() for check in part]
    by_category = {c: float(np.mean([check.parts[c] for check in part])) for c, part in checks.items()}
    return {
        "average": float(np.mean(list(by_category.values()))),
        **by_category,
        **_seen(every),
        "s/video": float(np.median(seconds)),
    }


def _seen(checks: list[Check]) -> dict[str, float]:
    """What does not depend on the category."""
    return {
        "IoU": float(np.mean([check.iou for check in checks])),
        "found": float(np.mean([check.found for check in checks])),
        "right way": float(np.mean([check.right_way for check in checks if check.right_way is not None])),
    }


def tries_table(runtime: Runtime, *, count: int, seed: int, tell: Tell, tries: int = 3) -> Table:
    """How many prompts of three objects pass their check, with one video and with more, guided and not."""
    cases, rows = triple_cases(seed, count), []
    for name, guide in (("unguided", replace(runtime.card.guide, mode="off")), ("guided", runtime.card.guide)):
        made = []
        for i, (_, outcome) in enumerate(_run(runtime, cases, guide, seed, check=CheckConfig(tries=tries))):
            tell(name, i + 1, len(cases))
            made.append(outcome)
        passed = {f"pass in {n + 1}": float(np.mean([o.check.passed and o.tries <= n + 1 for o in made]))
                  for n in range(tries)}  # fmt: skip
        videos = float(np.mean([o.tries for o in made]))
        rows.append(Row(name, {"prompts": len(cases), **passed, "videos a prompt": videos}))
    note = "three objects, each seen, moving the right way, standing as planned, and none too many"
    return Table("Tries", f"{note}; seed {seed}", rows)


def memory_table(runtime: Runtime, *, count: int, seed: int, tell: Tell, consolidate: int | None = None) -> Table:
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
            # All that is learnt is kept here, also of a video that fails its check: what it is worth is measured below.
            filling = _run(_with(runtime, bank), cases, learn, seed, MemoryConfig(), CheckConfig(enabled=False))
            for i, _ in enumerate(filling):
                tell(f"filling the bank, {name}", i + 1, len(cases))
        rows = []
        for name, (config, memory, bank) in arms.items():
            checks, seconds, hits = [], [], 0
            if bank and memory.on_hit == "continue":
                banks[bank] = _copy(banks[bank], Path(folder, "continued"))
            used = _with(runtime, banks.get(bank))
            for i, (case, outcome) in enumerate(_run(used, cases, config, seed + 1, memory)):
                tell(name, i + 1, len(cases))
                checks.append((case.category, outcome.check))
                seconds.append(outcome.seconds["sample"])
                hits += outcome.memory["outcome"] == "hit"
            score = float(np.mean([check.parts[category] for category, check in checks]))
            every = _seen([check for _, check in checks])
            rows.append(Row(name, {"hits": hits, "score": score, **every, "s/video": float(np.median(seconds))}))
    base, cold = rows[0].figures["IoU"], rows[1].figures["IoU"]
    for row in rows:
        row.figures["gain kept"] = (row.figures["IoU"] - base) / (cold - base) if cold != base else None
    note = f"{len(cases)} motion and spatial prompts; learnt with seed {seed}, used with seed {seed + 1}"
    return Table("The memory", note, rows)


def _with(runtime: Runtime, bank: MemoryBank | None) -> Runtime:
    return replace(runtime, bank=bank)


def _copy(bank: MemoryBank, folder: Path) -> MemoryBank:
    import shutil

    shutil.copytree(bank.folder, folder)
    return MemoryBank(folder)


def _run(
    runtime: Runtime,
    cases: list[Case],
    guide: GuideConfig,
    seed: int,
    memory: MemoryConfig | None = None,
    check: CheckConfig | None = None,
) -> Iterable[tuple[Case, Outcome]]:
    """Generate each case with its own seed, `seed` and its place in the list."""
    planner = make_planner()
    with tempfile.TemporaryDirectory() as folder:
        for i, case in enumerate(cases):
            layout: Layout = planner.plan(case.prompt)
            job = Job(
                layout=layout, seed=1000 * seed + i, path=Path(folder, f"{i}.mp4"), sample=runtime.card.sample,
                guide=guide, memory=memory or MemoryConfig(enabled=False), planner="rules",
                check=check or CheckConfig(),
            )  # fmt: skip
            yield case, generate(runtime, job)
