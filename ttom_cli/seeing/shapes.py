"""Find the shapes world's objects in decoded frames: colour, shape, box, and track.

Every pixel is explained as a blend of the background and one colour; what is more than half that
colour belongs to it. Connected regions are the objects, and the shape is the one whose outline, ideal or
with its corners gone soft, fitted to the region's box, overlaps it best through the video. Boxes are
frame fractions; videos are (F, H, W, 3) uint8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from ..layout.model import Box
from ..shapes.captions import Look, cannot_draw, look_of
from ..shapes.world import COLORS, EXTENT, SHAPES, signed_distance
from .detector import Sighting, distance, link

MIN_AREA = 0.005  # of the frame; the smallest shape covers about 0.02
SOFT = 1.4  # pixels; by so much a decoder may blur an outline
RESIDUAL = 90.0  # largest RGB distance of a pixel from its blend
REACH = 0.2  # farthest that an object moves from one frame to the next


@dataclass(frozen=True)
class Detection:
    """An object in one frame."""

    color: str
    box: Box
    region: np.ndarray
    """Its pixels within the box."""
    fits: dict[str, float]
    """The IoU of its region with each shape."""

    @property
    def shape(self) -> str:
        return max(self.fits, key=self.fits.get)

    @property
    def fit(self) -> float:
        return max(self.fits.values())


@dataclass(frozen=True)
class Found:
    """An object through a video: one detection or None a frame; its colour by majority, its shape by its mean fit."""

    color: str
    shape: str
    detections: tuple[Detection | None, ...]

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        return tuple(d and d.box for d in self.detections)

    def is_a(self, look: Look) -> bool:
        """Whether it has the shape of a look, and for a third of its time at least the colour, if it names one.

        So what turns from red to blue on its way is a red circle, and a blue one.
        """
        color, shape = look
        there = [d.color for d in self.detections if d]
        return shape == self.shape and (color is None or 3 * there.count(color) >= len(there))

    def sighting(self, size: tuple[int, int]) -> Sighting:
        """As the protocol wants it, in frames of `size` (H, W)."""
        masks = np.zeros((len(self.detections), *size), bool)
        for mask, seen in zip(masks, self.detections, strict=True):
            if seen:
                x, y = (round(low * side) for low, side in zip(seen.box, size[::-1], strict=False))
                height, width = seen.region.shape
                mask[y : y + height, x : x + width] = seen.region
        return Sighting(
            boxes=self.boxes,
            confidence=tuple(d.fit if d else 0.0 for d in self.detections),
            masks=masks,
        )


def detect(frame_HWC: np.ndarray) -> list[Detection]:
    """All objects in a frame, largest first."""
    height, width = frame_HWC.shape[:2]
    found = []
    for color, mask in zip(COLORS, _color_masks(frame_HWC), strict=True):
        labels = _parts(mask)
        for i, where in enumerate(ndimage.find_objects(labels), start=1):
            region = labels[where] == i
            if region.sum() < MIN_AREA * height * width:
                continue
            rows, columns = where
            box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
            found.append((region.sum(), Detection(color, box, region, _fits(region))))
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


def _parts(mask_HW: np.ndarray) -> np.ndarray:
    """Connected regions, numbered from 1: (H, W). A bridge of fewer than three pixels does not connect."""
    cores, _ = ndimage.label(ndimage.binary_opening(mask_HW, np.ones((3, 3))), np.ones((3, 3)))
    away, nearest = ndimage.distance_transform_edt(cores == 0, return_indices=True)
    return np.where(mask_HW & (away <= 2), cores[tuple(nearest)], 0)


def _fits(region_HW: np.ndarray) -> dict[str, float]:
    """The IoU of a region with each shape's outline in its box, ideal or soft, whichever is nearer."""
    return {
        shape: max(
            float((region_HW & outline).sum() / (region_HW | outline).sum())
            for outline in _outlines(shape, *region_HW.shape)
        )
        for shape in SHAPES
    }


@cache
def _outlines(shape: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The filled shape that just fits a box of this size, ideal and blurred: (H, W) bool each."""
    soft = ndimage.gaussian_filter(np.pad(_ideal(shape, height + 2, width + 2), 4).astype(float), SOFT) > 0.5
    rows, columns = (np.flatnonzero(soft.any(axis)) for axis in (1, 0))
    if not len(rows):
        return (_ideal(shape, height, width),) * 2
    # Blurring takes corners away, a triangle's apex above all; the box is that of what is left.
    y, x = (np.linspace(at[0], at[-1], n).round().astype(int) for at, n in ((rows, height), (columns, width)))
    return _ideal(shape, height, width), soft[np.ix_(y, x)]


def _ideal(shape: str, height: int, width: int) -> np.ndarray:
    ex, ey = EXTENT[shape]
    x = ((np.arange(width) + 0.5) / width * 2 - 1) * ex
    y = ((np.arange(height) + 0.5) / height * 2 - 1) * ey
    return signed_distance(shape, x[None, :], y[:, None], 1.0) <= 0


def track(video_FHWC: np.ndarray) -> list[Found]:
    """Objects linked through the frames by least movement, most often seen first.

    A colour change does not break a track, though a change of colour costs like a long move.
    """
    return [_found(t) for t in link([detect(frame) for frame in video_FHWC], _cost, REACH)]


def _cost(past: list[Detection | None], new: Detection) -> float:
    last = next(d for d in reversed(past) if d)
    return distance([d and d.box for d in past], new.box) + 0.1 * (last.color != new.color)


def _found(detections: list[Detection | None]) -> Found:
    present = [d for d in detections if d]
    color = Counter(d.color for d in present).most_common(1)[0][0]
    shape = max(SHAPES, key=lambda s: sum(d.fits[s] for d in present))
    return Found(color, shape, tuple(detections))


class ShapesDetector:
    """The detector of the embedded models' world: knows its colours and shapes by the words of its captions."""

    name = "shapes"

    def see(self, frames_FHWC: np.ndarray, phrases: Sequence[str]) -> list[list[Sighting]]:
        """A thing that several phrases name is the same object in the list of each. What the world does not hold, a red
        dog or a pink ball, is not seen, whatever is red or a ball."""
        found = [(f, f.sighting(frames_FHWC.shape[1:3])) for f in track(frames_FHWC)]
        looks = [(None, None) if cannot_draw(phrase) else look_of(phrase) for phrase in phrases]
        return [[sighting for f, sighting in found if f.is_a(look)] for look in looks]

    def to(self, device: str) -> None:
        pass
