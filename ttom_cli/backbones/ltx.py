"""LTX-Video: text enters by cross-attention, latents are a sequence of tokens, guidance is in the batch."""

from __future__ import annotations

from ..config import SampleConfig
from .base import Backbone
from .card import PAPER_GUIDE, ModelCard


class LTX(Backbone):
    family = "ltx"
    cards = (
        ModelCard(
            name="ltx-video", source="Lightricks/LTX-Video", pipeline="LTXPipeline",
            parameters="2 B", weights=15, group=8,
            sample=SampleConfig(
                height=480, width=704, frames=161, fps=24, steps=50, guidance_scale=3.0, max_sequence_length=128,
                negative_prompt="worst quality, inconsistent motion, blurry, jittery, distorted",
            ),
            guide=PAPER_GUIDE, note="settings of LTX; guide not measured: run ttom probe",
        ),
    )  # fmt: skip
    pipeline_step = 32
    cfg_in_batch = True

    def like(self, index, config):
        return "ltx-video"

    def block_names(self, denoiser) -> list[str]:
        return [f"transformer_blocks.{i}.attn2" for i in range(len(denoiser.transformer_blocks))]

    def self_attention_name(self, denoiser, block: int) -> str:
        return f"transformer_blocks.{block}.attn1"

    def grid(self, denoiser, kwargs):
        """The pipeline has cut the latents into patches, and says into how many."""
        return kwargs["num_frames"], kwargs["height"], kwargs["width"]

    def cell(self, pipe):
        side = pipe.vae_spatial_compression_ratio * pipe.transformer_spatial_patch_size
        return side, side

    def arguments(self, pipe, sample):
        """Motion depends on the frame rate. Since 0.9.1 the decoder does a last step of denoising, at 0.05, of latents
        noised by 0.025, as in Lightricks' configurations."""
        own = {"frame_rate": sample.fps}
        if pipe.vae.config.timestep_conditioning:
            own |= {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
        return own | super().arguments(pipe, sample)

    def group(self, pipe) -> int:
        return pipe.vae_temporal_compression_ratio * pipe.transformer_temporal_patch_size
