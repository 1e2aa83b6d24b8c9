"""Qwen-Image: pictures; one attention over [text, picture], latents are a sequence of tokens."""

from __future__ import annotations

from typing import ClassVar

from ..config import SampleConfig
from .base import Backbone
from .card import LARGE_GUIDE, ModelCard


class QwenImage(Backbone):
    family = "qwen-image"
    still = True
    lacks = ("num_frames", "guidance_scale")
    per_sample = ("encoder_hidden_states", "encoder_hidden_states_mask", "guidance")
    cards = (
        ModelCard(
            name="qwen-image", source="Qwen/Qwen-Image", pipeline="QwenImagePipeline",
            parameters="20 B", weights=58, group=1,
            sample=SampleConfig(
                height=928, width=1664, frames=1, fps=1, steps=50, guidance_scale=4.0, max_sequence_length=512,
            ),
            guide=LARGE_GUIDE, note="pictures; settings of Qwen-Image's README; guide not measured: run ttom probe",
        ),
    )  # fmt: skip
    said: ClassVar[dict[str, str]] = {**Backbone.said, "true_cfg_scale": "--cfg"}

    def like(self, index, config):
        return "qwen-image"

    def block_names(self, denoiser):
        return [f"transformer_blocks.{i}.attn" for i in range(len(denoiser.transformer_blocks))]

    def grid(self, denoiser, kwargs):
        """The pipeline has cut the latents into patches, and says into how many."""
        return kwargs["img_shapes"][0][0]

    def cell(self, pipe):
        return (2 * pipe.vae_scale_factor,) * 2

    def arguments(self, pipe, sample):
        """Without a negative prompt, be it a blank, the pipeline guides by none."""
        guided = sample.guidance_scale > 1
        own = dict(
            true_cfg_scale=sample.guidance_scale, negative_prompt=(sample.negative_prompt or " ") if guided else None
        )
        return super().arguments(pipe, sample) | own | sample.more

    def call(self, pipe, prompt, sample, generator):
        return pipe(prompt=prompt, **self.arguments(pipe, sample), generator=generator, output_type="np").images

    def video_rows(self, length, kwargs):
        """The text comes first."""
        return slice(kwargs["encoder_hidden_states"].shape[1], None)

    def timestep(self, kwargs, timesteps):
        """From 0 to 1."""
        return timesteps / 1000

    def tokens(self, pipe, prompt, max_length):
        """The prompt stands in a template, whose first tokens the pipeline cuts off again."""
        crop, template = pipe.prompt_template_encode_start_idx, pipe.prompt_template_encode
        before = template.index("{}")
        _, offsets = super().tokens(pipe, template.format(prompt), max_length + crop)
        return prompt, [(a - before, b - before) for a, b in offsets[crop:]]
