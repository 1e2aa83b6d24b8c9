"""The bench on the embedded models: is the model sound, does the guide guide, does the memory remember.

Every row is made by `generate`, as the command line makes videos, into a folder that is thrown away; all
rows of a table use the same prompts and noises, in one run.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..backbones.card import ModelCard
from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..memory import MemoryBank
from ..planning import make_planner
from ..runtime import Runtime
from .estimate import Estimate
from .making import Tell, common, generated, scored
from .report import Row, Table
from .suite import AGAIN, MAKERS, cases, other_objects, singles_and_pairs, triples


def found_table(runtime: Runtime, *, name: str, each: int, tell: Tell) -> list[Table]:
    """Share of the named objects that the unguided model shows in the right colour and shape."""
    prompts = singles_and_pairs(name, each)
    rows = []
    for title, part in (("one object", prompts[:each]), ("two objects", prompts[each:])):
        made = scored(runtime, part, replace(runtime.card.guide, mode="off"), tell, f"unguided, {title}")
        found = [[o.found for o in m.check.objects] for m in made]
        figures = {"objects found": list(map(np.mean, found)), "all found": list(map(all, found))}
        rows.append(Row(title, {"prompts": len(part), **_estimates(figures)}))
    note = "found: seen in the right colour and shape in more than half of the frames"
    return [Table("Unguided", f"{note}; set {name}", rows)]


def guide_arms(card: ModelCard) -> dict[str, GuideConfig]:
    """What is compared: the model's default way to steer, each way alone, the paper's among them, and sums.

    All with the model's own settings for the way.
    """
    modes = ("attention", "latents", "params", "attention+latents")
    arms = {"unguided": card.guide_in("off"), f"{card.guide.mode} (default)": card.guide}
    return arms | {mode: card.guide_in(mode) for mode in modes if mode != card.guide.mode}


def guide_tables(runtime: Runtime, *, name: str, each: int, tell: Tell, arms: dict | None = None) -> list[Table]:
    """Guided against unguided on `each` prompts of each category: all together, and category by category."""
    prompts, rows, by_category = cases(name, each), [], []
    for arm, config in (arms or guide_arms(runtime.card)).items():
        made = list(scored(runtime, prompts, config, tell, arm))
        seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
        rows.append(Row(arm, {"average": Estimate.of([m.score for m in made]), **common(made), "s/video": seconds}))
        scores = {c: [m.score for m in made if m.case.category == c] for c in MAKERS}
        by_category.append(Row(arm, _estimates(scores)))
    note = f"{len(prompts)} prompts, {each} of each category, scored in T2V-CompBench's manner; set {name}"
    return [Table("The guide", note, rows), Table("The guide by category", note, by_category)]


def tries_table(runtime: Runtime, *, name: str, each: int, tell: Tell, tries: int = 3) -> list[Table]:
    """How many of 3 * `each` prompts of three objects pass their check, with one video and more, guided and not."""
    prompts, rows = triples(name, 3 * each), []
    for arm, guide in (("unguided", replace(runtime.card.guide, mode="off")), ("guided", runtime.card.guide)):
        made = [m.outcome for m in scored(runtime, prompts, guide, tell, arm, check=CheckConfig(tries=tries))]
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
    same objects, and on others they are forced here. All that is learnt is kept, also of a video that fails its check,
    and used as it is.
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
            for _ in generated(
                replace(runtime, bank=banks[way]), prompts, guide, tell, f"learning, {way}", MemoryConfig(), blind
            ):
                pass
        for what, group in (("same objects", again), ("other objects", others)):
            arms = {"unguided": (card.guide_in("off"), None), "attention alone": (card.guide_in("attention"), None)}
            for way, guide in ways.items():
                arms |= {f"cold, {way}": (guide, None), f"hit, {way}": (guide, banks[way])}
            figures = {}
            for arm, (guide, bank) in arms.items():
                memory = MemoryConfig(enabled=bank is not None, on_hit="skip")
                made = list(scored(replace(runtime, bank=bank), group, guide, tell, f"{what}: {arm}", memory))
                hits = sum(m.outcome.memory["outcome"] == "hit" for m in made)
                seconds = float(np.median([m.outcome.seconds["sample"] for m in made]))
                figures[arm] = {"hits": hits, "score": Estimate.of([m.score for m in made]), **common(made)}
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
