"""What the guide needs to know of a model family."""

from __future__ import annotations

from typing import Protocol

import torch

from ..config import GuideConfig


class Backbone(Protocol):
    """A model family. Letters: B batch, N heads, L video tokens, S keys, T phrase tokens, D head dim."""

    family: str

    def denoiser(self, pipe) -> torch.nn.Module:
        """The transformer that runs the guided steps."""

    def blocks(self, denoiser) -> int:
        """How many transformer blocks the denoiser has."""

    def text_attention(self, denoiser, block: int) -> torch.nn.Module:
        """The attention module of `block` whose keys hold the prompt. Raises ModelError if there is none."""

    def lora_targets(self, denoiser, config: GuideConfig) -> list[str]:
        """Full names of the linear layers that carry the adapter."""

    def grid(self, denoiser, latents_shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Token grid (F, H, W) of latents of this shape."""

    def token_grid(self, pipe, height: int, width: int) -> tuple[int, int]:
        """Tokens (H, W) of a frame of this size in pixels. Raises ModelError for a size it cannot take."""

    def latent_times(self, pipe, frames: int) -> list[float]:
        """Time of each latent frame, as a fraction of the video's duration.

        Raises ModelError for a number of frames that the model cannot make.
        """

    def video_queries(self, query, key, columns, kwargs):
        """The video's queries (B, N, L, D), all keys (B, N, S, D), and the phrase tokens' key indices (T,)."""

    def clean(self, prompt: str) -> str:
        """The prompt as the pipeline's tokenizer is given it."""

    def tokenizer(self, pipe):
        """The tokenizer that defines phrase spans."""

    def noise_level(self, pipe, step: int) -> float:
        """Standard deviation of the noise at a denoising step, 0 to 1."""

    def add_noise(self, pipe, clean, noise, timesteps):
        """Latents noised to the level of each timestep: all (B, ...)."""

    def batched(self, kwargs: dict, latents, timesteps) -> dict:
        """A conditional call's arguments with other latents and timesteps, repeated to their batch."""
