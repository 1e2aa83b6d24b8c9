"""The protocol of detectors, what they give, and their names.

Letters: F frames, H x W pixels. Frames are (F, H, W, 3) uint8, boxes are frame fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..config import CheckConfig
from ..layout.model import Box, center


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One thing as it was seen through a video."""

    boxes: tuple[Box | None, ...]
    """Where it is in each frame; None where it is not seen."""
    confidence: tuple[float, ...]
    """In each frame, 0 to 1; 0 where it is not seen."""
    masks: np.ndarray | None = None
    """Its pixels (F, H, W) bool, from a detector that gives them."""

    @property
    def frames(self) -> int:
        """In how many frames it is seen."""
        return sum(box is not None for box in self.boxes)


See = Callable[[np.ndarray, Sequence[str]], list[list[Sighting]]]
"""What a detector does: for each phrase the things in the frames that it names, the longest-seen first."""


class Detector(Protocol):
    """Finds things in frames by the words for them."""

    name: str

    def see(self, frames_FHWC: np.ndarray, phrases: Sequence[str]) -> list[list[Sighting]]:
        """For each phrase the things that it names, the longest-seen first; an empty list for none (see `See`)."""
        ...

    def to(self, device: str) -> None:
        """Move the detector's weights, if it has any."""
        ...


def make_detector(config: CheckConfig) -> Detector:
    """The detector that `config` names. Raises ModelError where its weights cannot be had."""
    if config.detector == "shapes":
        from .shapes import ShapesDetector

        return ShapesDetector()
    from .grounded_sam2 import GroundedSam2

    return GroundedSam2.load(config.detector_model, config.segmenter_model)


def link(seen: list[list], cost: Callable[[list, object], float], reach: float) -> list[list]:
    """Detections of each frame linked through the frames: a list a track, with a detection or None a frame.

    `cost(track so far, detection)` is how ill a detection continues a track; it does not from `reach` on.
    """
    tracks: list[list] = []
    for f, found in enumerate(seen):
        table = np.array([[cost(t, d) for d in found] for t in tracks]).reshape(len(tracks), len(found))
        rows, columns = linear_sum_assignment(table) if table.size else ((), ())
        matched = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if table[r, c] < reach}
        for t in tracks:
            t.append(None)
        for i, detection in enumerate(found):
            if i in matched:
                tracks[matched[i]][-1] = detection
            else:
                tracks.append([None] * f + [detection])
    return sorted(tracks, key=lambda t: sum(d is None for d in t))


def distance(past: list, box: Box) -> float:
    """How far a box is from where a track was last seen, a little more for each frame without it.

    `past` holds boxes, or None, a frame; it ends with the last frame before.
    """
    gap, last = next((g, b) for g, b in enumerate(reversed(past)) if b is not None)
    (x, y), (u, v) = center(last), center(box)
    return float(np.hypot(x - u, y - v)) + 0.01 * gap
