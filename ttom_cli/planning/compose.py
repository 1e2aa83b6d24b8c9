"""From what is wished of each object to boxes: a seeded search for paths that keep clear of each other.

A path is drawn for one object after the other, the best of many by its conflicts with those before it.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

from ..layout import Keyframe, Layout, Track
from ..layout.model import Box, center

STEPS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
PATH = 0.5  # of the frame, the length of a motion; T2V-CompBench rewards long ones
SIDE = {1: 0.34, 2: 0.32, 3: 0.28}  # a box's side by the number of objects
MARGIN = 0.02
DRAWS, RESTARTS = 64, 12
TOGETHER = ("in front of", "behind", "inside", "on")  # relations of objects whose boxes meet


@dataclass
class Wish:
    """What the prompt asks of an object. Places are (x, y) centres, None where free."""

    start: tuple[float | None, float | None] | None = None
    end: tuple[float | None, float | None] | None = None
    direction: str | None = None
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
    """The layout of least conflict that the search finds.

    Its seed is what is wished, not the words: scenes that differ in their objects alone get the same boxes,
    so that what the memory learnt on one fits the other.
    """
    wishes = [(i, m.wish) for i, m in enumerate(mentions) for _ in range(m.count)]
    side = SIDE.get(len(wishes), max(0.12, 0.62 / len(wishes) ** 0.6))
    rng = random.Random(zlib.crc32(repr(wishes).encode()))
    best, least = [], float("inf")
    for _ in range(RESTARTS):
        paths, total = [], 0.0
        for k in range(len(wishes)):
            drawn = [_propose(rng, wishes[k][1], side) for _ in range(DRAWS)]
            conflict, path = min(((_conflict(wishes, [*paths, p]), p) for p in drawn), key=lambda pair: pair[0])
            paths.append(path)
            total += conflict
        if total < least:
            best, least = paths, total
        if least == 0:
            break
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
    """How badly the last path falls short of its length, crowds the others, or breaks a relation with one."""
    k = len(paths) - 1
    (m, wish), a = wishes[k], paths[k]
    total = 0.0
    if wish.direction:
        total += max(0.0, PATH - abs(a.end[0] - a.start[0]) - abs(a.end[1] - a.start[1]))
    for (n, other), b in zip(wishes[:k], paths[:k], strict=True):
        mine = [r for r, i in wish.relations if i == n and m != n]
        theirs = [r for r, i in other.relations if i == m and m != n]
        if not any(r in TOGETHER for r in mine + theirs):
            total += sum(max(0.0, 0.06 - _gap(a.box(t / 6), b.box(t / 6))) for t in range(7))
        for t in (0, 0.5, 1):
            total += sum(_broken(r, a.box(t), b.box(t)) for r in mine)
            total += sum(_broken(r, b.box(t), a.box(t)) for r in theirs)
    return total


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
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return max(0.0, 0.3 - along) * 3 + max(0.0, across - 0.15)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
