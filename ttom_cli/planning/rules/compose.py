"""From what is wished of each object to boxes: a seeded search for paths that keep clear of each other.

A path is drawn for one object after the other, the best of many by its conflicts with those before it.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field, replace

from ...errors import PlanningError
from ...layout import Keyframe, Track
from ...layout.model import Box, center

STEPS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
OPPOSITE = {"right": "left", "left": "right", "up": "down", "down": "up"}
# A side of the frame by its name: the direction that goes there.
EDGES = {"left": "left", "right": "right", "top": "up", "above": "up", "bottom": "down", "below": "down"}
PATH = 0.56  # of the frame, the length of a motion; T2V-CompBench rewards long ones
CLOSE = 0.4  # of the frame, the length where several go one behind the other
SIDE = {1: 0.34, 2: 0.32, 3: 0.28}  # a box's side by the number of objects
MARGIN = 0.02
DRAWS, RESTARTS = 64, 12
MOST = 16  # objects of a layout, by its schema
SHRINKS, GOOD = 4, 0.05  # times that boxes are tried smaller, and the conflict that needs no such try
AROUND, TOWARDS, AFTER = "around", "towards", "after"  # relations that shape a path
# Relations of objects that move as one: where the first is beside the second, in halves of their sides, across and
# down; ahead stands for across in the direction of motion.
ATTACHED = {"riding": (0, -0.7), "holding": (-0.6, 0), "pushing": ("behind", 0), "pulling": ("ahead", 0)}
TOGETHER = ("in front of", "behind", "inside", "on", *ATTACHED)  # relations of objects whose boxes meet
NEARER = 1.6  # how much an object grows that comes nearer
ROUND = 9  # points of a full circle, its start counted twice


@dataclass
class Wish:
    """What the prompt asks of an object. Places are (x, y) centres, None where free."""

    start: tuple[float | None, float | None] | None = None
    end: tuple[float | None, float | None] | None = None
    direction: str | None = None
    drift: str | None = None  # a second one at the same time: up and to the left
    then: tuple[str, ...] = ()  # those that follow
    enters: str | None = None  # the direction of the side that it comes in by, or "somewhere"
    leaves: str | None = None  # of the side that it goes out by
    turn: int = 0  # along a circle: 1 clockwise, -1 against the clock
    nearer: int = 0  # to the camera: 1 comes nearer and grows, -1 goes away and shrinks
    grows: int = 0  # where it is: 1 grows, -1 shrinks
    pair: str | None = None  # what it does with another: swap places, pass, part, meet
    side: str | None = None  # on which it is of that pair
    row: bool = False  # side by side with its like
    length: float = PATH  # of its path, in frame sides
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
    _attach(wishes)
    _pair(wishes)
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
    return tuple(tracks)


def _each(wish: Wish, count: int) -> list[Wish]:
    """The wish of each of several: of a row's, with its place in it."""
    if count <= 1 or not wish.row:
        return [replace(wish) for _ in range(count)]
    height = (wish.start or (None, None))[1] or {"up": 0.8, "down": 0.2}.get(wish.direction, 0.5)
    dx = STEPS.get(wish.direction, (0, 0))[0]
    length = CLOSE if dx else wish.length  # one that moves along itself leaves room for that
    places = [(k + 0.5) / count * (1 - CLOSE * abs(dx)) + CLOSE * (dx < 0) for k in range(count)]
    return [replace(wish, start=(x, height), length=length) for x in places]


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
            other = _other(wishes, paths, k)
            drawn = [_propose(rng, wishes[k][1], side, other) for _ in range(DRAWS)]
            conflict, paths[k] = min(((_conflict(wishes, paths, k, p), p) for p in drawn), key=lambda pair: pair[0])
            total += conflict
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
    path: _Path
    rank: int
    count: int


def _other(wishes: list, paths: dict[int, _Path], k: int) -> _Other | None:
    """What an object circles, goes to, rides or stands on, where that has its path yet."""
    own = [n for n, (i, _) in enumerate(wishes) if i == wishes[k][0]]
    for relation, i in wishes[k][1].relations:
        others = [n for n, (j, _) in enumerate(wishes) if j == i]
        if relation not in (AROUND, TOWARDS, "on", *ATTACHED) or not others:
            continue
        which = own.index(k) % len(others)  # each of several riders has a horse
        if others[which] in paths:
            alike = [n for n, (_, w) in enumerate(wishes) if (relation, i) in w.relations][which :: len(others)]
            return _Other(relation, paths[others[which]], alike.index(k) if k in alike else 0, len(alike))
    return None


def _beside(other: _Other, side: float) -> _Path:
    """The path of what moves as one with another."""
    across, down = ATTACHED[other.relation]
    points, theirs = other.path.points, other.path.sides
    (x, _), (u, _) = points[0], points[-1]
    if across in ("behind", "ahead"):
        across = 0.95 * (1 if u >= x else -1) * (1 if across == "ahead" else -1)
    across += 1.2 * ((other.rank + 1) // 2) * (1 if other.rank % 2 else -1)
    reach = (side + theirs[0]) / 2
    moved = tuple((x + across * reach, y + down * reach) for x, y in points)
    return _Path(moved, (side, side * theirs[1] / theirs[0]))


def _propose(rng: random.Random, wish: Wish, side: float, other: _Other | None) -> _Path:
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
    if wish.turn:
        around = other.path.points[0] if relation == AROUND else (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6))
        arc = _arc(around, rng.uniform(0.2, 0.36), rng.uniform(0, 2 * math.pi), wish.turn * 2 * math.pi)
        return _Path(tuple((_clip(p, low, high), _clip(q, low, high)) for p, q in arc), sides)
    if wish.pair == "swap":  # each half round the other
        return _Path(_arc((0.5, 0.5), rng.uniform(0.25, 0.3), math.pi * (wish.side == "left"), math.pi), sides)
    x, y = rng.uniform(low, high), rng.uniform(low, high)
    start = wish.start or (None, None)
    x, y = (_clip(free if given is None else given, low, high) for free, given in zip((x, y), start, strict=True))
    ways = [wish.direction, *wish.then] if wish.direction else []
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
            return _Path(((x, y), (x, y)) if wish.grows else ((x, y),), sides)
        # What comes nearer from a side comes to the middle.
        end = (0.5, 0.5) if wish.start and wish.nearer > 0 else (x, y)
        return _Path(((x, y), end), sides)
    if towards and not wish.end:
        u, v = other.path.points[-1] if relation == TOWARDS else (rng.uniform(low, high), rng.uniform(low, high))
        beside = u + (side + 0.02) * rng.choice((-1, 1)) if relation == TOWARDS else u
        return _Path(((x, y), (_clip(beside, low, high), _clip(v, low, high))), sides)
    reach = min(wish.length, high - low)
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
    return _Path(tuple(points), sides)


def _arc(middle: tuple[float, float], radius: float, start: float, angle: float) -> tuple[tuple[float, float], ...]:
    """Points of an arc from the angle `start` on (in radians, 0 to the right, growing clockwise)."""
    angles = [start + angle * i / (ROUND - 1) for i in range(ROUND)]
    return tuple((middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles)


def _outside(point: tuple[float, float], way: str, side: float) -> tuple[float, float]:
    """The point beside this one, in a direction, where a box just is outside the frame."""
    return tuple(
        p if d == 0 else (1 + side / 2 if d > 0 else -side / 2) for p, d in zip(point, STEPS[way], strict=True)
    )


def _conflict(wishes: list, paths: dict[int, _Path], k: int, a: _Path) -> float:
    """How badly a path falls short of its length, crowds the others, or breaks a relation with one."""
    m, wish = wishes[k]
    total = 0.0
    if wish.direction:
        (x, y), (u, v) = a.points[:2]
        total += max(0.0, wish.length - abs(u - x) - abs(v - y))
    if not (wish.enters or wish.leaves):  # what is attached to another may stand out
        total += sum(max(0.0, -edge, edge - 1) for t in (0, 1) for edge in a.box(t))
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
    if relation == AFTER:  # in the other's track, a little behind
        (x, y), (u, v), (p, q) = a.points[0], a.points[-1], b.points[0]
        length = max(math.dist(a.points[0], a.points[-1]), 1e-6)
        dx, dy = (u - x) / length, (v - y) / length
        ahead, aside = (p - x) * dx + (q - y) * dy, abs((p - x) * dy - (q - y) * dx)
        return 2 * aside + 3 * max(0.0, a.sides[0] + 0.06 - ahead)
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
        reach = max(0.1, (b[2] - b[0] - a[2] + a[0]) / 2)
        return max(0.0, abs(a[3] - b[1]) - 0.03) * 3 + max(0.0, abs(dx) - reach)
    if relation == "next to":
        return max(0.0, abs(dx) - 0.45) + max(0.0, abs(dy) - 0.15)
    if relation in (AROUND, TOWARDS, AFTER, "between", *ATTACHED):
        return 0.0
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return max(0.0, 0.3 - along) * 3 + max(0.0, across - 0.15)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
