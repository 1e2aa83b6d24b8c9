"""CogVideoX 2B, 5B and 1.5: one attention over [text, video], DDIM or DPM noise, guidance in the batch."""

from __future__ import annotations

from dataclasses import replace

from ..config import SampleConfig
from .base import Backbone
from .card import PAPER_GUIDE, ModelCard

SAMPLE = SampleConfig(
    height=480, width=720, frames=49, fps=8, steps=50, guidance_scale=6.0, max_sequence_length=226,
)  # fmt: skip
GUIDE = replace(PAPER_GUIDE, blocks=(20, 21), adapt=tuple(range(12, 22)))


class CogVideoX(Backbone):
    family = "cogvideox"
    cards = (
        ModelCard(
            name="cogvideox-5b", source="zai-org/CogVideoX-5b", pipeline="CogVideoXPipeline",
            parameters="5 B", weights=21,
            sample=replace(SAMPLE, more={"use_dynamic_cfg": True}), guide=GUIDE,
            note="settings of CogVideoX; blocks of the reference code",
        ),
        ModelCard(
            name="cogvideox-2b", source="zai-org/CogVideoX-2b", pipeline="CogVideoXPipeline",
            parameters="2 B", weights=13,
            sample=SAMPLE, guide=GUIDE, note="settings of CogVideoX; blocks of the reference code's 5 B",
        ),
        ModelCard(
            name="cogvideox1.5-5b", source="zai-org/CogVideoX1.5-5B", pipeline="CogVideoXPipeline",
            parameters="5 B", weights=21,
            sample=replace(SAMPLE, height=768, width=1360, frames=81, fps=16, more={"use_dynamic_cfg": True}),
            guide=GUIDE, note="settings of CogVideoX; blocks of the reference code's 5 B",
        ),
    )  # fmt: skip
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
        alpha = pipe.scheduler.alphas_cumprod.to(clean.device)[timesteps.to(clean.device).long()]
        alpha = alpha.to(clean).view(-1, *[1] * (clean.ndim - 1))
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
