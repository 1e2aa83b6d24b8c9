"""HunyuanVideo-1.5: one attention over [video, text], of whose tokens those that are padding come last; the scale of
guidance is a part of the pipeline's, and so is the length of the prompt."""

from __future__ import annotations

from dataclasses import replace

from ..config import SampleConfig
from .base import Backbone
from .card import LARGE_GUIDE, ModelCard
from .hunyuan import HunyuanVideo

SAMPLE = SampleConfig(
    height=480, width=848, frames=121, fps=24, steps=50, guidance_scale=6.0, shift=5.0, max_sequence_length=1000,
)  # fmt: skip
PROMPT = "\N{OBJECT REPLACEMENT CHARACTER}"  # where the prompt stands in the template


class HunyuanVideo15(Backbone):
    family = "hunyuan1.5"
    grid, cell = HunyuanVideo.grid, HunyuanVideo.cell  # they cut latents into tokens alike
    pipeline_step = 16
    conditioned = True
    lacks = ("guidance_scale", "max_sequence_length")
    per_sample = (*Backbone.per_sample, "encoder_hidden_states_2", "encoder_attention_mask_2", "image_embeds")
    cards = (
        ModelCard(
            name="hunyuanvideo1.5-480p", source="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
            pipeline="HunyuanVideo15Pipeline", parameters="8 B", weights=34, sample=SAMPLE, guide=LARGE_GUIDE,
            note="settings of HunyuanVideo-1.5's README; guide not measured: run ttom probe",
        ),
        ModelCard(
            name="hunyuanvideo1.5-720p", source="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_t2v",
            pipeline="HunyuanVideo15Pipeline", parameters="8 B", weights=34,
            sample=replace(SAMPLE, height=720, width=1280, shift=9.0), guide=LARGE_GUIDE,
            note="settings of HunyuanVideo-1.5's README; guide not measured: run ttom probe",
        ),
    )  # fmt: skip

    def like(self, index, config):
        return "hunyuanvideo1.5-720p" if config.get("target_size") == 960 else "hunyuanvideo1.5-480p"

    def block_names(self, denoiser):
        return [f"transformer_blocks.{i}.attn" for i in range(len(denoiser.transformer_blocks))]

    def prepare(self, pipe, sample):
        super().prepare(pipe, sample)
        pipe.guider.guidance_scale = sample.guidance_scale
        pipe.tokenizer_max_length = sample.max_sequence_length

    def video_rows(self, length, kwargs):
        """The text comes last: the prompt's tokens, those of what it has in quotes, and those of a picture."""
        texts = ("encoder_hidden_states", "encoder_hidden_states_2", "image_embeds")
        return slice(length - sum(kwargs[name].shape[1] for name in texts))

    def key_columns(self, tokens, length, kwargs):
        """Before the prompt's tokens come those in quotes; padding is taken out of both."""
        quoted = kwargs["encoder_attention_mask_2"][0].bool().sum()
        places = kwargs["encoder_attention_mask"][0].bool().cumsum(0) - 1
        return self.video_rows(length, kwargs).stop + quoted + places[tokens]

    def tokens(self, pipe, prompt, max_length):
        """The prompt stands in a template, whose first tokens the pipeline cuts off again."""
        said = [{"role": "system", "content": pipe.system_message}, {"role": "user", "content": PROMPT}]
        template = pipe.tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        crop, before = pipe.prompt_template_encode_start_idx, template.index(PROMPT)
        encoded = pipe.tokenizer(
            template.replace(PROMPT, prompt), return_offsets_mapping=True, truncation=True,
            max_length=max_length + crop, add_special_tokens=False,
        )  # fmt: skip
        return prompt, [(a - before, b - before) for a, b in encoded["offset_mapping"][crop:]]
