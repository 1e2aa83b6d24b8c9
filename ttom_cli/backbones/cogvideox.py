"""CogVideoX 2B, 5B and 1.5: one attention over [text, video], DDIM or DPM noise, guidance in the batch."""

from __future__ import annotations

import torch

from .base import Backbone


class CogVideoX(Backbone):
    family = "cogvideox"
    pipeline_step = 8
    cfg_in_batch = True

    def like(self, index, config):
        """1.5 takes latent frames in pairs; 5B has rotary positions, 2B has not."""
        if config.get("patch_size_t") is not None:
            return "cogvideox1.5-5b"
        return "cogvideox-5b" if config.get("use_rotary_positional_embeddings") else "cogvideox-2b"

    def block_names(self, denoiser) -> list[str]:
        return [f"transformer_blocks.{i}.attn1" for i in range(len(denoiser.transformer_blocks))]

    def grid(self, denoiser, kwargs):
        """Latents are (B, F, C, H, W)."""
        _, frames, _, height, width = kwargs["hidden_states"].shape
        patch = denoiser.config.patch_size
        return frames // (denoiser.config.patch_size_t or 1), height // patch, width // patch

    def cell(self, pipe):
        side = pipe.vae_scale_factor_spatial * self.denoiser(pipe).config.patch_size
        return side, side

    def frame_step(self, pipe) -> int:
        """Its VAE decodes latent frames two by two, after three."""
        return 2 * self.group(pipe) * (self.denoiser(pipe).config.patch_size_t or 1)

    def latent_times(self, pipe, frames):
        """CogVideoX 1.5 takes latent frames in pairs, and fills up with frames before the first."""
        times = super().latent_times(pipe, frames)
        pair = self.denoiser(pipe).config.patch_size_t or 1
        times = [0.0] * (-len(times) % pair) + times
        return [sum(times[i : i + pair]) / pair for i in range(0, len(times), pair)]

    def video_rows(self, length, kwargs):
        """The text comes first."""
        return slice(kwargs["encoder_hidden_states"].shape[1], None)

    def noise_level(self, pipe, step):
        t = int(pipe.scheduler.timesteps[step])
        return float((1 - pipe.scheduler.alphas_cumprod[t]).sqrt())

    def add_noise(self, pipe, clean, noise, timesteps):
        alpha = pipe.scheduler.alphas_cumprod.to(clean.device)[timesteps.to(clean.device, torch.long)]
        alpha = alpha.to(clean).view(-1, *[1] * (clean.ndim - 1))
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
