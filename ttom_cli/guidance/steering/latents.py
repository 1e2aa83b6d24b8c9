"""The noisy latents themselves, moved down the gradient in each guided step."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from ...backbones import Backbone
from ...config import GuideConfig
from ...errors import BankError
from .way import Way

State = dict[str, torch.Tensor]
MOVE = "moves."
"""What the name of a step's move begins with, the step's number following."""


class Latents(Way):
    """Steps of one length, `config.latent_lr` times the noise level; both branches and the scheduler see the move.

    The moves can be `stored`, and made again in another video: with `optimise` as where each step starts, without it as
    they are. What is particular to a noise does not carry over, where things form does (measured: see the log).
    """

    def __init__(
        self, pipe, backbone: Backbone, config: GuideConfig, *, stored: State | None = None, optimise: bool = True
    ):
        self.pipe, self.backbone, self.config, self.learns = pipe, backbone, config, optimise
        self.denoiser = backbone.denoiser(pipe)
        self._stored = stored or {}
        self.reset()

    def reset(self):
        self._start = self._moved = self._delta = None
        self._moves: State = {}

    def begin(self, step, kwargs):
        self._name = f"{MOVE}{step}"
        self._length = self.config.latent_lr * self.backbone.noise_level(self.pipe, step)
        self._start = self.backbone.noisy(self.denoiser, kwargs).detach()
        self._moved = self._start.clone()
        move = self._stored.get(self._name)
        if move is not None:
            if move.shape != self._start.shape[1:]:
                raise BankError(
                    f"the stored moves do not fit: {tuple(move.shape)}, not {tuple(self._start.shape[1:])}",
                    "use the size that they were made for, or another bank",
                )
            self._moved += move.to(self._moved)

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
        self._moves[self._name] = self._delta[0]
        self._start = self._moved = None

    def state(self):
        """The moves, a tensor of one sample's latents for each guided step, in half precision."""
        return {name: move.half().cpu() for name, move in self._moves.items()}

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
