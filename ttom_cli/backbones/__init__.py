"""One small file per model family; the guide knows only `Backbone`."""

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

__all__ = ["FAMILIES", "Backbone"]
