"""The large models at their real size, without content: shapes, and operations and bytes to count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import torch

from ..backbones import FAMILIES, Backbone
from ..backbones.card import ModelCard
from ..errors import ModelError

# As in each hub repository's transformer/config.json; what is not named is diffusers' default.
WAN = dict(attention_head_dim=128)
COG = dict(num_attention_heads=48, num_layers=42, time_embed_dim=512, use_rotary_positional_embeddings=True)
SIZES = {
    "wan2.1-14b": dict(WAN, num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.1-1.3b": dict(WAN, num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "wan2.2-a14b": dict(WAN, num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.2-5b": dict(WAN, num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48),
    "cogvideox-2b": {},
    "cogvideox-5b": COG,
    "cogvideox1.5-5b": dict(COG, patch_size_t=2, patch_bias=False),
    "ltx-video": {},
    "hunyuanvideo": {},
}
# As in vae/config.json.
VAE = {
    "wan2.2-5b": dict(
        base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )
}  # fmt: skip


class RealSize(NamedTuple):
    """A model without content: all bfloat16, but for Wan's VAE, and on `meta`."""

    backbone: Backbone
    pipe: SimpleNamespace
    """A pipeline's stand-in with the denoiser and the VAE."""
    call: dict
    """The arguments of a conditional call of the denoiser."""
    latents: torch.Tensor
    """What the VAE decodes."""
    branches: int
    """Calls of the denoiser in a step, or parts of its batch: two with guidance, one where that is distilled."""


def real_size(card: ModelCard) -> RealSize:
    """Raises ModelError for a model whose configuration is not at hand."""
    if card.name not in SIZES:
        raise ModelError(f"the real size of {card.name} is not at hand", f"known: {', '.join(SIZES)}")
    backbone = FAMILIES[card.pipeline]
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return RealSize(backbone, *MAKERS[backbone.family](card))
    finally:
        torch.set_default_dtype(usual)


def _wan(card: ModelCard):
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    denoiser = WanTransformer3DModel(**SIZES[card.name])
    vae = AutoencoderKLWan(**VAE.get(card.name, {})).float()
    latents = _latents(card, denoiser, vae.config.scale_factor_temporal, vae.config.scale_factor_spatial)
    call = dict(hidden_states=latents, timestep=torch.empty(1), encoder_hidden_states=_words(card), return_dict=False)
    return SimpleNamespace(transformer=denoiser, vae=vae), call, latents.float(), 2


def _cogvideox(card: ModelCard):
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

    denoiser, vae = CogVideoXTransformer3DModel(**SIZES[card.name]), AutoencoderKLCogVideoX()
    config, latents = denoiser.config, _latents(card, denoiser, vae.config.temporal_compression_ratio, 8)
    pair = config.patch_size_t or 1
    fill = latents.new_empty(*latents.shape[:2], -latents.shape[2] % pair, *latents.shape[3:])
    frames, height, width = torch.cat([fill, latents], 2).shape[2:]
    angles = torch.empty(frames // pair * height * width // config.patch_size**2, config.attention_head_dim).float()
    call = dict(
        hidden_states=torch.cat([fill, latents], 2).transpose(1, 2), timestep=torch.empty(1),
        encoder_hidden_states=_words(card), return_dict=False,
        image_rotary_emb=(angles, angles) if config.use_rotary_positional_embeddings else None,
    )  # fmt: skip
    return SimpleNamespace(transformer=denoiser, vae=vae), call, latents, 2


def _ltx(card: ModelCard):
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

    denoiser, vae = LTXVideoTransformer3DModel(**SIZES[card.name]), AutoencoderKLLTXVideo()
    latents = _latents(card, denoiser, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    frames, height, width = latents.shape[2:]
    call = dict(
        hidden_states=latents.flatten(2).transpose(1, 2), timestep=torch.empty(1), encoder_hidden_states=_words(card),
        encoder_attention_mask=torch.empty(1, card.sample.max_sequence_length), return_dict=False,
        num_frames=frames, height=height, width=width, rope_interpolation_scale=(1.0, 1.0, 1.0),
    )  # fmt: skip
    return SimpleNamespace(transformer=denoiser, vae=vae), call, latents, 2


def _hunyuan(card: ModelCard):
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel

    denoiser, vae = HunyuanVideoTransformer3DModel(**SIZES[card.name]), AutoencoderKLHunyuanVideo()
    latents = _latents(card, denoiser, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    call = dict(
        hidden_states=latents, timestep=torch.empty(1), encoder_hidden_states=_words(card), return_dict=False,
        encoder_attention_mask=torch.empty(1, card.sample.max_sequence_length),
        pooled_projections=torch.empty(1, denoiser.config.pooled_projection_dim), guidance=torch.empty(1),
    )  # fmt: skip
    return SimpleNamespace(transformer=denoiser, vae=vae), call, latents, 1


MAKERS = {"wan": _wan, "cogvideox": _cogvideox, "ltx": _ltx, "hunyuan": _hunyuan}


def _latents(card: ModelCard, denoiser, group: int, side: int) -> torch.Tensor:
    """(B, C, F, H, W) of the card's size, from the VAE's frames and pixels of a latent."""
    sample = card.sample
    frames = (sample.frames - 1) // group + 1
    return torch.empty(1, denoiser.config.in_channels, frames, sample.height // side, sample.width // side)


def _words(card: ModelCard) -> torch.Tensor:
    return torch.empty(1, card.sample.max_sequence_length, 4096)
