"""HunyuanVideo: one attention over [video, text], first with two streams, then with one; guidance distilled."""

from __future__ import annotations

from ..config import SampleConfig
from ..errors import ModelError
from .base import Backbone
from .card import LARGE_GUIDE, ModelCard


class HunyuanVideo(Backbone):
    family = "hunyuan"
    cards = (
        ModelCard(
            name="hunyuanvideo", source="hunyuanvideo-community/HunyuanVideo", pipeline="HunyuanVideoPipeline",
            parameters="13 B", weights=43,
            sample=SampleConfig(
                height=720, width=1280, frames=129, fps=24, steps=50, guidance_scale=6.0, shift=7.0,
                max_sequence_length=256,
            ),
            guide=LARGE_GUIDE, note="settings of HunyuanVideo; guide not measured: run ttom probe",
        ),
    )  # fmt: skip
    per_sample = (*Backbone.per_sample, "pooled_projections", "guidance")
    pipeline_step = 16

    def like(self, index, config):
        return "hunyuanvideo"

    def block_names(self, denoiser) -> list[str]:
        double = [f"transformer_blocks.{i}.attn" for i in range(len(denoiser.transformer_blocks))]
        return double + [f"single_transformer_blocks.{i}.attn" for i in range(len(denoiser.single_transformer_blocks))]

    def grid(self, denoiser, kwargs):
        config = denoiser.config
        patch = (config.patch_size_t, config.patch_size, config.patch_size)
        return tuple(n // p for n, p in zip(kwargs["hidden_states"].shape[-3:], patch, strict=True))

    def cell(self, pipe):
        side = pipe.vae_scale_factor_spatial * self.denoiser(pipe).config.patch_size
        return side, side

    def arguments(self, pipe, sample):
        """Its guidance is distilled, and the pipeline passes over a negative prompt unless it guides truly too."""
        if sample.negative_prompt and not sample.more.get("true_cfg_scale", 1) > 1:
            raise ModelError(
                "the guidance of HunyuanVideo is distilled, and takes no negative prompt",
                "--set true_cfg_scale=6 guides by one too, in twice the time",
            )
        return super().arguments(pipe, sample)

    def video_rows(self, length, kwargs):
        """The text comes last."""
        return slice(length - kwargs["encoder_hidden_states"].shape[1])

    def key_columns(self, tokens, length, kwargs):
        return tokens + length - kwargs["encoder_hidden_states"].shape[1]

    def tokens(self, pipe, prompt, max_length):
        """The prompt stands in a template, whose first tokens the pipeline cuts off again."""
        from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE

        crop = DEFAULT_PROMPT_TEMPLATE["crop_start"]
        whole = DEFAULT_PROMPT_TEMPLATE["template"].format(prompt)
        before = DEFAULT_PROMPT_TEMPLATE["template"].index("{}")
        _, offsets = super().tokens(pipe, whole, max_length + crop)
        return prompt, [(a - before, b - before) for a, b in offsets[crop:]]
