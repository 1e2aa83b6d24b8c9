"""How alike attention and masks are, and what many videos' figures come to.

Letters: P phrases, F latent frames, H x W tokens of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..guidance.losses import jsd, normalise

MEASURES = ("soft", "hard", "jsd")
"""Soft IoU and hard IoU, 0 to 1, more is better; Jensen-Shannon divergence in nats, 0 to ln 2, less is better."""

HALF = 0.5


def measure(maps: torch.Tensor, masks_PFHW: torch.Tensor) -> torch.Tensor:
    """MEASURES of maps (..., P, F, H, W): (..., 3), mean over the phrases and frames in which an object is.

    Soft IoU is sum(A M) / sum(A + M - A M) with A scaled to [0, 1] in each frame, as in the reference; hard IoU that
    of A and M cut at a half; for the divergence each is a distribution over the frame.
    """
    there = masks_PFHW.sum((-1, -2)) > 0
    a, m = _scaled(maps), masks_PFHW
    each = torch.stack([_iou(a, m), _iou((a >= HALF).float(), (m >= HALF).float()), jsd(normalise(maps), normalise(m))])
    return (each * there).sum((-1, -2)).movedim(0, -1) / there.sum()


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    low, high = maps.amin((-1, -2), keepdim=True), maps.amax((-1, -2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-12)


def _iou(a: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    both = (a * m).sum((-1, -2))
    return both / (a.sum((-1, -2)) + m.sum((-1, -2)) - both).clamp_min(1e-8)


@dataclass(frozen=True)
class Figure:
    """A mean over videos."""

    mean: float
    interval: float | None
    """Half of its 95 % interval, 1.96 sigma / sqrt(n), as in the reference; None for a single video."""

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.interval is None else f" ± {self.interval:.3f}")


def figure(values: np.ndarray) -> Figure:
    """Of one value a video."""
    interval = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
    return Figure(float(values.mean()), interval)
