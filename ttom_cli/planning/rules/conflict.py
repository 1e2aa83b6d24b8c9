"""How badly a path falls short of what is wished of it."""

from __future__ import annotations

import math

from ...layout.model import Box, center
from .wishes import AFTER, AROUND, ATTACHED, LANDING, OVER, OVERTAKING, TOGETHER, TOWARDS, Path


def conflict(wishes: list, paths: dict[int, Path], k: int, a: Path) -> float:
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
            total += sum(max(0.0, 0.06 - gap(a.box(t / 6), b.box(t / 6))) for t in range(6 if TOWARDS in mine else 7))
        for r in mine:
            total += _broken_path(r, a, b) + sum(_broken(r, a.box(t), b.box(t)) for t in (0, 0.5, 1))
        for r in theirs:
            total += _broken_path(r, b, a) + sum(_broken(r, b.box(t), a.box(t)) for t in (0, 0.5, 1))
    return total + _not_between(wishes, {**paths, k: a})


def _not_between(wishes: list, paths: dict[int, Path]) -> float:
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


def _broken_path(relation: str, a: Path, b: Path) -> float:
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
    if relation == OVERTAKING:
        dx, dy = a.points[-1][0] - a.points[0][0], a.points[-1][1] - a.points[0][1]
        along = [(p - u) * dx + (q - v) * dy for (p, q), (u, v) in ((a.points[k], b.points[k]) for k in (0, -1))]
        return 4 * (max(0.0, 0.05 + along[0]) + max(0.0, 0.05 - along[1]))
    if relation in (OVER, LANDING):  # one that was squeezed by the frame
        reach, (x, y), (u, v) = (a.sides[0] + b.sides[0]) / 2, a.points[-1], b.points[0]
        if relation == OVER:
            return 2 * (max(0.0, reach - abs(x - u)) + max(0.0, reach - v + a.points[1][1]))
        return 2 * (max(0.0, abs(x - u) + abs(y + reach - v) - 0.05) + max(0.0, 0.1 - y + a.points[0][1]))
    if relation != TOWARDS:
        return 0.0
    moved = math.dist(a.points[0], a.points[-1])
    return max(0.0, 0.35 - moved) + max(0.0, 0.25 - gap(a.box(0), b.box(0))) + abs(gap(a.box(1), b.box(1)) - 0.02)


def gap(a: Box, b: Box) -> float:
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
    if relation in (AROUND, TOWARDS, AFTER, OVER, LANDING, OVERTAKING, "between", *ATTACHED):
        return 0.0
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[relation]
    across = abs(dy) if relation in ("left of", "right of") else abs(dx)
    return max(0.0, 0.3 - along) * 3 + max(0.0, across - 0.15)
