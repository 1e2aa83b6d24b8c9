"""Wan2.1 and Wan2.2 (and the embedded shapes model): text enters by cross-attention, `attn2`.

Wan2.2-A14B has two experts; `transformer` runs the high noise levels, and so the guided steps.
"""

from __future__ import annotations

from .base import Backbone


class Wan(Backbone):
    family = "wan"
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
