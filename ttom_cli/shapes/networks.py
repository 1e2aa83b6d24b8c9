"""The embedded model's parts: real diffusers and transformers classes at a size that a CPU can train."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from .captions import LETTERS, vocabulary

LATENT_CHANNELS = 16
TEXT_DIM = 128
TEXT_TOKENS = 64  # the padded prompt length that the denoiser is trained with
SPECIAL = ("<pad>", "</s>", "<unk>")


def build_vae() -> AutoencoderKLWan:
    """A Wan VAE, 8x in space and 4x in time; like Wan2.2's it starts by folding 2x2 pixels into channels."""
    vae = AutoencoderKLWan(
        base_dim=16,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
    )
    _initialise(vae)
    return vae


@torch.no_grad()
def _initialise(vae: AutoencoderKLWan) -> None:
    """Weights that carry the signal through from the first step.

    As an image VAE inflated to video: a causal kernel looks at its last frame alone, at a gain of 1.2. With
    PyTorch's own initialisation the signal all but dies on its way through the bottleneck (after 800 steps
    on single frames 15 dB, against 22 dB). The posterior starts narrow.
    """
    for module in vae.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            weight = module.weight
            causal = weight.ndim == 5 and weight.shape[2] > 1
            taps = weight[:, :, -1] if causal else weight
            if causal:
                weight.zero_()
            taps.normal_(0, 1.2 / math.sqrt(taps[0].numel()))
            module.bias.zero_()
    vae.quant_conv.bias[LATENT_CHANNELS:] = -4.0


def build_transformer() -> WanTransformer3DModel:
    """Six Wan blocks of width 128 over a 4 x 8 x 8 token grid."""
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=512,
        num_layers=6,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words of the captions, any other word by its letters; ends with `</s>` as T5 does."""
    characters = [*LETTERS, *"0123456789'-"]
    entries = [*SPECIAL, *vocabulary(), *characters, *(f"##{c}" for c in characters)]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocab["</s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
        padding_side="right",
    )


def build_text_encoder(vocab_size: int) -> UMT5EncoderModel:
    """Two UMT5 layers; each has its own relative position bias."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocab_size,
            d_model=TEXT_DIM,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)


def save_pipeline(folder: Path, *, vae, transformer, text_encoder, tokenizer) -> None:
    """Write the diffusers folder that `WanPipeline.from_pretrained` loads."""
    WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=build_scheduler(),
        transformer=transformer,
    ).save_pretrained(folder)
