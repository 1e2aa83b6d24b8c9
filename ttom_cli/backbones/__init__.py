"""One small file per model family: all that is to be known of it."""

from ..errors import ModelError
from .base import Backbone
from .cogvideox import CogVideoX
from .hunyuan import HunyuanVideo
from .hunyuan15 import HunyuanVideo15
from .ltx import LTX
from .ltx_condition import LTXCondition
from .qwen_image import QwenImage
from .skyreels import SkyReels
from .wan import Wan
from .wan_image import WanImage
from .wan_vace import WanVACE

FAMILIES: dict[str, Backbone] = {
    "WanPipeline": Wan(),
    "WanImageToVideoPipeline": WanImage(),
    "WanVACEPipeline": WanVACE(),
    "CogVideoXPipeline": CogVideoX(),
    "SkyReelsV2Pipeline": SkyReels(),
    "LTXPipeline": LTX(),
    "LTXConditionPipeline": LTXCondition(),
    "HunyuanVideoPipeline": HunyuanVideo(),
    "HunyuanVideo15Pipeline": HunyuanVideo15(),
    "QwenImagePipeline": QwenImage(),
}
"""By the pipeline's class, as a model's index names it."""

LEFT_OUT = {
    "LTX2Pipeline": "layers ahead of its denoiser mix the prompt's words, and nobody has measured how far",
    "MochiPipeline": "it runs an attention for each sample of a batch",
    "Kandinsky5T2VPipeline": "its sparse attention has the video's tokens in an order of its own",
}
"""Why pipelines that one might look for are not among them."""


def family_of(pipeline: str) -> Backbone:
    """The family of a pipeline's class. Raises ModelError for one that ttom cannot guide."""
    if pipeline not in FAMILIES:
        reason = f": {LEFT_OUT[pipeline]}" if pipeline in LEFT_OUT else ""
        raise ModelError(f"ttom cannot guide a {pipeline}{reason}", f"known: {', '.join(FAMILIES)}")
    return FAMILIES[pipeline]


__all__ = ["FAMILIES", "Backbone", "family_of"]
