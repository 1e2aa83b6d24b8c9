"""From what is wished of each object to boxes: a seeded search for paths that keep clear of each other.

A path is drawn for one object after the other, the best of many by its conflicts with those before it.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, replace

from ...errors import PlanningError
from ...layout import Track
from .conflict import conflict
from .wishes import (
    AFTER,
    AROUND,
    ATTACHED,
    CLOSE,
    LANDING,
    NEARER,
    OPPOSITE,
    OVER,
    OVERTAKING,
    STEPS,
    TOWARDS,
    Path,
    Wish,
)

SIDE = {1: 0.34, 2: 0.32, 3: 0.28}  # a box's side by the number of objects
MARGIN = 0.02
DRAWS, RESTARTS = 64, 12
MOST = 16  # objects of a layout, by its schema
SHRINKS, GOOD = 4, 0.05  # times that boxes are tried smaller, and the conflict that needs no such try
ROAM = 0.25  # of what moves, and no way is said
ROUND = 9  # points of a full circle, its start counted twice


def compose(mentions: list) -> tuple[Track, ...]:
    """The tracks of least conflict that the search finds.

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
    wishes = [(i, wish) for i, m in enumerate(mentions) for wish in _each(m.wish, m.count)]
    _nest(wishes)
    _follow(wishes)
    _overtake(wishes)
    _attach(wishes)
    _pair(wishes)
    side = SIDE.get(len(wishes), 0.62 / len(wishes) ** 0.6)
    best, least = {}, float("inf")
    for _ in range(SHRINKS):  # what does not fit is tried smaller
        paths, short = _search(wishes, side)
        if short < 0.8 * least:
            best, least = paths, short
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
    return tuple(tracks)


def _each(wish: Wish, count: int) -> list[Wish]:
    """The wish of each of several: of a row's, with its place in it."""
    if count > 1 and wish.stack:
        apart = 0.62 / count
        return [replace(wish, start=(0.5, 0.8 - k * apart), size=wish.size * 0.5) for k in range(count)]
    if count <= 1 or not wish.row:
        return [replace(wish) for _ in range(count)]
    height = (wish.start or (None, None))[1] or {"up": 0.8, "down": 0.2}.get(wish.direction, 0.5)
    dx = STEPS.get(wish.direction, (0, 0))[0]
    length = CLOSE if dx else wish.length  # one that moves along itself leaves room for that
    places = [(k + 0.5) / count * (1 - CLOSE * abs(dx)) + CLOSE * (dx < 0) for k in range(count)]
    return [replace(wish, start=(x, height), length=length) for x in places]


def _search(wishes: list, side: float) -> tuple[dict[int, Path], float]:
    """The paths of least conflict for boxes of a side, and that conflict."""
    rng = random.Random(zlib.crc32(repr(wishes).encode()))
    # Those that others stand to come first, so that a circle has its middle.
    order = sorted(range(len(wishes)), key=lambda k: bool(wishes[k][1].relations))
    best, least = {}, float("inf")
    for _ in range(RESTARTS):
        paths: dict[int, Path] = {}
        total = 0.0
        for k in order:
            other = _other(wishes, paths, k)
            drawn = [_propose(rng, wishes[k][1], side, other) for _ in range(DRAWS)]
            short, paths[k] = min(((conflict(wishes, paths, k, p), p) for p in drawn), key=lambda pair: pair[0])
            total += short
        if total < least:
            best, least = paths, total
        if least == 0:
            break
    return best, least


def _nest(wishes: list) -> None:
    """What is inside another is smaller than that, and what carries several is larger."""
    for _, wish in wishes:
        for relation, other in wish.relations:
            if relation == "on":
                load = sum(("on", other) in w.relations for _, w in wishes)
                for carrier in (w for i, w in wishes if i == other):
                    carrier.size = max(carrier.size, 1.4 * load - 0.4)
            if relation == "inside" and wish.size >= 1:
                wish.size = 0.6
                for i, outer in wishes:
                    if i == other:
                        outer.size = max(outer.size, 1.25)


def _follow(wishes: list) -> None:
    """What follows another goes its way, and both go less far, so that they fit one behind the other."""
    for _, wish in wishes:
        for relation, other in wish.relations:
            for ahead in (w for i, w in wishes if i == other and relation == AFTER):
                wish.direction = wish.direction or ahead.direction or "right"
                ahead.direction = ahead.direction or wish.direction
                wish.length = ahead.length = CLOSE


def _overtake(wishes: list) -> None:
    """What overtakes another goes its way, and farther."""
    for _, wish in wishes:
        for other in (w for r, k in wish.relations if r == OVERTAKING for i, w in wishes if i == k):
            wish.direction = wish.direction or other.direction or "right"
            other.direction, other.length = wish.direction, CLOSE / 2


def _attach(wishes: list) -> None:
    """What is ridden, held, pushed or pulled has the path of who does it."""
    for _, wish in wishes:
        for relation, other in wish.relations:
            for carried in (w for i, w in wishes if i == other and relation in ATTACHED):
                for name in ("start", "end", "direction", "drift", "then", "enters", "leaves", "turn", "nearer"):
                    setattr(carried, name, getattr(carried, name) or getattr(wish, name))
                if relation == "holding":
                    carried.size = min(carried.size, 0.6)


def _pair(wishes: list) -> None:
    """The sides and the ways of two that meet, part, pass each other, or swap places."""
    for n, wish in enumerate([w for _, w in wishes if w.pair]):
        wish.side = ("left", "right")[n % 2]
        if wish.pair == "swap":
            continue
        wish.direction = wish.side if wish.pair == "part" else OPPOSITE[wish.side]
        if wish.pair != "pass":
            inner, outer = ((0.33, 0.5), (0.0, 0.5)) if wish.side == "left" else ((0.67, 0.5), (1.0, 0.5))
            wish.start, wish.end = (inner, outer) if wish.pair == "part" else (outer, inner)
            wish.length = 0.15


@dataclass(frozen=True)
class _Other:
    """A relation that shapes a path, the path of the other, and which of how many have that relation to it."""

    relation: str
    path: Path
    rank: int
    count: int


def _other(wishes: list, paths: dict[int, Path], k: int) -> _Other | None:
    """What an object circles, goes to, rides or stands on, where that has its path yet."""
    own = [n for n, (i, _) in enumerate(wishes) if i == wishes[k][0]]
    for relation, i in wishes[k][1].relations:
        others = [n for n, (j, _) in enumerate(wishes) if j == i]
        if relation not in (AROUND, TOWARDS, OVER, LANDING, "on", *ATTACHED) or not others:
            continue
        which = own.index(k) % len(others)  # each of several riders has a horse
        if others[which] in paths:
            alike = [n for n, (_, w) in enumerate(wishes) if (relation, i) in w.relations][which :: len(others)]
            return _Other(relation, paths[others[which]], alike.index(k) if k in alike else 0, len(alike))
    return None


def _beside(other: _Other, side: float) -> Path:
    """The path of what moves as one with another."""
    across, down = ATTACHED[other.relation]
    points, theirs = other.path.points, other.path.sides
    (x, _), (u, _) = points[0], points[-1]
    if across in ("behind", "ahead"):
        across = 0.95 * (1 if u >= x else -1) * (1 if across == "ahead" else -1)
    across += 1.2 * ((other.rank + 1) // 2) * (1 if other.rank % 2 else -1)
    reach = (side + theirs[0]) / 2
    moved = tuple((x + across * reach, y + down * reach) for x, y in points)
    return Path(moved, (side, side * theirs[1] / theirs[0]))


def _propose(rng: random.Random, wish: Wish, side: float, other: _Other | None) -> Path:
    """A random path that starts, ends and heads as wished, inside the frame."""
    side = min(0.6, side * wish.size)
    sides = {0: (side, side), 1: (side / NEARER**0.5, side * NEARER**0.5), -1: (side, side / NEARER)}[
        wish.nearer or wish.grows
    ]
    relation = other and other.relation
    if relation in ATTACHED:
        return _beside(other, side)
    half = max(sides) / 2 + MARGIN
    low, high = half, 1 - half
    if relation in (OVER, LANDING):
        arc = _leap(rng, wish, side, other)
        return Path(tuple((_clip(p, low, high), _clip(q, low, high)) for p, q in arc), sides)
    if wish.turn:
        around = other.path.points[0] if relation == AROUND else (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6))
        arc = _arc(around, rng.uniform(0.2, 0.36), rng.uniform(0, 2 * math.pi), wish.turn * 2 * math.pi)
        return Path(tuple((_clip(p, low, high), _clip(q, low, high)) for p, q in arc), sides)
    if wish.pair == "swap":  # each half round the other
        return Path(_arc((0.5, 0.5), rng.uniform(0.25, 0.3), math.pi * (wish.side == "left"), math.pi), sides)
    x, y = rng.uniform(low, high), rng.uniform(low, high)
    start = wish.start or (None, None)
    x, y = (_clip(free if given is None else given, low, high) for free, given in zip((x, y), start, strict=True))
    roams = [rng.choice(("left", "right")) if wish.roams == "any" else wish.roams] if wish.roams else []
    ways = [wish.direction, *wish.then] if wish.direction else roams
    crosses = wish.enters or wish.leaves
    if crosses and not ways:
        ways = ["right"]
    towards = not ways and any(relation == TOWARDS for relation, _ in wish.relations)
    if not (ways or wish.end or towards):
        if relation == "on" and not wish.start:  # along its upper edge, each of several in a place of its own
            x0, top, x1, _ = other.path.box(0)
            spot = (other.rank + 0.5) / other.count if other.count > 1 else rng.uniform(0.3, 0.7)
            x, y = x0 + spot * (x1 - x0), top - side / 2
        if not wish.nearer:
            return Path(((x, y), (x, y)) if wish.grows else ((x, y),), sides)
        # What comes nearer from a side comes to the middle.
        end = (0.5, 0.5) if wish.start and wish.nearer > 0 else (x, y)
        return Path(((x, y), end), sides)
    if towards and not wish.end:
        u, v = other.path.points[-1] if relation == TOWARDS else (rng.uniform(low, high), rng.uniform(low, high))
        beside = u + (side + 0.02) * rng.choice((-1, 1)) if relation == TOWARDS else u
        return Path(((x, y), (_clip(beside, low, high), _clip(v, low, high))), sides)
    reach = min(ROAM if roams else wish.length, high - low)
    # Where the path goes from its start, which is far enough back that the path fits.
    offsets = [(0.0, 0.0)]
    for way in ways:
        aside = STEPS.get(wish.drift, (0, 0)) if way == wish.direction else (0, 0)
        step = (d + e for d, e in zip(STEPS[way], aside, strict=True))
        offsets.append(tuple(p + reach * d for p, d in zip(offsets[-1], step, strict=True)))
    fitting = [(low - min(axis), high - max(axis)) for axis in zip(*offsets, strict=True)]
    x, y = (_clip(p, *fit) if given is None else p for p, given, fit in zip((x, y), start, fitting, strict=True))
    points = [tuple(_clip(p + d, low, high) for p, d in zip((x, y), offset, strict=True)) for offset in offsets]
    if wish.end:
        end = (p if given is None else _clip(given, low, high) for p, given in zip(points[-1], wish.end, strict=True))
        points[max(len(points) - 1, 1) :] = [tuple(end)]
    if wish.enters:
        points[0] = _outside(points[0], OPPOSITE[ways[0]] if wish.enters not in STEPS else wish.enters, sides[0])
    if wish.leaves:
        points[-1] = _outside(points[-1], ways[-1] if wish.leaves not in STEPS else wish.leaves, sides[1])
    return Path(tuple(points), sides)


def _leap(rng: random.Random, wish: Wish, side: float, other: _Other) -> tuple[tuple[float, float], ...]:
    """Over another from one side of it to the other, or down upon it."""
    (x, y), theirs = other.path.points[0], other.path.sides[0]
    reach, way = (side + theirs) / 2 + MARGIN, -1 if wish.direction == "left" else 1
    x += (other.rank - (other.count - 1) / 2) * 0.5 * side  # of several, each beside the last
    if other.relation == OVER:
        return (x - way * reach, y), (x, y - reach), (x + way * reach, y)
    on = x, y - reach + MARGIN
    first = wish.start or (x + rng.choice((-1, 1)) * reach, on[1] - 0.3)
    return tuple(p if p is not None else q for p, q in zip(first, on, strict=True)), on


def _arc(middle: tuple[float, float], radius: float, start: float, angle: float) -> tuple[tuple[float, float], ...]:
    """Points of an arc from the angle `start` on (in radians, 0 to the right, growing clockwise)."""
    angles = [start + angle * i / (ROUND - 1) for i in range(ROUND)]
    return tuple((middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles)


def _outside(point: tuple[float, float], way: str, side: float) -> tuple[float, float]:
    """The point beside this one, in a direction, where a box just is outside the frame."""
    return tuple(
        p if d == 0 else (1 + side / 2 if d > 0 else -side / 2) for p, d in zip(point, STEPS[way], strict=True)
    )


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
