"""Attention added up while a video is sampled, so that no map outlives its step.

Letters: K blocks, C columns (step ranges, and last the window), N heads, P phrases, F x H x W the token grid.
"""

from __future__ import annotations

import math

import torch

WINDOW = 0.84  # of the denoising steps; from there on blocks are compared: steps 42 to 49 of 50 in the reference


def window_start(steps: int) -> int:
    """The first step of the window, which ends with the last step."""
    return min(round(WINDOW * steps), steps - 1)


def step_ranges(steps: int, ranges: int) -> list[tuple[int, int]]:
    """First and last step of each range, as equal as can be; no more ranges than steps."""
    edges = [math.ceil(r * steps / min(ranges, steps)) for r in range(min(ranges, steps) + 1)]
    return [(a, b - 1) for a, b in zip(edges, edges[1:], strict=False)]


def sums_bytes(blocks: int, ranges: int, phrases: int, grid: tuple[int, int, int], heads: int = 0) -> int:
    """Bytes of `Sums`, whatever the number of steps; `heads` of each block, if they are told apart.

    Wan2.1-14B at 832x480x81, 50 steps, 10 ranges and 2 phrases: 40 blocks x 11 columns x 2 x 21 x 30 x 52 float32
    are 115 MB, and 419 MB more with its 40 heads. All maps of all steps would be 524 MB, and 21 GB with heads.
    """
    return 4 * blocks * (ranges + 1 + heads) * phrases * math.prod(grid)


class Sums:
    """Attention of each block to each phrase, summed over the steps of each column, in float32 on the CPU."""

    def __init__(self, steps: int, ranges: int):
        self.steps = steps
        self.ranges = step_ranges(steps, ranges)
        self.counts = [b - a + 1 for a, b in [*self.ranges, self.window]]
        self.total: torch.Tensor | None = None  # (K, C, P, F, H, W)
        self.heads: torch.Tensor | None = None  # (K, N, P, F, H, W), over the window alone

    @property
    def window(self) -> tuple[int, int]:
        """Its first and last step."""
        return window_start(self.steps), self.steps - 1

    def in_window(self, step: int) -> bool:
        return step >= self.window[0]

    def add(self, step: int, maps: list[torch.Tensor], grid: tuple[int, int, int]) -> None:
        """A step's maps, one a block: (P, FHW), or of each head (N, P, FHW)."""
        columns = [next(c for c, (a, b) in enumerate(self.ranges) if a <= step <= b)]
        if self.in_window(step):
            columns.append(len(self.ranges))
        for k, one in enumerate(maps):
            one = one.float().cpu().unflatten(-1, grid)
            if one.ndim == 5:
                self.heads = _zeros(self.heads, len(maps), one.shape)
                self.heads[k] += one
                one = one.mean(0)
            self.total = _zeros(self.total, len(maps), (len(self.counts), *one.shape))
            for c in columns:
                self.total[k, c] += one

    def means(self, block: int) -> torch.Tensor:
        """Mean attention of a block in each column: (C, P, F, H, W)."""
        return self.total[block] / torch.tensor(self.counts).view(-1, 1, 1, 1, 1)

    def head_means(self, block: int) -> torch.Tensor:
        """Mean attention of each head of a block in the window: (N, P, F, H, W)."""
        return self.heads[block] / self.counts[-1]


def _zeros(sums: torch.Tensor | None, blocks: int, shape) -> torch.Tensor:
    return torch.zeros(blocks, *shape) if sums is None else sums
