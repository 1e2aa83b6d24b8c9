"""One small adapter per model family; the guide knows only the `Backbone` protocol."""

from .base import Backbone
from .wan import Wan

FAMILIES: dict[str, Backbone] = {"WanPipeline": Wan()}

__all__ = ["FAMILIES", "Backbone", "Wan"]
