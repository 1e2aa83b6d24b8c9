"""Where objects are, as the covered share of each token's cell: what attention is compared with.

Letters: P phrases, F latent frames, H x W tokens of a frame; boxes are frame fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..layout import Track
from ..layout.model import Box
from .detector import Sighting

Grid = tuple[int, int]


def coverage(box: Box, grid: Grid) -> torch.Tensor:
    """Share of each cell of the grid that the box covers: (H, W)."""

    def along(low: float, high: float, cells: int) -> torch.Tensor:
        edges = torch.linspace(0, 1, cells + 1).clamp(low, high)
        return edges.diff() * cells

    return along(box[1], box[3], grid[0])[:, None] * along(box[0], box[2], grid[1])[None, :]


def seen_masks(seen: Iterable[Sequence[Sighting]], frames: int, times: Sequence[float], grid: Grid) -> torch.Tensor:
    """The things that each phrase names, put together, in the frames nearest to `times`: (P, F, H, W).

    `seen` is a detector's answer for a video of so many `frames`. Where it gives no masks, boxes stand in.
    """
    nearest = [round(t * (frames - 1)) for t in times]
    return torch.stack([torch.stack([_seen(things, f, grid) for f in nearest]) for things in seen])


def _seen(things: Sequence[Sighting], frame: int, grid: Grid) -> torch.Tensor:
    shares = _covered([s.boxes[frame] for s in things if s.masks is None], grid)
    masks = [s.masks[frame] for s in things if s.masks is not None]
    if not masks:
        return shares
    pixels = torch.from_numpy(np.any(masks, axis=0)).float()
    return torch.maximum(shares, F.adaptive_avg_pool2d(pixels[None], grid)[0])


def planned_masks(tracks: Iterable[Sequence[Track]], times: Sequence[float], grid: Grid) -> torch.Tensor:
    """The boxes of the tracks of each phrase at `times`, put together: (P, F, H, W)."""
    return torch.stack([torch.stack([_covered([t.box_at(at) for t in row], grid) for at in times]) for row in tracks])


def _covered(boxes: Iterable[Box | None], grid: Grid) -> torch.Tensor:
    """In each cell the largest of the boxes' shares."""
    return torch.stack([torch.zeros(grid), *(coverage(box, grid) for box in boxes if box is not None)]).amax(0)
