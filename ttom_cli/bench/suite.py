"""Three fixed sets of prompts and noises for the shapes world; each case knows what must be seen in its video.

Defaults are chosen on `tune`, what is then believed is tried on `validate`, and `report` is run once a release. The
three share no noise, and `report` has pairs of looks that no denoiser has seen together (`world.kept_out`), the others
have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..layout import Keyframe, Layout, Track
from ..shapes.captions import NUMBERS, plural
from ..shapes.world import COLORS, DIRECTIONS, SHAPES, kept_out

SETS = ("tune", "validate", "report")
EACH = 22  # prompts a category
MOVES = {"right": "moves right", "left": "moves left", "up": "rises", "down": "falls"}
RELATIONS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
AGAIN, OTHER = 500, 600  # what is added to a case's seed for another noise, and for other objects
HALF = 0.12  # half a side of the boxes of paths that cross, in fractions of the frame
REACH = (0.18, 0.82)  # where such paths begin and end
Look = tuple[str, str]
"""A colour and a shape."""


@dataclass(frozen=True)
class Case:
    """A prompt of a category, with its noise.

    truth: a direction for each object (motion, paths, and several where they move), the relation of the first to the
    second (spatial), how many of each (numeracy), or the colour that each turns into, '' for none (dynamic).
    """

    category: str
    prompt: str
    objects: tuple[Look, ...]
    truth: tuple
    seed: int = 0
    layout: Layout | None = None
    """Where the prompt does not say enough, its boxes; without it a planner makes them."""


def cases(name: str, each: int = EACH) -> list[Case]:
    """The first `each` prompts of each category of a set, category by category."""
    made = []
    for k, maker in enumerate(MAKERS.values()):
        for i in range(each):
            rng, seed = _noise(name, k, i)
            made.append(replace(maker(rng, i, name == "report"), seed=seed))
    return made


def _motion(rng, i: int, unseen: bool) -> Case:
    """Every third has three objects; the first two of any move in different directions."""
    group = _looks(rng, 3 if i % 3 == 2 else 2, unseen)
    ways = [str(d) for d in rng.permutation(list(DIRECTIONS))[: len(group)]]
    return Case("motion", _moving(group, ways), tuple(group), tuple(ways))


def _spatial(rng, i: int, unseen: bool) -> Case:
    a, b = group = _looks(rng, 2, unseen)
    relation = list(RELATIONS)[i % len(RELATIONS)]
    return Case("spatial", f"{_a(a)} {RELATIONS[relation]} {_a(b)}", tuple(group), (relation,))


def _numeracy(rng, i: int, unseen: bool) -> Case:
    """In turn: two alike, three alike, two alike and one other."""
    counts = ((2,), (3,), (2, 1))[i % 3]
    group = _looks(rng, len(counts), unseen)
    parts = [_a((c, s)) if n == 1 else f"{NUMBERS[n]} {c} {plural(s)}" for n, (c, s) in zip(counts, group, strict=True)]
    return Case("numeracy", _join(parts), tuple(group), counts)


def _binding(rng, i: int, unseen: bool) -> Case:
    """In turn two objects, and three of which two share their shape: nothing but which colour is whose."""
    group = _looks(rng, 2 + i % 2, unseen)
    if len(group) == 3:
        alike = [*group[:2], (group[2][0], group[0][1])]
        group = alike if unseen or not _any_kept_out(alike) else group
    return Case("binding", _join([_a(look) for look in group]), tuple(group), ())


def _dynamic(rng, i: int, unseen: bool) -> Case:
    """In turn alone and beside another: an object that turns into another colour."""
    group = _looks(rng, 1 + i % 2, unseen)
    free = [color for color in COLORS if color not in {c for c, _ in group}]
    turns = str(rng.choice(free))
    parts = [f"{_a(group[0])} turns {turns}", *(_a(look) for look in group[1:])]
    return Case("dynamic", _join(parts), tuple(group), (turns, *[""] * (len(group) - 1)))


def _paths(rng, i: int, unseen: bool) -> Case:
    """In turn: two meet head on and one passes before the other; two cross; one overtakes the other, near it."""
    a, b = group = _looks(rng, 2, unseen)
    low, high = REACH
    across = rng.random() < 0.5
    if i % 3 == 0:
        line = float(rng.uniform(0.3, 0.7))
        paths, ways = [((low, line), (high, line)), ((high, line), (low, line))], ("right", "left")
    elif i % 3 == 1:
        paths, ways = [((low, 0.5), (high, 0.5)), ((0.5, low), (0.5, high))], ("right", "down")
    else:
        line = float(rng.uniform(0.3, 0.5))
        paths, ways = [((low, line), (high, line)), ((0.36, line + 0.22), (0.64, line + 0.22))], ("right", "right")
    if across:  # the same with the axes exchanged
        paths = [tuple(point[::-1] for point in path) for path in paths]
        ways = tuple({"right": "down", "left": "up", "down": "right"}[way] for way in ways)
    tracks = [_track(f"{look[1]}_{n + 1}", look, path) for n, (look, path) in enumerate(zip(group, paths, strict=True))]
    prompt = _moving([a, b], ways)
    return Case("paths", prompt, tuple(group), ways, layout=Layout(prompt=prompt, objects=tuple(tracks)))


def _several(rng, i: int, unseen: bool) -> Case:
    """In turn: three that move, four that stand."""
    if i % 2 == 0:
        group = _looks(rng, 3, unseen)
        ways = [str(d) for d in rng.permutation(list(DIRECTIONS))[:3]]
        return Case("several", _moving(group, ways), tuple(group), tuple(ways))
    group = _looks(rng, 4, unseen)
    return Case("several", _join([_a(look) for look in group]), tuple(group), ())


MAKERS: dict[str, Callable] = {
    "motion": _motion, "spatial": _spatial, "numeracy": _numeracy, "binding": _binding, "dynamic": _dynamic,
    "paths": _paths, "several": _several,
}  # fmt: skip


def other_objects(case: Case, layout: Layout) -> Case:
    """The same composition, in the same boxes, of other objects, on another noise; for cases of single objects."""
    rng = np.random.default_rng([22, case.seed])
    while True:
        looks = _draw(rng, len(case.objects))
        if not set(looks) & set(case.objects):
            break
    new = dict(zip(case.objects, looks, strict=True))
    words = {_a(old): _a(look) for old, look in new.items()}
    prompt = re.sub("|".join(words), lambda found: words[found[0]], case.prompt)
    tracks = [
        replace(t, phrase=" ".join(look), word=look[1], attributes=(look[0],))
        for t in layout.objects
        for look in (new[(t.attributes[0], t.word)],)
    ]
    layout = replace(layout, prompt=prompt, enriched_prompt="", objects=tuple(tracks))
    return replace(case, prompt=prompt, objects=tuple(looks), layout=layout, seed=case.seed + OTHER)


def singles_and_pairs(name: str, each: int) -> list[Case]:
    """`each` plain prompts of one object and as many of two, for the unguided model."""
    return [*_drawn(name, "found", 7, each, 1), *_drawn(name, "found", 8, each, 2)]


def triples(name: str, each: int) -> list[Case]:
    """Prompts of three objects that move in different directions."""
    return _drawn(name, "motion", 9, each, 3)


def _drawn(name: str, category: str, k: int, each: int, objects: int) -> list[Case]:
    made = []
    for i in range(each):
        rng, seed = _noise(name, k, i)
        if category == "motion":
            case = _motion(rng, objects - 1, name == "report")
        else:
            group = _looks(rng, objects, name == "report")
            case = Case(category, _join([_a(look) for look in group]), tuple(group), ())
        made.append(replace(case, seed=seed))
    return made


def _noise(name: str, k: int, i: int) -> tuple[np.random.Generator, int]:
    """Of the i-th prompt of the k-th kind of a set: what its words are drawn from, and the seed of its noise."""
    number = SETS.index(name)
    return np.random.default_rng([21, number, k, i]), 1_000_000 * (number + 1) + 1000 * k + i


def _track(name: str, look: Look, path) -> Track:
    keyframes = [Keyframe(float(t), (x - HALF, y - HALF, x + HALF, y + HALF)) for t, (x, y) in enumerate(path)]
    return Track(id=name, phrase=" ".join(look), word=look[1], attributes=(look[0],), boxes=tuple(keyframes))


def _looks(rng, count: int, unseen: bool) -> list[Look]:
    """Distinct colours, any shapes; of several the first two are a pair that was kept out, or no two are."""
    while True:
        looks = _draw(rng, count)
        if kept_out(*looks[:2]) if unseen and count > 1 else not _any_kept_out(looks):
            return looks


def _any_kept_out(looks: list[Look]) -> bool:
    return any(kept_out(*pair) for pair in combinations(looks, 2))


def _draw(rng, count: int) -> list[Look]:
    colors = rng.choice(list(COLORS), size=count, replace=False)
    return [(str(c), str(rng.choice(SHAPES))) for c in colors]


def _moving(group: list[Look], ways) -> str:
    parts = [f"{_a(look)} {MOVES[way]}" for look, way in zip(group, ways, strict=True)]
    return f"{parts[0]} while {parts[1]}" if len(parts) == 2 else _join(parts)


def _a(look: Look) -> str:
    return f"{'an' if look[0][0] in 'aeiou' else 'a'} {look[0]} {look[1]}"


def _join(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
