"""From what is wished of each object to boxes: a seeded search for paths that keep clear of each other.

A path is drawn for one object after the other, the best of many by its conflicts with those before it.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field

from ..errors import PlanningError
from ..layout import Keyframe, Layout, Track
from ..layout.model import Box, center

STEPS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
PATH = 0.56  # of the frame, the length of a motion; T2V-CompBench rewards long ones
SIDE = {1: 0.34, 2: 0.32, 3: 0.28}  # a box's side by the number of objects
MARGIN = 0.02
DRAWS, RESTARTS = 64, 12
MOST = 16  # objects of a layout, by its schema
SHRINKS, GOOD = 4, 0.05  # times that boxes are tried smaller, and the conflict that needs no such try
TOGETHER = ("in front of", "behind", "inside", "on")  # relations of objects whose boxes meet
AROUND, TOWARDS = "around", "towards"  # relations that shape a path
NEARER = 1.6  # how much an object grows that comes nearer
ROUND = 9  # points of a full circle, its start counted twice


@dataclass
class Wish:
    """What the prompt asks of an object. Places are (x, y) centres, None where free."""

    start: tuple[float | None, float | None] | None = None
    end: tuple[float | None, float | None] | None = None
    direction: str | None = None
    turn: int = 0  # along a circle: 1 clockwise, -1 against the clock
    nearer: int = 0  # to the camera: 1 comes nearer and grows, -1 goes away and shrinks
    size: float = 1.0
    relations: list[tuple[str, int]] = field(default_factory=list)  # (relation, index of the other)


@dataclass(frozen=True)
class _Path:
    """Centres at equal times, and the box's side at the first and the last of them."""

    points: tuple[tuple[float, float], ...]
    sides: tuple[float, float]

    def keyframes(self) -> tuple[Keyframe, ...]:
        times = [i / max(len(self.points) - 1, 1) for i in range(len(self.points))]
        return tuple(Keyframe(round(t, 4), self.box(t)) for t in times)

    def box(self, t: float) -> Box:
        spot = t * (len(self.points) - 1)
        i = min(int(spot), max(len(self.points) - 2, 0))
        a, b, w = self.points[i], self.points[min(i + 1, len(self.points) - 1)], spot - i
        x, y = (p + w * (q - p) for p, q in zip(a, b, strict=True))
        half = (self.sides[0] + t * (self.sides[1] - self.sides[0])) / 2
        return tuple(round(v, 4) for v in (x - half, y - half, x + half, y + half))


def compose(text: str, mentions: list, *, background: str, scene: str) -> Layout:
    """The layout of least conflict that the search finds.

    Its seed is what is wished, not the words: scenes that differ in their objects alone get the same boxes,
    so that what the memory learnt on one fits the other.
    """
    total = sum(m.count for m in mentions)
    if total > MOST:
        many = max(mentions, key=lambda m: m.count)
        raise PlanningError(
            f"the prompt asks for {total} objects ({many.count} {many.phrase!r}), and a layout holds {MOST} at most",
            "name fewer, or several as one ('a flock of birds')",
        )
    wishes = [(i, m.wish) for i, m in enumerate(mentions) for _ in range(m.count)]
    _nest(wishes)
    side = SIDE.get(len(wishes), 0.62 / len(wishes) ** 0.6)
    best, least = {}, float("inf")
    for _ in range(SHRINKS):  # what does not fit is tried smaller
        paths, conflict = _search(wishes, side)
        if conflict < 0.8 * least:
            best, least = paths, conflict
        if least < GOOD:
            break
        side *= 0.8
    seen: dict[str, int] = {}
    tracks = []
    for k, (i, _) in enumerate(wishes):
        mention = mentions[i]
        word = mention.word.lower()
        seen[word] = seen.get(word, 0) + 1
        tracks.append(
            Track(
                id=f"{word}_{seen[word]}",
                phrase=mention.phrase,
                word=mention.word,
                attributes=mention.attributes,
                boxes=best[k].keyframes(),
            )
        )
    return Layout(
        prompt=text, enriched_prompt="", objects=tuple(tracks), background=background, camera="static", scene=scene
    )


def _search(wishes: list, side: float) -> tuple[dict[int, _Path], float]:
    """The paths of least conflict for boxes of a side, and that conflict."""
    rng = random.Random(zlib.crc32(repr(wishes).encode()))
    # Those that others stand to come first, so that a circle has its middle.
    order = sorted(range(len(wishes)), key=lambda k: bool(wishes[k][1].relations))
    best, least = {}, float("inf")
    for _ in range(RESTARTS):
        paths: dict[int, _Path] = {}
        total = 0.0
        for k in order:
            middle = _middle(wishes, paths, k)
            drawn = [_propose(rng, wishes[k][1], side, middle) for _ in range(DRAWS)]
            conflict, paths[k] = min(((_conflict(wishes, paths, k, p), p) for p in drawn), key=lambda pair: pair[0])
            total += conflict
        if total < least:
            best, least = paths, total
        if least == 0:
            break
    return best, least


def _nest(wishes: list) -> None:
    """What is inside another is smaller than that."""
    for _, wish in wishes:
        for relation, other in wish.relations:
            if relation == "inside" and wish.size >= 1:
                wish.size = 0.6
                for i, outer in wishes:
                    if i == other:
                        outer.size = max(outer.size, 1.25)


def _middle(wishes: list, paths: dict[int, _Path], k: int) -> tuple[float, float] | None:
    """What an object circles: the middle of the other, where the prompt names one."""
    others = [i for relation, i in wishes[k][1].relations if relation == AROUND]
    return next((paths[n].points[0] for n in paths if wishes[n][0] in others), None)


def _propose(rng: random.Random, wish: Wish, side: float, middle: tuple[float, float] | None) -> _Path:
    """A random path that starts, ends and heads as wished, inside the frame."""
    side = min(0.6, side * wish.size)
    sides = {0: (side, side), 1: (side / NEARER**0.5, side * NEARER**0.5), -1: (side, side / NEARER)}[wish.nearer]
    half = max(sides) / 2 + MARGIN
    low, high = half, 1 - half
    if wish.turn:
        x, y = middle or (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6))
        radius, phase = rng.uniform(0.2, 0.36), rng.uniform(0, 2 * math.pi)
        angles = [phase + wish.turn * 2 * math.pi * i / (ROUND - 1) for i in range(ROUND)]
        circle = ((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles)
        return _Path(tuple((_clip(p, low, high), _clip(q, low, high)) for p, q in circle), sides)
    x, y = rng.uniform(low, high), rng.uniform(low, high)
    start = wish.start or (None, None)
    x, y = (_clip(free if given is None else given, low, high) for free, given in zip((x, y), start, strict=True))
    towards = not wish.direction and any(relation == TOWARDS for relation, _ in wish.relations)
    if not (wish.direction or wish.end or towards):
        if not wish.nearer:
            return _Path(((x, y),), sides)
        # What comes nearer from a side comes to the middle.
        end = (0.5, 0.5) if wish.start and wish.nearer > 0 else (x, y)
        return _Path(((x, y), end), sides)
    if towards and not wish.end:
        return _Path(((x, y), (rng.uniform(low, high), rng.uniform(low, high))), sides)
    dx, dy = STEPS.get(wish.direction, (0, 0))
    reach = min(PATH, high - low)
    if wish.start is None:  # begin far enough back that the path fits
        x = _clip(x, low + reach * (dx < 0), high - reach * (dx > 0))
        y = _clip(y, low + reach * (dy < 0), high - reach * (dy > 0))
    elif wish.start[0] is None and dx:
        x = low if dx > 0 else high
    elif wish.start[1] is None and dy:
        y = low if dy > 0 else high
    ends = wish.end or (None, None)
    end = tuple(
        _clip(p + reach * d if given is None else given, low, high)
        for p, d, given in zip((x, y), (dx, dy), ends, strict=True)
    )
    return _Path(((x, y), end), sides)


def _conflict(wishes: list, paths: dict[int, _Path], k: int, a: _Path) -> float:
    """How badly a path falls short of its length, crowds the others, or breaks a relation with one."""
    m, wish = wishes[k]
    total = 0.0
    if wish.direction:
        (x, y), (u, v) = a.points[0], a.points[-1]
        total += max(0.0, PATH - abs(u - x) - abs(v - y))
    if wish.turn:  # one that was squeezed by the frame is no circle
        xs, ys = zip(*a.points, strict=True)
        total += abs((max(xs) - min(xs)) - (max(ys) - min(ys)))
    for n, b in paths.items():
        i, other = wishes[n]
        mine = [r for r, j in wish.relations if j == i and m != i]
        theirs = [r for r, j in other.relations if j == m and m != i]
        if not any(r in TOGETHER for r in mine + theirs):
            total += sum(max(0.0, 0.06 - _gap(a.box(t / 6), b.box(t / 6))) for t in range(6 if TOWARDS in mine else 7))
        for r in mine:
            total += _broken_path(r, a, b) + sum(_broken(r, a.box(t), b.box(t)) for t in (0, 0.5, 1))
        for r in theirs:
            total += _broken_path(r, b, a) + sum(_broken(r, b.box(t), a.box(t)) for t in (0, 0.5, 1))
    return total + _not_between(wishes, {**paths, k: a})


def _not_between(wishes: list, paths: dict[int, _Path]) -> float:
    """How far objects are from the middle of those that they are between, and these from being side by side."""
    total = 0.0
    for k, (_, wish) in enumerate(wishes):
        among = [i for relation, i in wish.relations if relation == "between"]
        ends = [paths[n].points[0] for n in paths if wishes[n][0] in among]
        if len(ends) < 2:
            continue
        (x0, y0), (x1, y1) = ends[0], ends[-1]
        total += abs(y0 - y1) + max(0.0, 0.64 - abs(x0 - x1))
        if k in paths:
            x, y = paths[k].points[0]
            total += 4 * max(0.0, math.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2) - 0.04)
    return total


def _broken_path(relation: str, a: _Path, b: _Path) -> float:
    """How far a is from going to b as the relation says."""
    if relation == AROUND and len(a.points) > 2:  # the middle of the circle is the other, not a place beside it
        middle = [sum(p) / (len(a.points) - 1) for p in zip(*a.points[:-1], strict=True)]
        return 2 * max(0.0, math.dist(middle, b.points[0]) - 0.05)
    if relation != TOWARDS:
        return 0.0
    moved = math.dist(a.points[0], a.points[-1])
    return max(0.0, 0.35 - moved) + max(0.0, 0.25 - _gap(a.box(0), b.box(0))) + abs(_gap(a.box(1), b.box(1)) - 0.02)


def _gap(a: Box, b: Box) -> float:
    """Distance between two boxes along the axis where they are farther apart; negative if they overlap."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


def _broken(relation: str, a: Box, b: Box) -> float:
    """How far a and b are from standing as the relation says, 0 if they do."""
    (ax, ay), (bx, by) = center(a), center(b)
    dx, dy = ax - bx, ay - by
    if relation in ("in front of", "behind"):  # the one in front stands lower, and they overlap
        lower = a[3] - b[3] if relation == "in front of" else b[3] - a[3]
        return max(0.0, 0.06 - lower) + max(0.0, lower - 0.15) + max(0.0, abs(dx) - 0.12)
    if relation == "inside":
        return max(0.0, abs(dx) - 0.05) + max(0.0, abs(dy) - 0.05)
    if relation == "on":
        return max(0.0, abs(a[3] - b[1]) - 0.03) * 3 + max(0.0, abs(dx) - 0.1)
    if relation == "next to":
        return max(0.0, abs(dx) - 0.45) + max(0.0, abs(dy) - 0.15)
    if relation in (AROUND, TOWARDS, "between"):
        return 0.0
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return max(0.0, 0.3 - along) * 3 + max(0.0, across - 0.15)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
