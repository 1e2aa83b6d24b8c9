"""The large models at their real size, without content: shapes, and operations and bytes to count."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from ..backbones import FAMILIES, Backbone
from ..backbones.card import ModelCard
from ..backbones.wan_vace import WanVACE
from ..errors import ModelError

# As in each hub repository's transformer/config.json; what is not named is diffusers' default.
WAN = dict(attention_head_dim=128)
WAN_14B = dict(WAN, num_attention_heads=40, ffn_dim=13824, num_layers=40)
WAN_5B = dict(WAN, num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48)
WAN_IMAGE = dict(WAN_14B, in_channels=36, image_dim=1280, added_kv_proj_dim=5120)
COG = dict(num_attention_heads=48, num_layers=42, time_embed_dim=512, use_rotary_positional_embeddings=True)
SIZES = {
    "wan2.1-14b": WAN_14B,
    "wan2.1-1.3b": dict(WAN, num_attention_heads=12, ffn_dim=8960, num_layers=30),
    "wan2.2-a14b": WAN_14B,
    "wan2.2-5b": WAN_5B,
    "wan2.1-i2v-14b-480p": WAN_IMAGE,
    "wan2.1-i2v-14b-720p": WAN_IMAGE,
    "wan2.2-i2v-a14b": dict(WAN_14B, in_channels=36),
    "wan2.2-i2v-5b": WAN_5B,
    "wan2.1-vace-14b": WAN_14B,
    "wan2.1-vace-1.3b": dict(WAN, num_attention_heads=12, ffn_dim=8960, num_layers=30, vace_layers=[*range(0, 30, 2)]),
    "skyreels-v2-14b-540p": WAN_14B,
    "skyreels-v2-14b-720p": WAN_14B,
    "cogvideox-2b": {},
    "cogvideox-5b": COG,
    "cogvideox1.5-5b": dict(COG, patch_size_t=2, patch_bias=False),
    "ltx-video": {},
    "ltx-video-0.9.5": {},
    "ltx-video-0.9.7-13b": dict(attention_head_dim=128, cross_attention_dim=4096, num_layers=48),
    "hunyuanvideo": {},
    "hunyuanvideo1.5-480p": {},
    "hunyuanvideo1.5-720p": dict(target_size=960),
    "qwen-image": {},
}
# As in vae/config.json.
WAN_VAE_48 = dict(
    base_dim=160, decoder_base_dim=256, z_dim=48, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
    scale_factor_spatial=16, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
)  # fmt: skip
LTX_VAE_095 = dict(
    block_out_channels=(128, 256, 512, 1024, 2048), down_block_types=("LTXVideo095DownBlock3D",) * 4,
    decoder_block_out_channels=(256, 512, 1024), layers_per_block=(4, 6, 6, 2, 2), decoder_layers_per_block=(5,) * 4,
    spatio_temporal_scaling=(True,) * 4, decoder_spatio_temporal_scaling=(True,) * 3,
    decoder_inject_noise=(False,) * 4, downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    upsample_residual=(True,) * 3, upsample_factor=(2,) * 3, timestep_conditioning=True,
    spatial_compression_ratio=32, temporal_compression_ratio=8,
)  # fmt: skip
VAE = {
    "wan2.2-5b": WAN_VAE_48,
    "wan2.2-i2v-5b": WAN_VAE_48,
    "ltx-video-0.9.5": LTX_VAE_095,
    "ltx-video-0.9.7-13b": LTX_VAE_095,
}


class Unreferenced(WanVACE):
    """Without a reference picture, which cannot be told without content."""

    @staticmethod
    def _references(kwargs):
        return 0


COUNTED_AS = {"ltx-condition": FAMILIES["LTXPipeline"], "wan-vace": Unreferenced()}
"""The family by whose calls another is counted: without a picture LTX since 0.9.5 is called as before, but for tokens'
coordinates, whose number cannot be told without content."""


class RealSize(NamedTuple):
    """A model without content: all bfloat16, but for Wan's VAE, and on `meta`."""

    backbone: Backbone
    pipe: SimpleNamespace
    """A pipeline's stand-in with the denoiser and the VAE."""
    call: dict
    """The arguments of a conditional call of the denoiser."""
    decoded: tuple[torch.Tensor, ...]
    """What the VAE's decode is given."""
    branches: int
    """Calls of the denoiser in a step, or parts of its batch: two with guidance, one where that is distilled."""


def real_size(card: ModelCard) -> RealSize:
    """Raises ModelError for a model whose configuration is not at hand."""
    if card.name not in SIZES:
        raise ModelError(f"the real size of {card.name} is not at hand", f"known: {', '.join(SIZES)}")
    family = FAMILIES[card.pipeline].family
    backbone = COUNTED_AS.get(family, FAMILIES[card.pipeline])
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return RealSize(backbone, *MAKERS[family](card))
    finally:
        torch.set_default_dtype(usual)


def _wan(card: ModelCard):
    from diffusers import (
        AutoencoderKLWan,
        SkyReelsV2Transformer3DModel,
        WanTransformer3DModel,
        WanVACETransformer3DModel,
    )

    kinds = {"SkyReelsV2Pipeline": SkyReelsV2Transformer3DModel, "WanVACEPipeline": WanVACETransformer3DModel}
    kind = kinds.get(card.pipeline, WanTransformer3DModel)
    denoiser, vae = kind(**SIZES[card.name]), AutoencoderKLWan(**VAE.get(card.name, {})).float()
    config = denoiser.config
    latents = _latents(card, denoiser, vae.config.scale_factor_temporal, vae.config.scale_factor_spatial)
    each = latents[0, 0, :, ::2, ::2].numel()  # the 5B tells each token its timestep
    call = dict(
        hidden_states=latents, encoder_hidden_states=_words(card), return_dict=False,
        timestep=torch.empty(1, each) if config.out_channels == 48 else torch.empty(1),
    )  # fmt: skip
    if card.pipeline == "WanVACEPipeline":
        call["control_hidden_states"] = latents.new_empty(1, config.vace_in_channels, *latents.shape[2:])
    if config.image_dim:
        call["encoder_hidden_states_image"] = torch.empty(1, 257, config.image_dim)
    return SimpleNamespace(transformer=denoiser, vae=vae), call, (latents[:, : config.out_channels].float(),), 2


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
    return SimpleNamespace(transformer=denoiser, vae=vae), call, (latents,), 2


def _ltx(card: ModelCard):
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

    denoiser, vae = LTXVideoTransformer3DModel(**SIZES[card.name]), AutoencoderKLLTXVideo(**VAE.get(card.name, {}))
    latents = _latents(card, denoiser, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    frames, height, width = latents.shape[2:]
    call = dict(
        hidden_states=latents.flatten(2).transpose(1, 2), timestep=torch.empty(1), encoder_hidden_states=_words(card),
        encoder_attention_mask=torch.empty(1, card.sample.max_sequence_length), return_dict=False,
        num_frames=frames, height=height, width=width, rope_interpolation_scale=(1.0, 1.0, 1.0),
    )  # fmt: skip
    decoded = (latents, torch.empty(1)) if vae.config.timestep_conditioning else (latents,)
    return SimpleNamespace(transformer=denoiser, vae=vae), call, decoded, 2


def _hunyuan(card: ModelCard):
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel

    denoiser, vae = HunyuanVideoTransformer3DModel(**SIZES[card.name]), AutoencoderKLHunyuanVideo()
    latents = _latents(card, denoiser, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    call = dict(
        hidden_states=latents, timestep=torch.empty(1), encoder_hidden_states=_words(card), return_dict=False,
        encoder_attention_mask=torch.empty(1, card.sample.max_sequence_length),
        pooled_projections=torch.empty(1, denoiser.config.pooled_projection_dim), guidance=torch.empty(1),
    )  # fmt: skip
    return SimpleNamespace(transformer=denoiser, vae=vae), call, (latents,), 1


def _hunyuan15(card: ModelCard):
    from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Transformer3DModel

    denoiser, vae = HunyuanVideo15Transformer3DModel(**SIZES[card.name]), AutoencoderKLHunyuanVideo15()
    latents = _latents(card, denoiser, vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    config, length, quoted, picture = denoiser.config, card.sample.max_sequence_length, 256, 729
    call = dict(
        hidden_states=latents, timestep=torch.empty(1), return_dict=False,
        encoder_hidden_states=_words(card, config.text_embed_dim), encoder_attention_mask=torch.empty(1, length),
        encoder_hidden_states_2=torch.empty(1, quoted, config.text_embed_2_dim),
        encoder_attention_mask_2=torch.empty(1, quoted),
        image_embeds=torch.empty(1, picture, config.image_embed_dim),
    )  # fmt: skip
    denoiser.forward = Unseen()(denoiser.forward)
    return SimpleNamespace(transformer=denoiser, vae=vae), call, (latents[:, : config.out_channels],), 2


class Unseen(TorchFunctionMode):
    """Answers a forward that sorts its tokens by masks, which have no content here: they hold for the first half."""

    def __call__(self, forward):
        @functools.wraps(forward)
        def answered(*args, **kwargs):
            with self:
                return forward(*args, **kwargs)

        return answered

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.__bool__:
            return True
        if func is torch.Tensor.__getitem__ and getattr(args[1], "dtype", None) is torch.bool:
            tensor, mask = args
            half = len(tensor) // 2
            return tensor[half:] if hasattr(mask, "inverted") else tensor[:half]
        output = func(*args, **(kwargs or {}))
        if func is torch.Tensor.__invert__:
            output.inverted = True
        return output


def _qwen_image(card: ModelCard):
    from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel

    denoiser, vae = QwenImageTransformer2DModel(**SIZES[card.name]), AutoencoderKLQwenImage()
    config, sample = denoiser.config, card.sample
    side = 8 * config.patch_size
    shape = (1, sample.height // side, sample.width // side)
    call = dict(
        hidden_states=torch.empty(1, math.prod(shape), config.in_channels), timestep=torch.empty(1), return_dict=False,
        encoder_hidden_states=_words(card, config.joint_attention_dim), img_shapes=[[shape]],
    )  # fmt: skip
    latents = torch.empty(1, config.out_channels, 1, sample.height // 8, sample.width // 8)
    return SimpleNamespace(transformer=denoiser, vae=vae), call, (latents,), 2


MAKERS = {
    "wan": _wan, "wan-vace": _wan, "skyreels-v2": _wan, "cogvideox": _cogvideox, "ltx": _ltx, "ltx-condition": _ltx,
    "hunyuan": _hunyuan, "hunyuan1.5": _hunyuan15, "qwen-image": _qwen_image,
}  # fmt: skip


def _latents(card: ModelCard, denoiser, group: int, side: int) -> torch.Tensor:
    """(B, C, F, H, W) of the card's size, from the VAE's frames and pixels of a latent."""
    sample = card.sample
    frames = (sample.frames - 1) // group + 1
    return torch.empty(1, denoiser.config.in_channels, frames, sample.height // side, sample.width // side)


def _words(card: ModelCard, width: int = 4096) -> torch.Tensor:
    return torch.empty(1, card.sample.max_sequence_length, width)
