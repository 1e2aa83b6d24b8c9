"""The noisy latents themselves, moved down the gradient in each guided step."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from ...backbones import Backbone
from ...config import GuideConfig
from .way import Way


class Latents(Way):
    """Steps of one length, `config.latent_lr` times the noise level; both branches and the scheduler see the move."""

    learns = True

    def __init__(self, pipe, backbone: Backbone, config: GuideConfig):
        self.pipe, self.backbone, self.config = pipe, backbone, config
        self.denoiser = backbone.denoiser(pipe)
        self.reset()

    def reset(self):
        self._start = self._moved = self._delta = None

    def begin(self, step, kwargs):
        self._length = self.config.latent_lr * self.backbone.noise_level(self.pipe, step)
        self._start = self.backbone.noisy(self.denoiser, kwargs).detach()
        self._moved = self._start.clone()

    def leaves(self):
        return [] if self._moved is None else [self._moved]

    def tried(self, kwargs):
        self._moved.requires_grad_()
        return self.backbone.with_noisy(self.denoiser, kwargs, self._moved)

    def descend(self):
        gradient = self._moved.grad.float()
        direction = gradient / gradient.square().mean().sqrt().clamp_min(1e-12)
        self._moved = self._moved.detach() - self._length * direction.to(self._moved.dtype)

    def end(self):
        self._delta = self._moved.detach() - self._start
        self._start = self._moved = None

    @contextmanager
    def applied(self, acting, kwargs):
        if self._delta is not None:
            moved = self._move(self.backbone.noisy(self.denoiser, kwargs))
            kwargs = self.backbone.with_noisy(self.denoiser, kwargs, moved)
        yield kwargs

    def scheduled(self, sample):
        moved = sample if self._delta is None else self._move(sample)
        self._delta = None
        return moved

    def _move(self, x: torch.Tensor) -> torch.Tensor:
        """In all branches of a batch alike."""
        delta = self._delta.to(x.dtype)
        return x + delta.repeat(len(x) // len(delta), *[1] * (x.ndim - 1))
