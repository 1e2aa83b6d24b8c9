"""The large models' denoisers at their real size, without content: shapes, and operations to count."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from ..backbones import FAMILIES
from ..catalog import ModelCard
from ..errors import ModelError

# As in each hub repository's transformer/config.json; what is not named is diffusers' default.
WAN = {
    "wan2.1-14b": dict(num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.1-1.3b": dict(num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "wan2.2-a14b": dict(num_attention_heads=40, ffn_dim=13824, num_layers=40),
    "wan2.2-5b": dict(num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48),
}
VAE_SCALE = {"wan2.2-5b": 16}  # pixels of a latent cell; 8 for the others


def denoiser_call(card: ModelCard):
    """(backbone, a pipeline's stand-in with the denoiser, the arguments of a conditional call), all on `meta`.

    Raises ModelError for a model whose configuration is not at hand.
    """
    from diffusers import WanTransformer3DModel

    if card.name not in WAN:
        raise ModelError(f"the real size of {card.name} is not at hand", f"known: {', '.join(WAN)}")
    with torch.device("meta"):
        denoiser = WanTransformer3DModel(attention_head_dim=128, **WAN[card.name])
        sample, cell = card.sample, VAE_SCALE.get(card.name, 8)
        frames = (sample.frames - 1) // 4 + 1
        latents = torch.empty(1, denoiser.config.in_channels, frames, sample.height // cell, sample.width // cell)
        call = dict(
            hidden_states=latents,
            timestep=torch.empty(1),
            encoder_hidden_states=torch.empty(1, sample.max_sequence_length, 4096),
            return_dict=False,
        )
    return FAMILIES[card.pipeline], SimpleNamespace(transformer=denoiser), call
