"""The embedded models' parts: real diffusers and transformers classes at a size that a CPU can train.

B batch, C channels, F latent frames, H x W latent cells, N heads, S video tokens, L text tokens.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

from .captions import LETTERS, vocabulary

LATENT_CHANNELS = 16
TEXT_DIM = 128
TEXT_TOKENS = 64  # the padded prompt length that the denoiser is trained with
SPECIAL = ("<pad>", "</s>", "<unk>")


class Family:
    """What differs between the embedded models: their classes, their noise, and their length."""

    frames: int
    """Of a video; the VAE takes four at a time after the first."""
    text_length: int
    """The pipeline's default, at which a plain call should work as well."""
    levels: tuple[float, float]
    """Of the noise that the denoiser is trained at: mean and deviation of sigma's logit."""
    evened = False
    """Whether all levels count alike in that, however large the loss is at each; else the loss is as it is."""
    alone: tuple[float, float]
    """The share of scenes of one kind of thing in the denoiser's training: at its start, and later."""

    def vae(self) -> nn.Module:
        raise NotImplementedError

    def transformer(self) -> nn.Module:
        raise NotImplementedError

    def text_encoder(self, vocab_size: int) -> nn.Module:
        raise NotImplementedError

    def normalise(self, vae, latents_BCFHW: torch.Tensor) -> torch.Tensor:
        """Latents as the denoiser sees them; sets the numbers for that in the VAE's configuration."""
        raise NotImplementedError

    def encode_text(self, encoder, tokenizer, texts: list[str], length: int) -> torch.Tensor:
        """Prompt embeddings as the pipeline makes them: (B, length, C)."""
        raise NotImplementedError

    def noised(self, clean_BCFHW, noise_BCFHW, sigma_B):
        """(what the denoiser is given, its timesteps, what it should say); sigma / (1 - sigma) is noise to signal."""
        raise NotImplementedError

    def predict(self, transformer, noisy_BCFHW, timesteps_B, context_BLC) -> torch.Tensor:
        raise NotImplementedError

    def save(self, folder: Path, **parts) -> None:
        """Write the folder that diffusers loads."""
        raise NotImplementedError


class Wan(Family):
    """Rectified flow, text by cross-attention."""

    frames, text_length = 13, 512
    levels = 1.2, 1.1  # wide and high: what is where, and which shape it has, is settled at high noise
    alone = 0.19, 0.19

    def __init__(self):
        from diffusers import FlowMatchEulerDiscreteScheduler

        self.scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)

    def vae(self):
        """A Wan VAE, 8x in space and 4x in time; like Wan2.2's it starts by folding 2x2 pixels into channels."""
        from diffusers import AutoencoderKLWan

        vae = AutoencoderKLWan(
            base_dim=16, z_dim=LATENT_CHANNELS, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[True, True],
            in_channels=12, out_channels=12, patch_size=2,
            latents_mean=[0.0] * LATENT_CHANNELS, latents_std=[1.0] * LATENT_CHANNELS,
        )  # fmt: skip
        _initialise(vae)
        vae.quant_conv.bias.data[LATENT_CHANNELS:] = -4.0  # the posterior starts narrow
        return vae

    def transformer(self):
        """Six blocks of width 128 over a 4 x 8 x 8 token grid."""
        from diffusers import WanTransformer3DModel

        return WanTransformer3DModel(
            patch_size=(1, 1, 1), num_attention_heads=4, attention_head_dim=32, in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS, text_dim=TEXT_DIM, freq_dim=64, ffn_dim=512, num_layers=6,
            cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
        )  # fmt: skip

    def text_encoder(self, vocab_size):
        """Two UMT5 layers; each has its own relative position bias."""
        return UMT5EncoderModel(UMT5Config(**_text_config(vocab_size)))

    def normalise(self, vae, latents):
        """Each channel at mean 0 and variance 1."""
        mean, std = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
        vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
        return (latents - mean.view(-1, 1, 1, 1)) / std.view(-1, 1, 1, 1)

    def encode_text(self, encoder, tokenizer, texts, length):
        """Zeros after each prompt's end."""
        batch = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        mask = batch.attention_mask.to(encoder.device)
        hidden = encoder(batch.input_ids.to(encoder.device), mask).last_hidden_state * mask[..., None]
        return nn.functional.pad(hidden, (0, 0, 0, length - hidden.shape[1]))

    def noised(self, clean, noise, sigma):
        s = sigma.view(-1, 1, 1, 1, 1)
        return (1 - s) * clean + s * noise, sigma * 1000, noise - clean

    def predict(self, transformer, noisy, timesteps, context):
        return transformer(noisy, timesteps, context).sample

    def save(self, folder, **parts):
        from diffusers import WanPipeline

        WanPipeline(scheduler=self.scheduler, **parts).save_pretrained(folder)


class CogVideoX(Family):
    """As CogVideoX-5B: one attention over text and video, rotary positions, noise by DDPM, v-prediction."""

    frames, text_length = 17, 226
    # With Wan's levels, and uneven, it learnt colours, places and motions, and of shapes nothing (bench/LOG.md): its
    # latents' channels are not brought to one scale, and those that tell shapes apart are settled late.
    levels, evened = (0.3, 1.3), True
    alone = 0.6, 0.3

    def __init__(self):
        from diffusers import CogVideoXDDIMScheduler
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        self.scheduler = CogVideoXDDIMScheduler(
            num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=3.0, clip_sample=False,
            set_alpha_to_one=True, timestep_spacing="trailing",
        )  # fmt: skip
        self.rope = get_3d_rotary_pos_embed(32, ((0, 0), (8, 8)), (8, 8), 1 + (self.frames - 1) // 4)

    def vae(self):
        """8x in space, 4x in time."""
        from diffusers import AutoencoderKLCogVideoX

        vae = AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 16, 32, 64), layers_per_block=1, latent_channels=LATENT_CHANNELS,
            norm_num_groups=4, temporal_compression_ratio=4, scaling_factor=1.0, sample_height=64, sample_width=64,
        )  # fmt: skip
        _initialise(vae)
        vae.encoder.conv_out.conv.bias.data[LATENT_CHANNELS:] = -4.0  # the posterior starts narrow
        return vae

    def transformer(self):
        """Six blocks of width 128 over 64 text tokens and a 5 x 8 x 8 token grid."""
        from diffusers import CogVideoXTransformer3DModel

        return CogVideoXTransformer3DModel(
            num_attention_heads=4, attention_head_dim=32, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
            time_embed_dim=128, text_embed_dim=TEXT_DIM, num_layers=6, sample_width=8, sample_height=8,
            sample_frames=self.frames, patch_size=1, temporal_compression_ratio=4, max_text_seq_length=self.text_length,
            use_rotary_positional_embeddings=True,
        )  # fmt: skip

    def text_encoder(self, vocab_size):
        return T5EncoderModel(T5Config(**_text_config(vocab_size)))

    def normalise(self, vae, latents):
        """One factor for all channels is all that this VAE's configuration has."""
        vae.register_to_config(scaling_factor=1 / latents.std().item())
        return latents * vae.config.scaling_factor

    def encode_text(self, encoder, tokenizer, texts, length):
        """Its pipeline gives the text encoder the padding too, and no mask."""
        batch = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return encoder(batch.input_ids.to(encoder.device)).last_hidden_state

    def noised(self, clean, noise, sigma):
        alphas = self.scheduler.alphas_cumprod.to(sigma)
        wanted = 1 / (1 + (sigma / (1 - sigma)).square())
        t = torch.searchsorted(-alphas, -wanted).clamp_max(len(alphas) - 1)
        a = alphas[t].view(-1, 1, 1, 1, 1)
        return a.sqrt() * clean + (1 - a).sqrt() * noise, t, a.sqrt() * noise - (1 - a).sqrt() * clean

    def predict(self, transformer, noisy, timesteps, context):
        """It takes and gives (B, F, C, H, W)."""
        rope = tuple(part.to(noisy.device) for part in self.rope)
        given = transformer(noisy.transpose(1, 2), context, timesteps, image_rotary_emb=rope)
        return given.sample.transpose(1, 2)

    def save(self, folder, **parts):
        from diffusers import CogVideoXPipeline

        CogVideoXPipeline(scheduler=self.scheduler, **parts).save_pretrained(folder)


FAMILIES = {"wan": Wan, "cogvideox": CogVideoX}


@torch.no_grad()
def _initialise(vae: nn.Module) -> None:
    """Weights that carry the signal through from the first step.

    As an image VAE inflated to video: a causal kernel looks at its last frame alone, at a gain of 1.2. With
    PyTorch's own initialisation the signal all but dies on its way through the bottleneck (after 800 steps
    on single frames 15 dB, against 22 dB).
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


def _text_config(vocab_size: int) -> dict:
    return dict(
        vocab_size=vocab_size, d_model=TEXT_DIM, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
