"""A model by its name: where it is, and what it is run with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..config import GuideConfig, SampleConfig

PACKAGE = Path(__file__).parents[1]
PAPER_GUIDE = GuideConfig(blocks=(3,), share=0.25, checkpointing="blocks")
LARGE_GUIDE = replace(PAPER_GUIDE, checkpointing="parts")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model's name, source and defaults."""

    name: str
    source: str
    """A hub id or a folder in diffusers' layout."""
    pipeline: str
    """The class in its `model_index.json`."""
    parameters: str
    """Of the denoiser, in words."""
    weights: float
    """Gigabytes of all parts in bfloat16; --offload model needs the largest part at a time, and activations."""
    sample: SampleConfig
    guide: GuideConfig = field(default_factory=GuideConfig)
    unbiased: dict = field(default_factory=dict)
    """What is otherwise in the guide where its mode has no bias on the attention, which leaves more to optimise."""
    group: int = 4
    """Frames of a latent frame, but for the first."""
    world: str = ""
    """shapes: it knows that world alone, whose words and detector are at hand."""
    note: str = ""
    """Where the defaults come from."""

    def guide_in(self, mode: str) -> GuideConfig:
        """The guide in a mode, the default one or another."""
        biased = "attention" in mode.split("+")
        return replace(self.guide, mode=mode, **({} if biased else self.unbiased))

    @property
    def embedded(self) -> bool:
        """Whether the package holds its weights."""
        return Path(self.source).is_relative_to(PACKAGE)
