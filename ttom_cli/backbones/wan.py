"""Wan2.1 and Wan2.2 (and the embedded shapes model): text enters by cross-attention, `attn2`.

Wan2.2-A14B has two experts; `transformer` runs the high noise levels, and so the guided steps.
"""

from __future__ import annotations

from dataclasses import replace

from ..config import SampleConfig
from .base import Backbone
from .card import LARGE_GUIDE, PAPER_GUIDE, ModelCard

NEGATIVE = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
    "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, "
    "poorly drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, "
    "messy background, three legs, many people in the background, walking backwards"
)
SAMPLE = SampleConfig(
    height=480, width=832, frames=81, fps=16, steps=50, guidance_scale=5.0, shift=5.0,
    negative_prompt=NEGATIVE, max_sequence_length=512,
)  # fmt: skip


class Wan(Backbone):
    family = "wan"
    cards = (
        ModelCard(
            name="wan2.1-14b", source="Wan-AI/Wan2.1-T2V-14B-Diffusers", pipeline="WanPipeline",
            parameters="14 B", weights=40,
            sample=SAMPLE, guide=LARGE_GUIDE, note="the paper's model and settings",
        ),
        ModelCard(
            name="wan2.1-1.3b", source="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", pipeline="WanPipeline",
            parameters="1.3 B", weights=15,
            sample=replace(SAMPLE, shift=3.0), guide=PAPER_GUIDE, note="settings of Wan; guide of the paper's 14 B",
        ),
        ModelCard(
            name="wan2.2-a14b", source="Wan-AI/Wan2.2-T2V-A14B-Diffusers", pipeline="WanPipeline",
            parameters="2 x 14 B", weights=69,
            sample=replace(SAMPLE, steps=40, guidance_scale=4.0, shift=12.0, more={"guidance_scale_2": 3.0}),
            guide=LARGE_GUIDE, note="settings of Wan; guide of the paper's Wan2.1",
        ),
        ModelCard(
            name="wan2.2-5b", source="Wan-AI/Wan2.2-TI2V-5B-Diffusers", pipeline="WanPipeline",
            parameters="5 B", weights=24,
            sample=replace(SAMPLE, height=704, width=1280, frames=121, fps=24),
            guide=PAPER_GUIDE, note="settings of Wan; guide of the paper's Wan2.1",
        ),
    )  # fmt: skip
    pipeline_step = 16
    precise = ("vae",)

    def like(self, index, config):
        """Wan2.2 says so in its index; of Wan2.1 the larger one has 40 blocks, the smaller one 30."""
        if index.get("boundary_ratio") is not None:
            return "wan2.2-a14b"
        if index.get("expand_timesteps"):
            return "wan2.2-5b"
        return "wan2.1-14b" if config.get("num_layers", 0) > 30 else "wan2.1-1.3b"

    def load_lora(self, pipe, source, name, **file):
        super().load_lora(pipe, source, name, **file)
        if pipe.transformer_2 is not None:
            pipe.load_lora_weights(source, adapter_name=name, load_into_transformer_2=True, **file)

    def block_names(self, denoiser) -> list[str]:
        return [f"blocks.{i}.attn2" for i in range(len(denoiser.blocks))]

    def self_attention_name(self, denoiser, block: int) -> str:
        return f"blocks.{block}.attn1"

    def cell(self, pipe) -> tuple[int, int]:
        _, *patch = self.denoiser(pipe).config.patch_size
        return tuple(pipe.vae_scale_factor_spatial * p for p in patch)

    def denoiser_steps(self, pipe):
        """Of Wan2.2-A14B those down to the noise level at which the second expert takes over."""
        times, scheduler = pipe.scheduler.timesteps, pipe.scheduler.config
        if pipe.config.boundary_ratio is None or pipe.transformer_2 is None:
            return len(times)
        return int((times >= pipe.config.boundary_ratio * scheduler.num_train_timesteps).sum())

    def tokens(self, pipe, prompt, max_length):
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        return super().tokens(pipe, prompt_clean(prompt), max_length)
