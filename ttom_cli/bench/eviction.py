"""Which entries should go from a full bank: rules compared on made-up streams that are longer than the bank is large.

No model runs: a prompt is a number of its composition, and a hit is of use unless the composition is one of those whose
reuse fails. What a use saves are the seconds that its model takes to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from ..memory.choice import by_value
from ..memory.entry import Entry
from .estimate import Estimate
from .report import Row, Table

PROMPTS, CAPACITY, COMPOSITIONS, RUNS = 4000, 64, 400, 8
FAILING = 0.15  # of the compositions
SECONDS = (1.0, 10.0)  # of a small model and a large one, which share the bank

RULES: dict[str, Callable[[list[Entry]], Entry]] = {
    "LFU (the paper's)": lambda entries: min(entries, key=lambda e: (e.uses, e.clock)),
    "LRU": lambda entries: min(entries, key=lambda e: e.clock),
    "value (default)": lambda entries: by_value(entries)[0],
}
Tell = Callable[[str, int, int], None]


def steady(random: np.random.Generator) -> Iterable[int]:
    """Some compositions are much more frequent than others (Zipf's law)."""
    return random.choice(COMPOSITIONS, PROMPTS, p=_zipf())


def drifting(random: np.random.Generator) -> Iterable[int]:
    """As before, but every 500 prompts others are frequent."""
    parts = [
        random.permutation(COMPOSITIONS)[random.choice(COMPOSITIONS, 500, p=_zipf())] for _ in range(PROMPTS // 500)
    ]
    return np.concatenate(parts)


def scanned(random: np.random.Generator) -> Iterable[int]:
    """Every second prompt is of a composition that never comes again."""
    prompts = random.choice(COMPOSITIONS, PROMPTS, p=_zipf())
    prompts[::2] = COMPOSITIONS + np.arange(PROMPTS // 2)
    return prompts


STREAMS = {"steady": steady, "drifting": drifting, "half never again": scanned}


def eviction_table(*, seed: int = 0, tell: Tell) -> Table:
    """A row a rule: of the prompts, the share that hit with success, and of all seconds, the share that was saved."""
    rows = []
    for name, rule in RULES.items():
        figures = {}
        for stream, draw in STREAMS.items():
            runs = [_run(rule, draw(np.random.default_rng([seed, n]))) for n in range(RUNS)]
            figures[f"{stream}: hits"] = Estimate.of([hits for hits, _ in runs])
            figures["saved" if stream == "steady" else f"{stream}: saved"] = Estimate.of([saved for _, saved in runs])
            tell(f"{name}, {stream}", RUNS, RUNS)
        rows.append(Row(name, figures))
    note = f"{PROMPTS} prompts of {COMPOSITIONS} compositions, {CAPACITY} entries, {RUNS} streams each; simulated"
    return Table("Eviction", note, rows)


def _run(rule, prompts: Iterable[int]) -> tuple[float, float]:
    """The share of successful hits, and of seconds saved."""
    held: dict[int, Entry] = {}
    hits, saved, total = 0, 0.0, 0.0
    for time, composition in enumerate(map(int, prompts)):
        seconds = SECONDS[composition % 5 == 0]
        total += seconds
        entry = held.get(composition)
        if entry is None:
            if len(held) == CAPACITY:
                del held[int(rule(list(held.values())).id)]
            held[composition] = _entry(composition, seconds, time)
            continue
        fails = composition * 2654435761 % 1000 < 1000 * FAILING
        held[composition] = replace(entry, uses=entry.uses + 1, failed=entry.failed + fails, clock=time)
        hits += not fails
        saved += 0.0 if fails else seconds
    return hits / PROMPTS, saved / total


def _entry(composition: int, seconds: float, time: int) -> Entry:
    return Entry(
        id=str(composition), model="", prompt="", scene="", layout_json="", motion=[], guide={}, seed=0, losses=[0.0],
        seconds=seconds, clock=time, created=f"{time:06d}",
    )  # fmt: skip


def _zipf() -> np.ndarray:
    weights = 1 / np.arange(1, COMPOSITIONS + 1)
    return weights / weights.sum()
