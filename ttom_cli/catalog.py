"""Models by name: where they are and what they are run with by default."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from .config import GuideConfig, SampleConfig
from .errors import ModelError, unknown

PACKAGE = Path(__file__).parent
WAN_NEGATIVE = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
    "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, "
    "poorly drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, "
    "messy background, three legs, many people in the background, walking backwards"
)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model's name, source and defaults."""

    name: str
    source: str
    """A hub id or a folder in diffusers' layout."""
    sample: SampleConfig
    guide: GuideConfig = field(default_factory=GuideConfig)
    note: str = ""


WAN = SampleConfig(
    height=480, width=832, frames=81, fps=16, steps=50, guidance_scale=5.0, shift=5.0,
    negative_prompt=WAN_NEGATIVE, max_sequence_length=512,
)  # fmt: skip
SHAPES_GUIDE = GuideConfig(blocks=(2, 3, 4), rank=8, lr=3e-3, steps=12, iterations=6, consolidate=60)

CARDS = {
    card.name: card
    for card in (
        ModelCard(
            name="shapes",
            source=str(PACKAGE / "models" / "shapes"),
            sample=SampleConfig(
                height=64, width=64, frames=13, fps=8, steps=25, guidance_scale=2.0,
                max_sequence_length=64, enlarge=4,
            ),
            guide=SHAPES_GUIDE,
            note="embedded; runs on any CPU",
        ),
        ModelCard(
            name="wan2.1-1.3b",
            source="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            sample=replace(WAN, shift=3.0),
            note="settings of Wan; guide of the paper",
        ),
        ModelCard(
            name="wan2.1-14b",
            source="Wan-AI/Wan2.1-T2V-14B-Diffusers",
            sample=WAN,
            note="the paper's model and settings",
        ),
    )
}  # fmt: skip
FAMILY_CARDS = {"WanPipeline": "wan2.1-14b"}  # whose defaults an unlisted model of the family takes


def find_card(model: str) -> ModelCard:
    """The card of a name, of a listed hub id, or one for a folder or hub id of a known family."""
    for card in CARDS.values():
        if model in (card.name, card.source):
            return card
    path = Path(model).expanduser()
    if path.is_dir():
        return replace(CARDS[FAMILY_CARDS[folder_family(path)]], name=str(path.resolve()), source=str(path), note="")
    if "/" in model and not model.startswith((".", "/", "~")):
        return replace(CARDS["wan2.1-14b"], name=model, source=model, note="")
    raise unknown("model", model, CARDS)


def folder_family(path: Path) -> str:
    """The pipeline class of a diffusers folder. Raises ModelError where it is none that ttom knows."""
    index = path / "model_index.json"
    try:
        family = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise ModelError(f"{path} is no diffusers model folder: {index.name} {reason}") from None
    if family not in FAMILY_CARDS:
        raise ModelError(f"{path} holds a {family}, which ttom cannot guide", f"known: {', '.join(FAMILY_CARDS)}")
    return family
