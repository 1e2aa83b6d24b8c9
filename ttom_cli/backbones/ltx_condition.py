"""LTX-Video since 0.9.5: the same denoiser, given the tokens' coordinates; a picture may be the first frame."""

from __future__ import annotations

from dataclasses import replace

from .base import Backbone
from .card import LARGE_GUIDE, PAPER_GUIDE, ModelCard
from .ltx import LTX

SAMPLE = replace(LTX.cards[0].sample, height=512, width=768, steps=40, max_sequence_length=256)


class LTXCondition(LTX):
    family = "ltx-condition"
    image = "may"
    per_sample = (*Backbone.per_sample, "video_coords")
    cards = (
        ModelCard(
            name="ltx-video-0.9.5", source="Lightricks/LTX-Video-0.9.5", pipeline="LTXConditionPipeline",
            parameters="2 B", weights=16, group=8, sample=SAMPLE, guide=PAPER_GUIDE,
            note="from a picture or none; settings of diffusers' example for it; guide not measured: run ttom probe",
        ),
        ModelCard(
            name="ltx-video-0.9.7-13b", source="Lightricks/LTX-Video-0.9.7-dev", pipeline="LTXConditionPipeline",
            parameters="13 B", weights=38, group=8,
            sample=replace(SAMPLE, height=480, width=832, steps=30, more={"image_cond_noise_scale": 0.025}),
            guide=LARGE_GUIDE,
            note="from a picture or none; settings of its page on the hub; guide not measured: run ttom probe",
        ),
    )  # fmt: skip

    def like(self, index, config):
        """The larger one has 48 blocks, the smaller one 28."""
        return "ltx-video-0.9.7-13b" if config.get("num_layers", 0) > 28 else "ltx-video-0.9.5"

    def grid(self, denoiser, kwargs):
        """As many as there are different coordinates."""
        return tuple(len(axis.unique()) for axis in kwargs["video_coords"][0])

    def with_noisy(self, denoiser, kwargs, latents):
        """The picture's tokens, whose timestep is zero, stay."""
        if kwargs["timestep"].shape[1] > 1:
            latents = latents.where((kwargs["timestep"] > 0)[..., None], kwargs["hidden_states"].to(latents.dtype))
        return super().with_noisy(denoiser, kwargs, latents)
