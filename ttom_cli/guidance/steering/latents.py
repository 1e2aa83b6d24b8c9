"""The noisy latents themselves, moved down the gradient in each guided step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import torch

from ...config import GuideConfig
from .way import Way


class Latents(Way):
    """Steps of one length, `config.latent_lr` times the noise level; both branches and the scheduler see the move.

    `noise_level(step)` is that of a denoising step, 0 to 1.
    """

    learns = True

    def __init__(self, config: GuideConfig, noise_level: Callable[[int], float]):
        self.config, self.noise_level = config, noise_level
        self.reset()

    def reset(self):
        self._start = self._moved = self._delta = None

    def begin(self, step, kwargs):
        self._length = self.config.latent_lr * self.noise_level(step)
        self._start = kwargs["hidden_states"].detach()
        self._moved = self._start.clone()

    def tried(self, kwargs):
        self._moved.requires_grad_()
        return {**kwargs, "hidden_states": self._moved}

    def descend(self):
        gradient = self._moved.grad.float()
        direction = gradient / gradient.square().mean().sqrt().clamp_min(1e-12)
        self._moved = self._moved.detach() - self._length * direction.to(self._moved.dtype)

    def end(self):
        self._delta = self._moved.detach() - self._start
        self._start = self._moved = None

    @contextmanager
    def applied(self, acting, kwargs):
        yield kwargs if self._delta is None else {**kwargs, "hidden_states": self._move(kwargs["hidden_states"])}

    def scheduled(self, sample):
        moved = sample if self._delta is None else self._move(sample)
        self._delta = None
        return moved

    def _move(self, x: torch.Tensor) -> torch.Tensor:
        """In all branches of a batch alike."""
        delta = self._delta.to(x.dtype)
        return x + delta.repeat(len(x) // len(delta), *[1] * (x.ndim - 1))
