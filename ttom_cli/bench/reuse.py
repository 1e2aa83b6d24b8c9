"""When does reuse help: how alike two scenes are, against what an adapter of the one brings to the other.

Entries are learnt on the compositions of one set, with their own objects and with others, whatever came of the videos.
Prompts of another set, which were never stored, then use some of them: of all that could be hits the most alike, the
least, and one between. What is counted is whether that does harm: less than the unguided model, or much less than
optimising.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import CheckConfig, GuideConfig, MemoryConfig
from ..memory import MemoryBank
from ..memory.search import ANY, candidates
from ..memory.signature import signature_of
from ..planning import make_planner
from ..runtime import Runtime
from .estimate import Estimate
from .making import Made, Tell, generated, scored
from .report import Row, Table
from .suite import EACH, Case, cases, other_objects

STORED, ASKED = "tune", "validate"
CATEGORIES = ("motion", "spatial", "binding", "paths", "several")
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.01)
NEAR = 0.1  # of the score, that a hit may stay behind optimising


@dataclass(frozen=True)
class Pair:
    """An entry used for a prompt."""

    likeness: float
    score: float
    iou: float
    unguided: Made
    bias: Made
    cold: Made

    @property
    def harmless(self) -> bool:
        return self.score >= self.unguided.score - 1e-6

    @property
    def near(self) -> bool:
        return self.score >= self.cold.score - NEAR

    @property
    def helps(self) -> bool:
        return self.harmless and self.near


def reuse_tables(runtime: Runtime, *, each: int, tell: Tell, stored: int = EACH) -> list[Table]:
    """By likeness what reuse brings, and by threshold how right it is."""
    with tempfile.TemporaryDirectory() as folder:
        bank = MemoryBank(Path(folder), capacity=10_000, scene=1.01)  # nothing is a hit while it is filled
        runtime = replace(runtime, bank=bank)
        learnt = _planned(STORED, stored)
        learnt += [other_objects(case, case.layout) for case in learnt]
        blind = CheckConfig(enabled=False)
        for _ in generated(runtime, learnt, runtime.card.guide, tell, "learning", MemoryConfig(), blind):
            pass
        pairs = list(_pairs(runtime, _planned(ASKED, each), tell))
        note = (
            f"{len(bank.entries())} entries learnt on {STORED}, {each * len(CATEGORIES)} prompts of {ASKED}; helps: "
            f"no worse than unguided, nor than cold by more than {NEAR:g}; likeness: the least of scenes' cosine and "
            "boxes' IoU"
        )
    return [_by_likeness(pairs, note), _by_threshold(pairs, note)]


def _planned(name: str, each: int) -> list[Case]:
    planner = make_planner()
    wanted = [case for case in cases(name, each) if case.category in CATEGORIES]
    return [replace(case, layout=case.layout or planner.plan(case.prompt)) for case in wanted]


def _pairs(runtime: Runtime, prompts: list[Case], tell: Tell):
    card, bank = runtime.card, runtime.bank
    signature = signature_of(card.guide, card.sample, runtime.parts)
    arms: dict[str, GuideConfig] = {
        "unguided": card.guide_in("off"), "bias": card.guide_in("attention"), "cold": card.guide
    }  # fmt: skip
    alone = replace(runtime, bank=None)
    made = {arm: list(scored(alone, prompts, guide, tell, arm)) for arm, guide in arms.items()}
    for i, case in enumerate(prompts):
        found = candidates(bank.index(), case.layout, model=card.name, guide=signature, least=ANY)
        fit = sorted((c for c in found if not c.reasons), key=lambda c: c.match.likeness(objects=False))
        for candidate in {c.entry.id: c for c in (fit[0], fit[len(fit) // 2], fit[-1])}.values() if fit else ():
            (hit,) = scored(
                runtime, [case], card.guide, lambda *_: None, "reuse", MemoryConfig(on_hit="skip"),
                entries=((candidate.entry.id, 1.0),),
            )  # fmt: skip
            base = {arm: made[arm][i] for arm in arms}
            yield Pair(candidate.match.likeness(objects=False), hit.score, hit.check.iou, **base)
        tell("reuse", i + 1, len(prompts))


def _by_likeness(pairs: list[Pair], note: str) -> Table:
    rows = []
    for low, high in zip(EDGES, EDGES[1:], strict=False):
        part = [p for p in pairs if low <= p.likeness < high]
        rows.append(Row(f"likeness {low:g} to {min(high, 1.0):g}" if part else f"none from {low:g}", _figures(part)))
    return Table("Reuse by likeness", note, [*rows, Row("all", _figures(pairs))])


def _figures(part: list[Pair]) -> dict:
    return {
        "pairs": len(part),
        "gain of IoU": Estimate.of([p.iou - p.unguided.check.iou for p in part]),
        "over the bias": Estimate.of([p.iou - p.bias.check.iou for p in part]),
        "under cold": Estimate.of([p.cold.check.iou - p.iou for p in part]),
        "harmless": Estimate.of([float(p.harmless) for p in part]),
        "near cold": Estimate.of([float(p.near) for p in part]),
        "helps": Estimate.of([float(p.helps) for p in part]),
    }


def _by_threshold(pairs: list[Pair], note: str) -> Table:
    """Of those so much alike, the share that helps (precision); of those that help, the share that is (recall)."""
    rows, helping = [], [p for p in pairs if p.helps]
    for least in (*EDGES[:-1], 0.9):
        taken = [p for p in pairs if p.likeness >= least]
        right = [p for p in taken if p.helps]
        figures = {
            "taken": len(taken), "precision": len(right) / len(taken) if taken else None,
            "recall": len(right) / len(helping) if helping else None,
        }  # fmt: skip
        rows.append(Row(f"at least {least:g}", figures))
    return Table("Reuse by threshold", note, rows)
