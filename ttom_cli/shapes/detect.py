"""Find the shapes world's objects in decoded frames: colour, shape, box, and track.

Every pixel is explained as a blend of the background and one colour; what is more than half that
colour belongs to it. Connected regions are the objects, and the shape is the one whose ideal outline,
fitted to the region's box, overlaps it best. Boxes are frame fractions; videos are (F, H, W, 3) uint8.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from ..layout.model import Box, center
from .world import COLORS, EXTENT, SHAPES, signed_distance

MIN_AREA = 0.005  # of the frame; the smallest shape covers about 0.02
RESIDUAL = 90.0  # largest RGB distance of a pixel from its blend
REACH = 0.2  # farthest that an object moves from one frame to the next


@dataclass(frozen=True)
class Detection:
    """An object in one frame; `fit` is the IoU of its region with the ideal shape."""

    color: str
    shape: str
    box: Box
    fit: float


@dataclass(frozen=True)
class Found:
    """An object through a video: one detection or None a frame; colour and shape by majority."""

    color: str
    shape: str
    detections: tuple[Detection | None, ...]

    @property
    def boxes(self) -> list[Box | None]:
        return [d.box if d else None for d in self.detections]


def detect(frame_HWC: np.ndarray) -> list[Detection]:
    """All objects in a frame, largest first."""
    height, width = frame_HWC.shape[:2]
    found = []
    for color, mask in zip(COLORS, _color_masks(frame_HWC), strict=True):
        labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        for i, where in enumerate(ndimage.find_objects(labels), start=1):
            region = labels[where] == i
            if region.sum() < MIN_AREA * height * width:
                continue
            rows, columns = where
            box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
            shape, fit = _classify(region)
            found.append((region.sum(), Detection(color, shape, box, fit)))
    return [d for _, d in sorted(found, key=lambda pair: -pair[0])]


def _color_masks(frame_HWC: np.ndarray) -> np.ndarray:
    """Pixels that belong to each colour: (K, H, W) bool."""
    pixels_HWC = frame_HWC.astype(np.float32)
    border = np.concatenate([pixels_HWC[0], pixels_HWC[-1], pixels_HWC[:, 0], pixels_HWC[:, -1]])
    background = np.median(border, axis=0)
    away_KC = np.array(list(COLORS.values()), np.float32) - background
    share_KHW = np.einsum("hwc,kc->khw", pixels_HWC - background, away_KC)
    share_KHW /= (away_KC**2).sum(1)[:, None, None]
    blend_KHWC = background + np.clip(share_KHW, 0, 1.15)[..., None] * away_KC[:, None, None]
    residual_KHW = np.linalg.norm(pixels_HWC - blend_KHWC, axis=-1)
    nearest_HW = residual_KHW.argmin(0)
    own_KHW = nearest_HW == np.arange(len(COLORS))[:, None, None]
    return own_KHW & (share_KHW > 0.5) & (residual_KHW < RESIDUAL)


def _classify(region: np.ndarray) -> tuple[str, float]:
    """The shape whose outline in the region's box overlaps it best, and that IoU."""
    fits = {}
    for shape in SHAPES:
        ideal = _outline(shape, *region.shape)
        fits[shape] = float((region & ideal).sum() / (region | ideal).sum())
    best = max(fits, key=fits.get)
    return best, fits[best]


@cache
def _outline(shape: str, height: int, width: int) -> np.ndarray:
    """The filled shape in a box of this size: (H, W) bool."""
    ex, ey = EXTENT[shape]
    x = ((np.arange(width) + 0.5) / width * 2 - 1) * ex
    y = ((np.arange(height) + 0.5) / height * 2 - 1) * ey
    return signed_distance(shape, x[None, :], y[:, None], 1.0) <= 0


def track(video_FHWC: np.ndarray) -> list[Found]:
    """Objects linked through the frames by least movement, most often seen first.

    A colour change does not break a track, though a change of colour costs like a long move.
    """
    tracks: list[list[Detection | None]] = []
    for f, frame in enumerate(video_FHWC):
        seen = detect(frame)
        cost = np.array([[_cost(t, d) for d in seen] for t in tracks]).reshape(len(tracks), len(seen))
        rows, columns = linear_sum_assignment(cost) if cost.size else ((), ())
        matched = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if cost[r, c] < REACH}
        for t in tracks:
            t.append(None)
        for i, detection in enumerate(seen):
            if i in matched:
                tracks[matched[i]][-1] = detection
            else:
                tracks.append([None] * f + [detection])
    found = [_found(t) for t in tracks]
    return sorted(found, key=lambda t: t.detections.count(None))


def _cost(past: list[Detection | None], new: Detection) -> float:
    """Distance from where the track was last seen, more for another colour or a gap."""
    gap, last = next((g, d) for g, d in enumerate(reversed(past)) if d)
    (x, y), (u, v) = center(last.box), center(new.box)
    return float(np.hypot(x - u, y - v)) + 0.1 * (last.color != new.color) + 0.01 * gap


def _found(detections: list[Detection | None]) -> Found:
    present = [d for d in detections if d]
    color = Counter(d.color for d in present).most_common(1)[0][0]
    shape = Counter(d.shape for d in present).most_common(1)[0][0]
    return Found(color, shape, tuple(detections))
