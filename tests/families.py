"""A pipeline of each family, with diffusers' real classes at toy size, random weights and a real tokenizer."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    ByT5Tokenizer,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from ttom_cli import backbones
from ttom_cli.config import SampleConfig
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


def t5(width: int = 32, vocab: int = 64) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=vocab, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)).eval()


def wan(*, experts: bool = False):
    """Wan2.1, or with two experts Wan2.2 A14B."""
    from diffusers import WanPipeline

    more = dict(transformer_2=wan_transformer(), boundary_ratio=0.5) if experts else {}
    return WanPipeline(**wan_parts(), transformer=wan_transformer(), **more)


def wan_transformer(**more):
    from diffusers import WanTransformer3DModel

    sizes = dict(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=16, out_channels=16,
        text_dim=networks.TEXT_DIM, freq_dim=32, ffn_dim=64, num_layers=4, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
    )  # fmt: skip
    return WanTransformer3DModel(**(sizes | more))


def wan_parts() -> dict:
    words, family = networks.build_tokenizer(), networks.Wan()
    return dict(
        tokenizer=words, text_encoder=family.text_encoder(len(words)), vae=family.vae(), scheduler=family.scheduler
    )


def wan_config() -> dict:
    """Of the transformer, for one that is like it."""
    return {name: value for name, value in wan_transformer().config.items() if not name.startswith("_")}


def wan_vae():
    """Without patches, as Wan2.1's."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def wan_image(kind: str):
    """Image-to-video: Wan2.1, which attends to the picture; of Wan2.2 A14B, or the 5B, whose first frame it is."""
    from diffusers import WanImageToVideoPipeline

    if kind == "5b":
        return WanImageToVideoPipeline(**wan_parts(), transformer=wan_transformer(), expand_timesteps=True)
    if kind == "a14b":
        first, second = (wan_transformer(in_channels=36) for _ in range(2))
        return WanImageToVideoPipeline(**wan_parts(), transformer=first, transformer_2=second, boundary_ratio=0.5)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    return WanImageToVideoPipeline(
        **wan_parts(), transformer=wan_transformer(in_channels=36, image_dim=32, added_kv_proj_dim=32),
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )  # fmt: skip


def wan_vace():
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    control = WanVACETransformer3DModel.from_config(wan_config(), vace_layers=[0, 2], vace_in_channels=2 * 16 + 64)
    return WanVACEPipeline(**(wan_parts() | {"vae": wan_vae()}), transformer=control)


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


def ltx_condition():
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline

    parts = ltx().components | {"scheduler": FlowMatchEulerDiscreteScheduler()}
    return LTXConditionPipeline(**parts)


def skyreels():
    from diffusers import SkyReelsV2Pipeline, SkyReelsV2Transformer3DModel

    parts = wan_parts() | {"vae": wan_vae()}
    return SkyReelsV2Pipeline(**parts, transformer=SkyReelsV2Transformer3DModel.from_config(wan_config()))


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


def hunyuan15():
    from diffusers import (
        AutoencoderKLHunyuanVideo15,
        ClassifierFreeGuidance,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideo15Pipeline,
        HunyuanVideo15Transformer3DModel,
    )

    return HunyuanVideo15Pipeline(
        text_encoder=qwen(), tokenizer=chat_tokenizer(108), text_encoder_2=t5(vocab=384), tokenizer_2=ByT5Tokenizer(),
        vae=AutoencoderKLHunyuanVideo15(
            latent_channels=4, block_out_channels=(8, 8, 8, 16), layers_per_block=1, spatial_compression_ratio=8,
            temporal_compression_ratio=4, downsample_match_channel=False, upsample_match_channel=False,
        ),
        transformer=HunyuanVideo15Transformer3DModel(
            in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=4,
            num_refiner_layers=1, text_embed_dim=16, text_embed_2_dim=32, image_embed_dim=8, rope_axes_dim=(2, 4, 4),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0), guider=ClassifierFreeGuidance(guidance_scale=6.0),
    )  # fmt: skip


def qwen_image():
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )

    return QwenImagePipeline(
        text_encoder=qwen(seeing=True), tokenizer=tokenizer(),
        vae=AutoencoderKLQwenImage(
            base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        transformer=QwenImageTransformer2DModel(
            in_channels=16, out_channels=4, num_layers=4, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )  # fmt: skip


def chat_tokenizer(before: int):
    """With a chat template that has so many tokens before the user's words, and a few after."""
    made = tokenizer()
    made.chat_template = "{{ 'the ' * BEFORE }}{{ messages[-1].content }} and an".replace("BEFORE", str(before))
    return made


def qwen(*, seeing: bool = False):
    """What reads text, or the whole model that reads pictures as well."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLTextModel

    text = dict(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        rope_scaling={"type": "default", "mrope_section": [1, 1, 2]},
    )  # fmt: skip
    vision = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=16)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return (Qwen2_5_VLForConditionalGeneration(config) if seeing else Qwen2_5_VLTextModel(config.text_config)).eval()


@cache
def picture() -> str:
    """A picture's file."""
    path = Path(tempfile.mkdtemp(prefix="ttom-test-"), "picture.png")
    Image.linear_gradient("L").convert("RGB").save(path)
    return str(path)


@dataclass
class Toy:
    """A toy pipeline, and how it is called."""

    make: Callable
    like: str
    """The listed model whose settings it takes."""
    length: int = 24
    """Tokens of the prompt, padding included."""
    frames: int = 17
    sample: Callable[[float], dict] = field(default=lambda scale: {})
    """Further settings, by the scale of guidance."""
    own: dict = field(default_factory=dict)
    """Sizes that the pipeline has of its own, and files do not say."""


def pictured(scale: float) -> dict:
    return {"image": picture()}


FAMILIES = {
    "wan2.1": Toy(wan, "wan2.1-1.3b"),
    "wan2.2-a14b": Toy(partial(wan, experts=True), "wan2.2-a14b"),
    "wan2.1-i2v": Toy(partial(wan_image, "2.1"), "wan2.1-i2v-14b-480p", length=512, sample=pictured),
    "wan2.2-i2v-a14b": Toy(partial(wan_image, "a14b"), "wan2.2-i2v-a14b", sample=pictured),
    "wan2.2-i2v-5b": Toy(partial(wan_image, "5b"), "wan2.2-i2v-5b", sample=pictured),
    "wan2.1-vace": Toy(wan_vace, "wan2.1-vace-1.3b"),
    "wan2.1-vace-reference": Toy(wan_vace, "wan2.1-vace-1.3b", sample=pictured),
    "cogvideox": Toy(cogvideox, "cogvideox-2b"),
    "cogvideox1.5": Toy(partial(cogvideox, newer=True), "cogvideox1.5-5b"),
    "ltx": Toy(ltx, "ltx-video"),
    "ltx-0.9.5": Toy(ltx_condition, "ltx-video-0.9.5"),
    "ltx-0.9.5-i2v": Toy(ltx_condition, "ltx-video-0.9.5", sample=pictured),
    "skyreels-v2": Toy(skyreels, "skyreels-v2-14b-540p"),
    "hunyuan": Toy(  # whose guidance is distilled: true guidance with a negative prompt
        hunyuan,
        "hunyuanvideo",
        sample=lambda scale: dict(negative_prompt="a dog", more={"true_cfg_scale": scale}) if scale > 1 else {},
    ),
    "hunyuan1.5": Toy(
        hunyuan15, "hunyuanvideo1.5-480p", own=dict(tokenizer_2_max_length=8, vision_num_semantic_tokens=4)
    ),
    "qwen-image": Toy(qwen_image, "qwen-image", frames=1),
}


def settings(name: str, *, guidance: float = 4.0, **more) -> SampleConfig:
    """Of a toy's small, short video."""
    toy = FAMILIES[name]
    given = dict(
        height=64, width=64, frames=toy.frames, fps=8, steps=1, guidance_scale=guidance, max_sequence_length=toy.length,
    )  # fmt: skip
    return SampleConfig(**(given | toy.sample(guidance) | more))


def call(pipe, name: str, prompt: str, *, guidance: float = 4.0) -> torch.Tensor:
    """A plain call of four steps: the latents."""
    made, backbone = settings(name, guidance=guidance, steps=4), backbones.FAMILIES[type(pipe).__name__]
    vars(pipe).update(FAMILIES[name].own)
    backbone.prepare(pipe, made)
    return pipe(
        prompt=prompt, **backbone.arguments(pipe, made), generator=torch.Generator().manual_seed(3),
        output_type="latent",
    )[0]  # fmt: skip


def build(name: str):
    torch.manual_seed(0)
    return FAMILIES[name].make()


def write_gguf(file: Path, weights: dict[str, torch.Tensor]) -> None:
    """A denoiser's weights as a single file, the matrices of its blocks in 8 bits."""
    import gguf

    eight = gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(file, "wan")
    for name, tensor in weights.items():
        small, array = tensor.ndim == 2 and name.startswith("blocks."), tensor.numpy()
        writer.add_tensor(
            name, gguf.quants.quantize(array, eight) if small else array, raw_dtype=eight if small else None
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
