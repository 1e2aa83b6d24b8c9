"""Distances between an attention map and its target; both are distributions over a frame's tokens.

Shapes: maps and targets (..., H, W) that sum to 1 over (H, W); the result has the leading shape.
"""

from __future__ import annotations

import torch

EPSILON = 1e-8


def normalise(maps: torch.Tensor) -> torch.Tensor:
    """Attention maps (..., H, W) as distributions over each frame."""
    return maps / maps.sum((-1, -2), keepdim=True).clamp_min(EPSILON)


def jsd(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence in nats, 0 to ln 2 (paper eq. 4): KL of each from their mean, halved."""
    m = (p + q) / 2
    return (_kl(p, m) + _kl(q, m)) / 2


def _kl(p, m):
    return (p * ((p + EPSILON).log() - (m + EPSILON).log())).sum((-1, -2))


def l2(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Squared distance of the two distributions, 0 to 2; the paper's weaker alternative."""
    return (p - q).square().sum((-1, -2))


LOSSES = {"jsd": jsd, "l2": l2}


def alignment_loss(maps, targets, loss: str) -> torch.Tensor:
    """Mean loss over maps (..., P, F, H, W) and the phrases and frames in which an object is present (paper eq. 3)."""
    terms = LOSSES[loss](normalise(maps), targets.mass)
    return ((terms * targets.present).sum((-1, -2)) / targets.present.sum()).mean()
