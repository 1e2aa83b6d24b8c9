"""One small file per model family: all that is to be known of it."""

from .base import Backbone
from .cogvideox import CogVideoX
from .hunyuan import HunyuanVideo
from .ltx import LTX
from .wan import Wan

FAMILIES: dict[str, Backbone] = {
    "WanPipeline": Wan(),
    "CogVideoXPipeline": CogVideoX(),
    "LTXPipeline": LTX(),
    "HunyuanVideoPipeline": HunyuanVideo(),
}
"""By the pipeline's class, as a model's index names it."""

__all__ = ["FAMILIES", "Backbone"]
