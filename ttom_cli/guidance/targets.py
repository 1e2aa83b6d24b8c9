"""What the attention should look like: a Gaussian for each phrase in each latent frame.

Letters: P phrases, F latent frames, H x W tokens of a latent frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from ..layout import Box, Layout, Track
from ..layout.model import in_frame


@dataclass(frozen=True)
class Targets:
    """`mass` (P, F, H, W) sums to 1 over each present frame; `present` (P, F) says which are; `inside` (P, F, H, W) is
    the share of each cell that one of the boxes covers, the most that any does.

    `phrases[p]` are the key indices of row p's tokens, `rows[i]` is the row of the layout's object i.
    """

    mass: torch.Tensor
    present: torch.Tensor
    inside: torch.Tensor
    phrases: tuple[tuple[int, ...], ...]
    rows: tuple[int, ...] = ()

    @property
    def columns(self) -> torch.Tensor:
        """The key indices of all phrases' tokens, row by row: (T,)."""
        return torch.tensor([token for span in self.phrases for token in span])

    def to(self, device: torch.device) -> Targets:
        return replace(self, mass=self.mass.to(device), present=self.present.to(device), inside=self.inside.to(device))


def gaussian_targets(
    layout: Layout, spans: list[tuple[int, ...]], times: list[float], grid: tuple[int, int]
) -> Targets:
    """Targets for a layout (paper section 3.2; the reference's sigma of a quarter of the box's side).

    `spans[i]` are the token indices of object i; objects that share all tokens (the three dogs of
    "three dogs") share one row, the sum of their Gaussians. `times` are those of the latent frames.
    """
    phrases = tuple(dict.fromkeys(spans))
    rows = tuple(phrases.index(span) for span in spans)
    mass = torch.zeros(len(phrases), len(times), *grid)
    inside = torch.zeros(len(phrases), len(times), *grid)
    for track, p in zip(layout.objects, rows, strict=True):
        for f, t in enumerate(times):
            box = track.box_at(t)
            if box is not None:
                mass[p, f] += gaussian_mass(box, grid)
                inside[p, f] = torch.maximum(inside[p, f], covered(box, grid))
    total = mass.sum((-1, -2), keepdim=True)
    present = total[..., 0, 0] > 1e-6
    return Targets(mass / total.clamp_min(1e-6), present, inside, phrases, rows)


def absent(layout: Layout, times: list[float]) -> list[Track]:
    """The objects whose box is in the frame at none of the `times`: nothing can guide them."""
    return [t for t in layout.objects if not any(map(in_frame, filter(None, map(t.box_at, times))))]


def gaussian_mass(box: Box, grid: tuple[int, int]) -> torch.Tensor:
    """Mass of the box's Gaussian in each cell of the grid (H, W): centre of the part in the frame,
    sigma a quarter of that part's width and height. Exact integrals, so that no size of grid is too
    coarse; all zeros where the box is out of the frame."""
    x0, y0, x1, y1 = (min(max(v, 0.0), 1.0) for v in box)
    if x1 <= x0 or y1 <= y0:
        return torch.zeros(grid)
    rows = _cell_mass((y0 + y1) / 2, (y1 - y0) / 4, grid[0])
    columns = _cell_mass((x0 + x1) / 2, (x1 - x0) / 4, grid[1])
    return rows[:, None] * columns[None, :]


def covered(box: Box, grid: tuple[int, int]) -> torch.Tensor:
    """The share of each cell of the grid (H, W) that the box covers."""
    x0, y0, x1, y1 = box
    return _cover(y0, y1, grid[0])[:, None] * _cover(x0, x1, grid[1])[None, :]


def _cover(low: float, high: float, cells: int) -> torch.Tensor:
    """The share of each of the equal cells of [0, 1] between two places."""
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0).float() * cells


def _cell_mass(mean: float, sigma: float, cells: int) -> torch.Tensor:
    """Mass of a normal distribution in each of the equal cells of [0, 1]."""
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    cdf = 0.5 * (1 + torch.erf((edges - mean) / (sigma * math.sqrt(2))))
    return cdf.diff().float()
