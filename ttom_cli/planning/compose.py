"""From what is wished of each object to boxes: a seeded search for paths that keep clear of each other."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

from ..layout import Keyframe, Layout, Track
from ..layout.model import Box

STEPS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
PATH = 0.5  # of the frame, the length of a motion; T2V-CompBench rewards long ones
SIDE = {1: 0.3, 2: 0.28, 3: 0.25}  # a box's side by the number of objects
MARGIN = 0.02
TRIES = 600


@dataclass
class Wish:
    """What the prompt asks of an object. Places are (x, y) centres, None where free."""

    start: tuple[float | None, float | None] | None = None
    end: tuple[float | None, float | None] | None = None
    direction: str | None = None
    moves: bool = False
    size: float = 1.0
    relations: list[tuple[str, int]] = field(default_factory=list)  # (relation, index of the other)


@dataclass(frozen=True)
class _Path:
    start: tuple[float, float]
    end: tuple[float, float]
    side: float

    def box(self, t: float) -> Box:
        x = self.start[0] + t * (self.end[0] - self.start[0])
        y = self.start[1] + t * (self.end[1] - self.start[1])
        half = self.side / 2
        return tuple(round(v, 4) for v in (x - half, y - half, x + half, y + half))


def compose(text: str, mentions: list, *, background: str, scene: str) -> Layout:
    """The layout of least conflict among `TRIES` random ones.

    The seed is what is wished, not its words: scenes that differ in their objects alone get the same boxes,
    so that what the memory learnt on one fits the other.
    """
    wishes = [(i, m.wish) for i, m in enumerate(mentions) for _ in range(m.count)]
    side = SIDE.get(len(wishes), max(0.12, 0.62 / len(wishes) ** 0.6))
    rng = random.Random(zlib.crc32(repr(wishes).encode()))
    best, least = None, float("inf")
    for _ in range(TRIES):
        paths = [_propose(rng, wish, side) for _, wish in wishes]
        conflict = _conflict(wishes, paths)
        if conflict < least:
            best, least = paths, conflict
    seen: dict[str, int] = {}
    tracks = []
    for (i, _), path in zip(wishes, best, strict=True):
        mention = mentions[i]
        word = mention.word.lower()
        seen[word] = seen.get(word, 0) + 1
        still = path.start == path.end
        keys = (Keyframe(0.0, path.box(0)),) if still else (Keyframe(0.0, path.box(0)), Keyframe(1.0, path.box(1)))
        tracks.append(
            Track(
                id=f"{word}_{seen[word]}",
                phrase=mention.phrase,
                word=mention.word,
                attributes=mention.attributes,
                boxes=keys,
            )
        )
    return Layout(
        prompt=text, enriched_prompt="", objects=tuple(tracks), background=background, camera="static", scene=scene
    )


def _propose(rng: random.Random, wish: Wish, side: float) -> _Path:
    """A random path that starts, ends and heads as wished, inside the frame."""
    side = min(0.6, side * wish.size)
    low, high = side / 2 + MARGIN, 1 - side / 2 - MARGIN
    x, y = rng.uniform(low, high), rng.uniform(low, high)
    start = wish.start or (None, None)
    x, y = (_clip(free if given is None else given, low, high) for free, given in zip((x, y), start, strict=True))
    if not (wish.direction or wish.end):
        return _Path((x, y), (x, y), side)
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
    return _Path((x, y), end, side)


def _conflict(wishes: list, paths: list[_Path]) -> float:
    """How badly paths crowd, break a relation, or fall short of their length."""
    total = 0.0
    for path, (_, wish) in zip(paths, wishes, strict=True):
        if wish.direction:
            length = abs(path.end[0] - path.start[0]) + abs(path.end[1] - path.start[1])
            total += max(0.0, PATH - length)
    for i, (a, (m, wish)) in enumerate(zip(paths, wishes, strict=True)):
        for j, (b, (n, _)) in enumerate(zip(paths, wishes, strict=True)):
            if i < j:
                total += sum(max(0.0, 0.06 - _gap(a.box(t / 6), b.box(t / 6))) for t in range(7))
            for relation, other in wish.relations:
                if other == n and m != n:
                    total += sum(_broken(relation, a.box(t), b.box(t)) for t in (0, 0.5, 1))
    return total


def _gap(a: Box, b: Box) -> float:
    """Distance between two boxes along the axis where they are farther apart; negative if they overlap."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


def _broken(relation: str, a: Box, b: Box) -> float:
    """How far a and b are from standing as the relation says, 0 if they do."""
    (ax, ay), (bx, by) = ((p[0] + p[2], p[1] + p[3]) for p in (a, b))
    dx, dy = (ax - bx) / 2, (ay - by) / 2
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}.get(relation)
    if along is None:
        return max(0.0, abs(dx) + abs(dy) - 0.5) if relation == "next to" else 0.0
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return max(0.0, 0.3 - along) * 3 + max(0.0, across - 0.15)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
