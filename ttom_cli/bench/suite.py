"""Prompts for the shapes world, drawn from a seed; each knows what must be seen in its video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from ..shapes.captions import NUMBERS, plural
from ..shapes.world import COLORS, DIRECTIONS, SHAPES

MOVES = {"right": "moves right", "left": "moves left", "up": "rises", "down": "falls"}
RELATIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


@dataclass(frozen=True)
class Case:
    """A prompt of a category; `objects` are (colour, shape), `truth` is what its category scores.

    truth: a direction for each object (motion), the relation of the first to the second (spatial), or
    how many of each (numeracy).
    """

    category: str
    prompt: str
    objects: tuple[tuple[str, str], ...]
    truth: tuple


def single_and_pair_cases(seed: int, count: int) -> list[Case]:
    """`count` plain prompts of one object and `count` of two, for the unguided model."""
    rng = np.random.default_rng([seed, 11])
    looks = [_looks(rng, n) for n in [1] * count + [2] * count]
    return [Case("found", _join([_a(look) for look in group]), tuple(group), ()) for group in looks]


def compositional_cases(seed: int, count: int) -> list[Case]:
    """`count` prompts with two or three objects of each category: motion, spatial, numeracy."""
    rng = np.random.default_rng([seed, 12])
    makers: list[Callable] = [_motion, _spatial, _numeracy]
    return [maker(rng, i) for maker in makers for i in range(count)]


def triple_cases(seed: int, count: int) -> list[Case]:
    """`count` prompts of three objects that move in different directions."""
    rng = np.random.default_rng([seed, 13])
    return [_motion(rng, 2) for _ in range(count)]


def _motion(rng, i: int) -> Case:
    """Every third has three objects; the first two of any move in different directions."""
    group = _looks(rng, 3 if i % 3 == 2 else 2)
    ways = [str(d) for d in rng.permutation(list(DIRECTIONS))[: len(group)]]
    parts = [f"{_a(look)} {MOVES[way]}" for look, way in zip(group, ways, strict=True)]
    text = f"{parts[0]} while {parts[1]}" if len(parts) == 2 else _join(parts)
    return Case("motion", text, tuple(group), tuple(ways))


def _spatial(rng, i: int) -> Case:
    group = _looks(rng, 2)
    relation = list(RELATIONS)[i % len(RELATIONS)]
    return Case("spatial", f"{_a(group[0])} {RELATIONS[relation]} {_a(group[1])}", tuple(group), (relation,))


def _numeracy(rng, i: int) -> Case:
    """In turn: two alike, three alike, two alike and one other."""
    counts = next(islice(cycle([(2,), (3,), (2, 1)]), i % 3, None))
    group = _looks(rng, len(counts))
    parts = [_a((c, s)) if n == 1 else f"{NUMBERS[n]} {c} {plural(s)}" for n, (c, s) in zip(counts, group, strict=True)]
    return Case("numeracy", _join(parts), tuple(group), counts)


def _looks(rng, count: int) -> list[tuple[str, str]]:
    """Distinct colours, any shapes."""
    colors = rng.choice(list(COLORS), size=count, replace=False)
    return [(str(c), str(rng.choice(SHAPES))) for c in colors]


def _a(look: tuple[str, str]) -> str:
    return f"{'an' if look[0][0] in 'aeiou' else 'a'} {look[0]} {look[1]}"


def _join(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
