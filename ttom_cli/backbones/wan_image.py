"""Wan2.1 and Wan2.2 image-to-video: a picture's latents stand beside the noisy ones, or in place of the first frame's;
Wan2.1 also attends to the picture's 257 tokens, by an attention of its own ahead of that to the text."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ModelError
from .card import LARGE_GUIDE, PAPER_GUIDE, ModelCard
from .wan import SAMPLE, Wan


class WanImage(Wan):
    image = "must"
    conditioned = True
    precise = ("vae", "image_encoder")
    per_sample = (*Wan.per_sample, "encoder_hidden_states_image")
    cards = (
        ModelCard(
            name="wan2.1-i2v-14b-480p", source="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
            pipeline="WanImageToVideoPipeline", parameters="16 B", weights=47,
            sample=replace(SAMPLE, steps=40, shift=3.0), guide=LARGE_GUIDE,
            note="from a picture; settings of Wan's generate.py; guide of the paper's text-to-video",
        ),
        ModelCard(
            name="wan2.1-i2v-14b-720p", source="Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
            pipeline="WanImageToVideoPipeline", parameters="16 B", weights=47,
            sample=replace(SAMPLE, steps=40, height=720, width=1280), guide=LARGE_GUIDE,
            note="from a picture; settings of Wan's generate.py; guide of the paper's text-to-video",
        ),
        ModelCard(
            name="wan2.2-i2v-a14b", source="Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            pipeline="WanImageToVideoPipeline", parameters="2 x 14 B", weights=69,
            sample=replace(SAMPLE, steps=40, guidance_scale=3.5), guide=LARGE_GUIDE,
            note="from a picture; settings of Wan's wan_i2v_A14B.py; guide of the paper's text-to-video",
        ),
        ModelCard(
            name="wan2.2-i2v-5b", source="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
            pipeline="WanImageToVideoPipeline", parameters="5 B", weights=24,
            sample=replace(SAMPLE, height=704, width=1280, frames=121, fps=24), guide=PAPER_GUIDE,
            note="wan2.2-5b, from a picture; settings of Wan's wan_ti2v_5B.py; guide of the paper's text-to-video",
        ),
    )  # fmt: skip

    def like(self, index, config):
        """That of 720p cannot be told from that of 480p. Raises ModelError for one that wants a last picture, too."""
        if config.get("pos_embed_seq_len") is not None:
            raise ModelError("the model wants a first and a last picture", "use one that starts from a picture")
        if index.get("boundary_ratio") is not None:
            return "wan2.2-i2v-a14b"
        return "wan2.2-i2v-5b" if index.get("expand_timesteps") else "wan2.1-i2v-14b-480p"

    def which(self, attention):
        """The picture's comes first, where there is one."""
        return int(attention.add_k_proj is not None)

    def with_noisy(self, denoiser, kwargs, latents):
        """Without further channels, the first latent frame is the picture's."""
        if kwargs["hidden_states"].shape[1] == latents.shape[1]:
            latents = latents.clone()
            latents[:, :, 0] = kwargs["hidden_states"][:, :, 0]
        return super().with_noisy(denoiser, kwargs, latents)
