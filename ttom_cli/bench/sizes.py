"""The large models at their real size, without content: shapes, and operations and bytes to count."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ..backbones import FAMILIES
from ..backbones.card import ModelCard
from ..errors import ModelError

# As in each hub repository's transformer/config.json; what is not named is diffusers' default.
WAN = {
    "wan2.1-14b": dict(num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.1-1.3b": dict(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "wan2.2-a14b": dict(num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.2-5b": dict(num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48),
}
# As in vae/config.json.
VAE = {
    "wan2.2-5b": dict(
        base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )
}  # fmt: skip


def real_size(card: ModelCard):
    """(backbone, a pipeline's stand-in with the denoiser and the VAE, the arguments of a conditional call).

    All bfloat16, but for the VAE, and on `meta`. Raises ModelError for a model whose configuration is not at hand.
    """
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    if card.name not in WAN:
        raise ModelError(f"the real size of {card.name} is not at hand", f"known: {', '.join(WAN)}")
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            denoiser = WanTransformer3DModel(attention_head_dim=128, **WAN[card.name])
            vae = AutoencoderKLWan(**VAE.get(card.name, {})).float()
    finally:
        torch.set_default_dtype(usual)
    with torch.device("meta"):
        sample, cell = card.sample, vae.config.scale_factor_spatial
        frames = (sample.frames - 1) // vae.config.scale_factor_temporal + 1
        grid = frames, sample.height // cell, sample.width // cell
        call = dict(
            hidden_states=torch.empty(1, denoiser.config.in_channels, *grid, dtype=torch.bfloat16),
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, sample.max_sequence_length, 4096, dtype=torch.bfloat16),
            return_dict=False,
        )
    return FAMILIES[card.pipeline], SimpleNamespace(transformer=denoiser, vae=vae), call
