"""A video held against its layout: what is there, where, and whether it goes the right way.

The mapping from what is detected to scores in [0, 1] is T2V-CompBench's (motion binding, spatial relationships,
generative numeracy), which detects with GroundingDINO and tracks with DOT; here any `Detector` sees.

Letters: F frames, H x W pixels. Frames are (F, H, W, 3) uint8, boxes are frame fractions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..layout import Layout, Track
from ..layout.model import Box, area_in_frame, center, iou
from .detector import See, Sighting

MOVED = 0.05  # of the frame; less is standing
THERE = 0.5  # found: seen in more than this share of the frames in which it should be
STAYS = 0.8  # of those frames; an object that is seen in fewer comes and goes, which fails the video
SHOWN = 0.25  # least share of a box within the frame for its object to be looked for
ASTRAY = 0.15  # of the frame; an object this far from its box is said
SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis, sign
WAYS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}


@dataclass(frozen=True, kw_only=True)
class ObjectCheck:
    """One object of the layout, as it was seen."""

    id: str
    phrase: str
    frames: int
    """In how many frames it is seen."""
    of: int
    """In how many it should be."""
    iou: float
    """With its box, mean over the frames in which it should be; 0 where it is not seen."""
    planned: str | None
    """right, left, up or down; None where its box hardly moves."""
    went: str | None
    """The same of what was seen."""
    right_way: bool | None
    """Whether it went as planned; None where its box hardly moves."""
    motion: float | None
    """T2V-CompBench's motion binding; None where its box hardly moves."""
    astray: str = ""
    """Where it ends if not at its box, in words."""

    @property
    def found(self) -> bool:
        return self.frames > THERE * self.of

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words."""
        if not self.frames:
            return ["not seen"]
        faults = [f"seen in {self.frames} of {self.of} frames"] if self.frames < STAYS * self.of else []
        if self.right_way is False:
            faults.append(f"{f'goes {self.went}' if self.went else 'stands still'}, planned {self.planned}")
        return faults


@dataclass(frozen=True, kw_only=True)
class Check:
    """All that was seen of a layout in a video."""

    objects: tuple[ObjectCheck, ...]
    counts: dict[str, tuple[int, int]]
    """For each phrase, how many were seen (the median over frames) and how many planned."""
    relations: dict[str, bool | None]
    """For pairs that stand, 'red circle left of blue square' as the boxes have it, and whether it is so; None where the
    two are never seen together."""
    parts: dict[str, float]
    """T2V-CompBench's scores by category, as far as the layout has it: motion, spatial, numeracy."""

    @property
    def iou(self) -> float:
        """Mean over objects."""
        return float(np.mean([o.iou for o in self.objects]))

    @property
    def found(self) -> float:
        """Share of the (object, frame) pairs in which the object is seen that should be."""
        return sum(o.frames for o in self.objects) / max(sum(o.of for o in self.objects), 1)

    @property
    def right_way(self) -> float | None:
        """Share of the moving objects that went the right way; None where none should move."""
        moving = [o.right_way for o in self.objects if o.right_way is not None]
        return float(np.mean(moving)) if moving else None

    @property
    def score(self) -> float:
        """Mean over the categories that the layout has."""
        return float(np.mean(list(self.parts.values())))

    @property
    def faults(self) -> list[str]:
        """What keeps the video from passing, in words; empty where it passes."""
        said = [f"{name(o, self.objects)}: {', '.join(o.faults)}" for o in self.objects if o.faults]
        whole = {phrase for phrase in self.counts if all(o.found for o in self.objects if o.phrase == phrase)}
        for phrase, (seen, planned) in self.counts.items():
            if seen != planned and phrase in whole:
                said.append(f"{phrase}: {seen} seen, {planned} planned")
        return said + [f"not {relation}" for relation, right in self.relations.items() if right is False]

    @property
    def remarks(self) -> list[str]:
        """What is off and does not fail it, in words."""
        return [f"{name(o, self.objects)}: {o.astray}" for o in self.objects if o.astray and not o.faults]

    @property
    def passed(self) -> bool:
        return not self.faults

    @property
    def missing(self) -> bool:
        """Whether an object is not there."""
        return not all(o.found for o in self.objects)

    @property
    def rank(self) -> tuple:
        """To order tries by: what passes, then what has more objects, then the score."""
        return self.passed, sum(o.found for o in self.objects), self.score, self.iou

    def to_json(self) -> dict:
        figures = {"score": self.score, "iou": self.iou, "parts": self.parts}
        return {
            "passed": self.passed,
            **_rounded(figures),
            "objects": [{**_rounded(asdict(o)), "found": o.found} for o in self.objects],
            "counts": {phrase: {"seen": s, "planned": p} for phrase, (s, p) in self.counts.items()},
            "relations": self.relations,
            "faults": self.faults,
            "remarks": self.remarks,
        }


def name(o: ObjectCheck | Track, among) -> str:
    """An object in words: its phrase, or its id where several share that."""
    return o.phrase if sum(other.phrase == o.phrase for other in among) == 1 else o.id


def _rounded(value):
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def check(layout: Layout, video_FHWC: np.ndarray, see: See) -> Check:
    """Look for the layout's objects in a video; `see` is a detector's."""
    phrases = list(dict.fromkeys(track.phrase for track in layout.objects))
    seen = dict(zip(phrases, see(video_FHWC, phrases), strict=True))
    times = [i / max(len(video_FHWC) - 1, 1) for i in range(len(video_FHWC))]
    planned = [[_shown(track.box_at(t)) for t in times] for track in layout.objects]
    paths, extra = _assign(layout.objects, planned, seen)
    objects = tuple(map(_object, layout.objects, planned, paths))
    relations = _relations(layout.objects, planned, paths)
    parts = {
        "motion": [o.motion for o in objects if o.motion is not None],
        "spatial": [value for value, _ in relations.values()],
    }
    table = _counts(layout.objects, planned, paths, extra)
    if not any(parts.values()) or len(phrases) < len(layout.objects):
        parts["numeracy"] = [float(np.mean([seen == wanted for seen, wanted in row])) for row in table.values()]
    return Check(
        objects=objects,
        counts={phrase: _typical(row) for phrase, row in table.items()},
        relations={words: right for words, (_, right) in relations.items()},
        parts={part: float(np.mean(values)) for part, values in parts.items() if values},
    )


def _shown(box: Box | None) -> Box | None:
    """The box, if enough of it is in the frame for its object to be looked for."""
    if box is None:
        return None
    x0, y0, x1, y1 = box
    return box if area_in_frame(box) >= SHOWN * (x1 - x0) * (y1 - y0) else None


def _assign(tracks: tuple[Track, ...], planned, seen: dict[str, list[Sighting]]):
    """In each frame, each object gets the thing that its phrase names and that lies nearest to its box.

    No thing is given twice. (for each object a box or None a frame, for each phrase how many things are left over
    in each frame.)
    """
    things = {id(s): s for sightings in seen.values() for s in sightings}
    named = {phrase: {id(s) for s in sightings} for phrase, sightings in seen.items()}
    frames = len(planned[0])
    paths = [[None] * frames for _ in tracks]
    extra = {phrase: [0] * frames for phrase in seen}
    for f in range(frames):
        there = [(key, s.boxes[f]) for key, s in things.items() if s.boxes[f] is not None]
        wanted = [i for i, boxes in enumerate(planned) if boxes[f] is not None]
        # To be seen at all counts more than to be near.
        table = np.array([
            [(1 + iou(planned[i][f], box)) * (key in named[tracks[i].phrase]) for key, box in there] for i in wanted
        ]).reshape(len(wanted), len(there))  # fmt: skip
        used = set()
        for r, c in zip(*(linear_sum_assignment(-table) if table.size else ((), ())), strict=True):
            if table[r, c] > 0:
                paths[wanted[r]][f] = there[c][1]
                used.add(there[c][0])
        for phrase, keys in named.items():
            extra[phrase][f] = sum(key in keys and key not in used for key, _ in there)
    return paths, extra


def _object(track: Track, planned: list, path: list) -> ObjectCheck:
    overlaps = [iou(box, there) if there else 0.0 for box, there in zip(planned, path, strict=True) if box]
    way, farthest = _planned_way(planned)
    both = [f for f, there in enumerate(path) if there]
    moved, right, motion = (0.0, 0.0), None, None
    if both:
        # Up to where the plan is farthest from its start: for a straight path that is its end.
        last = max(f for f in both if f <= farthest) if both[0] < farthest else both[-1]
        moved = _between(path[both[0]], path[last])
    if way:
        gone = _along(moved, way)
        aside = math.sqrt(max(sum(v * v for v in moved) - gone**2, 0.0))
        right = gone > MOVED and gone >= aside - 1e-9
        first = next(f for f, box in enumerate(planned) if box)
        # 0 where undetected at first, .2 for a wrong direction, .2 + .8 of the way gone for the right one.
        motion = 0.0 if path[first] is None else 0.2 + 0.8 * min(gone, 1.0) * right
    return ObjectCheck(
        id=track.id, phrase=track.phrase, frames=sum(b is not None for b in path),
        of=sum(b is not None for b in planned), iou=float(np.mean(overlaps)) if overlaps else 0.0,
        planned=way and _name(way), went=_name(moved), right_way=right, motion=motion, astray=_astray(planned, path),
    )  # fmt: skip


def _planned_way(planned: list) -> tuple[tuple[float, float] | None, int]:
    """The planned movement from the first frame to the farthest, None if it hardly moves, and which frame that is."""
    shown = [f for f, box in enumerate(planned) if box]
    if not shown:
        return None, 0
    moves = {f: _between(planned[shown[0]], planned[f]) for f in shown}
    farthest = max(shown, key=lambda f: (round(math.hypot(*moves[f]), 6), f))
    return (moves[farthest] if math.hypot(*moves[farthest]) >= MOVED else None), farthest


def _between(a: Box, b: Box) -> tuple[float, float]:
    (x, y), (u, v) = center(a), center(b)
    return u - x, v - y


def _along(moved, way) -> float:
    return (moved[0] * way[0] + moved[1] * way[1]) / math.hypot(*way)


def _name(moved: tuple[float, float]) -> str | None:
    """The nearest of the four directions; None for hardly any movement."""
    if max(map(abs, moved)) < MOVED:
        return None
    return max(WAYS, key=lambda way: _along(moved, WAYS[way]))


def _astray(planned: list, path: list) -> str:
    """'ends .20 below its box', of the last frame in which it is seen; empty where it is near."""
    both = [(box, there) for box, there in zip(planned, path, strict=True) if box and there]
    if not both:
        return ""
    x, y = _between(*both[-1])
    if math.hypot(x, y) < ASTRAY:
        return ""
    words = [f"{abs(v):.2f} {less if v < 0 else more}".lstrip("0")
             for v, less, more in ((x, "left of", "right of"), (y, "above", "below")) if abs(v) >= MOVED]  # fmt: skip
    return f"ends {' and '.join(words)} its box"


def _relations(tracks: tuple[Track, ...], planned: list, paths: list) -> dict[str, tuple[float, bool | None]]:
    """Of pairs that stand and whose boxes are apart: T2V-CompBench's spatial score, and whether it is as planned; None
    where what is missing is said as missing, and nothing as standing wrong.

    Each frame scores 0 where both are missing, .2 where one is, .4 where they stand otherwise, and .4 + .6 (1 - IoU)
    where they stand right.
    """
    standing = [i for i, boxes in enumerate(planned) if all(boxes) and _planned_way(boxes)[0] is None]
    found = {}
    for k, i in enumerate(standing):
        for j in standing[k + 1 :]:
            side = _side(planned[i][0], planned[j][0])
            if side is None or tracks[i].phrase == tracks[j].phrase:
                continue
            values, right = [], []
            for p, q in zip(paths[i], paths[j], strict=True):
                if not p or not q:
                    values.append(0.2 if p or q else 0.0)
                    continue
                right.append(_dominant(p, q) == side)
                values.append(0.4 + 0.6 * (1 - iou(p, q)) if right[-1] else 0.4)
            words = f"{name(tracks[i], tracks)} {side} {name(tracks[j], tracks)}"
            found[words] = float(np.mean(values)), bool(np.mean(right) > THERE) if right else None
    return found


def _side(a: Box, b: Box) -> str | None:
    """How box a stands to box b, if they are apart on that axis."""
    side = _dominant(a, b)
    axis, sign = SIDES[side]
    apart = (b[axis] - a[axis + 2]) if sign < 0 else (a[axis] - b[axis + 2])
    return side if apart > -0.02 else None


def _dominant(a: Box, b: Box) -> str:
    x, y = _between(b, a)
    if abs(x) > abs(y):
        return "left of" if x < 0 else "right of"
    return "above" if y < 0 else "below"


def _counts(tracks: tuple[Track, ...], planned, paths, extra) -> dict[str, list[tuple[int, int]]]:
    """For each phrase and frame, how many are seen and how many are planned."""
    table = {}
    for phrase in extra:
        own = [i for i, track in enumerate(tracks) if track.phrase == phrase]
        wanted = [sum(planned[i][f] is not None for i in own) for f in range(len(planned[0]))]
        there = [sum(paths[i][f] is not None for i in own) + extra[phrase][f] for f in range(len(planned[0]))]
        table[phrase] = list(zip(there, wanted, strict=True))
    return table


def _typical(row: list[tuple[int, int]]) -> tuple[int, int]:
    """(seen, planned) of the frames in which most are planned: the median of what is seen there."""
    most = max(wanted for _, wanted in row)
    return int(np.median([seen for seen, wanted in row if wanted == most])), most
