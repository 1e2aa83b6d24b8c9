"""Scores of a shapes video by its detected objects, in the manner of T2V-CompBench.

Where that benchmark detects with GroundingDINO and tracks with DOT, this one uses the shapes world's own
detector; the mapping from detections to scores is T2V-CompBench's. All scores are in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..layout import Layout
from ..layout.model import Box, center, iou
from ..shapes.captions import look_of
from ..shapes.detect import Found, track
from .suite import Case

MOVED = 0.05  # of the frame; less is standing


@dataclass(frozen=True)
class Score:
    """A video's scores: the category's own, the mean IoU with the layout, and how much was found."""

    value: float
    iou: float
    found: float
    """Share of (object, frame) pairs where the object is seen in its colour and shape."""
    direction: float | None = None
    """Share of the moving objects that go the right way."""


def score(case: Case, layout: Layout, video: np.ndarray, *, by: str = "look") -> Score:
    """Score one video (F, H, W, 3) of a case, planned as `layout`.

    `by` says what makes a detection the object: its "look" (colour and shape), or its "color" alone, for a
    model that draws the shapes badly; a case's colours are distinct.
    """
    found = track(video)
    if by == "color":
        shapes = dict(case.objects)
        found = [replace(f, shape=shapes.get(f.color, f.shape)) for f in found]
    boxes = {look: _boxes(found, look, len(video)) for look in dict.fromkeys(case.objects)}
    wanted = {look: [] for look in boxes}
    for track_ in layout.objects:
        wanted[look_of(track_.phrase)].append(track_)
    overlaps, seen = [], []
    for look, tracks in wanted.items():
        for f, there in enumerate(boxes[look]):
            t = f / (len(video) - 1)
            overlaps += _match([track.box_at(t) for track in tracks], there)
            seen += [i < len(there) for i in range(len(tracks))]
    value, direction = SCORERS[case.category](case, boxes)
    return Score(value, float(np.mean(overlaps)), float(np.mean(seen)), direction)


def _boxes(found: list[Found], look: tuple[str, str], frames: int) -> list[list[Box]]:
    """Boxes of all objects of a look, frame by frame, the longest-seen object first."""
    same = [f for f in found if (f.color, f.shape) == look]
    return [[f.boxes[i] for f in same if f.boxes[i]] for i in range(frames)]


def _match(wanted: list[Box], there: list[Box]) -> list[float]:
    """IoU of each wanted box with the one assigned to it, 0 for those left without."""
    table = np.array([[iou(a, b) for b in there] for a in wanted]).reshape(len(wanted), len(there))
    rows, columns = linear_sum_assignment(-table) if table.size else ([], [])
    values = np.zeros(len(wanted))
    values[rows] = table[rows, columns]
    return values.tolist()


def _motion(case: Case, boxes) -> tuple[float, float]:
    """0 where undetected in frame 1, 0.2 for a wrong direction, 0.2 + 0.8 of the way gone for the right one."""
    values, right = [], []
    for look, way in zip(case.objects, case.truth, strict=True):
        path = [center(b[0]) for b in boxes[look] if b]
        right.append(False)
        if not boxes[look][0]:
            values.append(0.0)
            continue
        dx, dy = path[-1][0] - path[0][0], path[-1][1] - path[0][1]
        gone = {"right": dx, "left": -dx, "down": dy, "up": -dy}[way]
        right[-1] = gone > MOVED and gone >= max(abs(dx), abs(dy)) - 1e-9
        values.append(0.2 + 0.8 * min(gone, 1.0) if right[-1] else 0.2)
    return float(np.mean(values)), float(np.mean(right))


def _spatial(case: Case, boxes) -> tuple[float, None]:
    """Each frame: both missing 0, one missing 0.2, wrong relation 0.4, right 0.4 + 0.6 (1 - IoU)."""
    values = []
    for first, second in zip(*(boxes[look] for look in case.objects), strict=True):
        if not first or not second:
            values.append(0.2 if first or second else 0.0)
            continue
        (ax, ay), (bx, by) = center(first[0]), center(second[0])
        dx, dy = ax - bx, ay - by
        horizontal = "left" if dx < 0 else "right"
        seen = horizontal if abs(dx) > abs(dy) else ("above" if dy < 0 else "below")
        right = seen == case.truth[0]
        values.append(0.4 + 0.6 * (1 - iou(first[0], second[0])) if right else 0.4)
    return float(np.mean(values)), None


def _numeracy(case: Case, boxes) -> tuple[float, None]:
    """Each frame: the share of classes whose count is exact."""
    exact = [[len(there) == n for there in boxes[look]] for look, n in zip(case.objects, case.truth, strict=True)]
    return float(np.mean(exact)), None


SCORERS = {"motion": _motion, "spatial": _spatial, "numeracy": _numeracy}
