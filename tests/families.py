"""A pipeline of each family, with diffusers' real classes at toy size, random weights and a real tokenizer."""

from functools import partial

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from ttom_cli.shapes import networks

WORDS = "a an the red blue green ball cube rolls right left while rises and two dogs dog".split()


def tokenizer(**more) -> PreTrainedTokenizerFast:
    """Whole words; any other by an unknown token."""
    vocab = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512,
        padding_side="right", **more,
    )  # fmt: skip


def t5(width: int = 32) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=64, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).eval()


def wan(*, experts: bool = False):
    """Wan2.1, or with two experts Wan2.2 A14B."""
    from diffusers import WanPipeline, WanTransformer3DModel

    def transformer():
        return WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=16, out_channels=16,
            text_dim=networks.TEXT_DIM, freq_dim=32, ffn_dim=64, num_layers=4, cross_attn_norm=True,
            qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
        )  # fmt: skip

    words, family = networks.build_tokenizer(), networks.Wan()
    more = dict(transformer_2=transformer(), boundary_ratio=0.5) if experts else {}
    return WanPipeline(
        tokenizer=words, text_encoder=family.text_encoder(len(words)), vae=family.vae(),
        scheduler=family.scheduler, transformer=transformer(), **more,
    )  # fmt: skip


def cogvideox(*, newer: bool = False):
    """CogVideoX 2B, or 1.5 with rotary positions and frames in pairs."""
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXDPMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    more = dict(patch_size_t=2, use_rotary_positional_embeddings=True, patch_bias=False) if newer else {}
    scheduler = CogVideoXDPMScheduler if newer else CogVideoXDDIMScheduler
    return CogVideoXPipeline(
        tokenizer=tokenizer(), text_encoder=t5(),
        vae=AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
            temporal_compression_ratio=4,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8,
            text_embed_dim=32, num_layers=4, sample_width=8, sample_height=8, sample_frames=13, patch_size=2,
            temporal_compression_ratio=4, max_text_seq_length=24, **more,
        ),
        scheduler=scheduler(beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True),
    )  # fmt: skip


def ltx():
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )

    return LTXPipeline(
        tokenizer=tokenizer(), text_encoder=t5(),
        vae=AutoencoderKLLTXVideo(
            latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=(True, True, False, False),
            decoder_spatio_temporal_scaling=(True, True, False, False),
            decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
            timestep_conditioning=False, patch_size=2, patch_size_t=1, encoder_causal=True, decoder_causal=False,
        ),
        transformer=LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, patch_size=1, patch_size_t=1, num_attention_heads=4, attention_head_dim=8,
            cross_attention_dim=32, num_layers=4, caption_channels=32,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )  # fmt: skip


def hunyuan():
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )

    words = tokenizer()
    llama = LlamaModel(
        LlamaConfig(
            vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
            max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        )
    )  # fmt: skip
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=64, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=77, projection_dim=8, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        )
    )  # fmt: skip
    return HunyuanVideoPipeline(
        text_encoder=llama.eval(), tokenizer=words, text_encoder_2=clip.eval(),
        tokenizer_2=tokenizer(),
        vae=AutoencoderKLHunyuanVideo(
            latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
            up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(8, 8, 8, 8), layers_per_block=1,
            norm_num_groups=4, spatial_compression_ratio=8, temporal_compression_ratio=4,
        ),
        transformer=HunyuanVideoTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=2,
            num_single_layers=2, num_refiner_layers=1, patch_size=2, patch_size_t=1, guidance_embeds=True,
            text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )  # fmt: skip


FAMILIES = {
    "wan2.1": wan,
    "wan2.2-a14b": partial(wan, experts=True),
    "cogvideox": cogvideox,
    "cogvideox1.5": partial(cogvideox, newer=True),
    "ltx": ltx,
    "hunyuan": hunyuan,
}


def build(name: str):
    torch.manual_seed(0)
    return FAMILIES[name]()
