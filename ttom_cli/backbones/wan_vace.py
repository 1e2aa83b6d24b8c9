"""Wan VACE: Wan's blocks, and beside every few of them one that reads what the video is to keep to. A reference picture
is a latent frame ahead of the video's, of which nothing is shown."""

from __future__ import annotations

from dataclasses import replace

from .card import LARGE_GUIDE, PAPER_GUIDE, ModelCard
from .wan import SAMPLE, Wan

VACE = replace(SAMPLE, shift=16.0)


class WanVACE(Wan):
    family = "wan-vace"
    image = "may"
    per_sample = (*Wan.per_sample, "control_hidden_states")
    cards = (
        ModelCard(
            name="wan2.1-vace-14b", source="Wan-AI/Wan2.1-VACE-14B-diffusers", pipeline="WanVACEPipeline",
            parameters="17 B", weights=47, sample=VACE, guide=LARGE_GUIDE,
            note="a picture, if any, is a reference; settings of Wan's generate.py; guide of the paper's text-to-video",
        ),
        ModelCard(
            name="wan2.1-vace-1.3b", source="Wan-AI/Wan2.1-VACE-1.3B-diffusers", pipeline="WanVACEPipeline",
            parameters="1.8 B", weights=16, sample=VACE, guide=PAPER_GUIDE,
            note="a picture, if any, is a reference; settings of Wan's generate.py; guide of the paper's 14 B",
        ),
    )  # fmt: skip

    def like(self, index, config):
        """The larger one has 40 blocks, the smaller one 30."""
        return "wan2.1-vace-14b" if config.get("num_layers", 0) > 30 else "wan2.1-vace-1.3b"

    def beside(self, denoiser):
        return list(denoiser.vace_blocks)

    def arguments(self, pipe, sample):
        said = super().arguments(pipe, sample)
        picture = said.pop("image", None)
        return said | ({"reference_images": [picture]} if picture else {})

    def grid(self, denoiser, kwargs):
        frames, *sides = super().grid(denoiser, kwargs)
        return frames - self._references(kwargs), *sides

    def video_rows(self, length, kwargs):
        """Those behind the references' tokens."""
        states = kwargs["hidden_states"]
        return slice(self._references(kwargs) * states[0, 0, 0, ::2, ::2].numel(), None)

    @staticmethod
    def _references(kwargs) -> int:
        """How many latent frames are a picture's each: nothing is to be made anew in them, to the very zero."""
        control, channels = kwargs["control_hidden_states"], kwargs["hidden_states"].shape[1]
        anew = control[0, channels : 2 * channels].any(0).flatten(1).any(1)
        return int((~anew).int().cumprod(0).sum())
