"""One small file per model family: all that is to be known of it."""

from .base import Backbone
from .cogvideox import CogVideoX
from .hunyuan import HunyuanVideo
from .hunyuan15 import HunyuanVideo15
from .ltx import LTX
from .qwen_image import QwenImage
from .wan import Wan
from .wan_image import WanImage

FAMILIES: dict[str, Backbone] = {
    "WanPipeline": Wan(),
    "WanImageToVideoPipeline": WanImage(),
    "CogVideoXPipeline": CogVideoX(),
    "LTXPipeline": LTX(),
    "HunyuanVideoPipeline": HunyuanVideo(),
    "HunyuanVideo15Pipeline": HunyuanVideo15(),
    "QwenImagePipeline": QwenImage(),
}
"""By the pipeline's class, as a model's index names it."""

__all__ = ["FAMILIES", "Backbone"]
