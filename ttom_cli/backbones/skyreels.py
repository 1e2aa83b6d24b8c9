"""SkyReels-V2 text-to-video: Wan's blocks, at 24 frames a second."""

from __future__ import annotations

from dataclasses import replace

from . import wan
from .base import Backbone
from .card import LARGE_GUIDE, ModelCard

SAMPLE = replace(wan.SAMPLE, height=544, width=960, frames=97, fps=24, guidance_scale=6.0, shift=8.0)


class SkyReels(wan.Wan):
    family = "skyreels-v2"
    cards = (
        ModelCard(
            name="skyreels-v2-14b-540p", source="Skywork/SkyReels-V2-T2V-14B-540P-Diffusers",
            pipeline="SkyReelsV2Pipeline", parameters="14 B", weights=40, sample=SAMPLE, guide=LARGE_GUIDE,
            note="settings of SkyReels-V2's README; guide of the paper's Wan2.1",
        ),
        ModelCard(
            name="skyreels-v2-14b-720p", source="Skywork/SkyReels-V2-T2V-14B-720P-Diffusers",
            pipeline="SkyReelsV2Pipeline", parameters="14 B", weights=40,
            sample=replace(SAMPLE, height=720, width=1280, frames=121), guide=LARGE_GUIDE,
            note="settings of SkyReels-V2's README; guide of the paper's Wan2.1",
        ),
    )  # fmt: skip
    load_lora, denoiser_steps = Backbone.load_lora, Backbone.denoiser_steps  # there is one denoiser

    def like(self, index, config):
        """That of 720p cannot be told from that of 540p."""
        return "skyreels-v2-14b-540p"
