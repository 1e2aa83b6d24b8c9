"""Models by name: where they are and what they are run with by default."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from .backbones import FAMILIES, family_of
from .backbones.card import PACKAGE, ModelCard
from .config import GuideConfig, SampleConfig
from .errors import ModelError, TTOMError, unknown
from .files import read_data

INDEX, CONFIG = "model_index.json", "transformer/config.json"
PROFILE = "profile.yaml"  # in a model's folder: the blocks that `ttom probe` found for it


def read_profile(path: Path, model: str = "") -> tuple[int, ...]:
    """The blocks of a profile that `ttom probe --profile` wrote. Raises TTOMError for one of another `model`."""
    data = read_data(path, "--profile")
    blocks = data.get("blocks") if isinstance(data, dict) else None
    if not isinstance(blocks, list) or not isinstance(data.get("model"), str):
        raise TTOMError(f"{path} is no profile", "`ttom probe --profile FILE.yaml` writes one")
    if not blocks or any(type(b) is not int or b < 0 for b in blocks) or len(set(blocks)) < len(blocks):
        raise TTOMError(f"{path}: blocks must be different block numbers from 0, such as [2, 3], not {blocks}")
    if model and data["model"] != model:
        raise TTOMError(f"{path} is the profile of {data['model']}, not of {model}", "name the blocks with --blocks")
    return tuple(blocks)


def _profiled(guide: GuideConfig, folder: Path) -> GuideConfig:
    """The guide with the blocks of the profile in a model's folder, if there is one."""
    file = folder / PROFILE
    return replace(guide, blocks=read_profile(file)) if file.is_file() else guide


SHAPES = SampleConfig(
    height=64, width=64, frames=13, fps=8, steps=25, guidance_scale=4.0, max_sequence_length=64, enlarge=4,
)  # fmt: skip
SHAPES_GUIDE = GuideConfig(
    mode="attention+latents", bias=8.0, steps=12, iterations=1, train_from=3, self_attention=True, rank=8, lr=3e-3
)
COG_GUIDE = replace(SHAPES_GUIDE, train_from=0, lr=1.5e-3)
SHAPES_UNBIASED = {"iterations": 4, "consolidate": 40}

EMBEDDED = (
    ModelCard(
        name="shapes", source=str(PACKAGE / "models" / "shapes"), pipeline="WanPipeline",
        parameters="1.8 M", weights=0.01, world="shapes",
        sample=SHAPES, guide=_profiled(SHAPES_GUIDE, PACKAGE / "models" / "shapes"), unbiased=SHAPES_UNBIASED,
        note="embedded, runs on any CPU; blocks found by ttom probe, the rest of the guide by ttom bench",
    ),
    ModelCard(
        name="shapes-cog", source=str(PACKAGE / "models" / "shapes-cog"), pipeline="CogVideoXPipeline",
        parameters="2.5 M", weights=0.01, world="shapes",
        sample=replace(SHAPES, frames=17),
        guide=_profiled(COG_GUIDE, PACKAGE / "models" / "shapes-cog"), unbiased=SHAPES_UNBIASED | {"blocks": (2, 5)},
        note="embedded: the same world with joint attention; blocks and guide found as for shapes",
    ),
)  # fmt: skip
CARDS = {card.name: card for card in (*EMBEDDED, *(card for family in FAMILIES.values() for card in family.cards))}


def find_card(model: str) -> ModelCard:
    """The card of a name, of a listed hub id, or one for a folder or hub id of a known family, by its configuration.

    Raises ModelError where it cannot be read, or is of no known family, and TTOMError for an unknown name.
    """
    for card in CARDS.values():
        if model in (card.name, card.source):
            return card
    path = Path(model).expanduser()
    if path.is_dir():
        card = _card_of(path / INDEX, path / CONFIG if (path / CONFIG).is_file() else None)
        guide, note = _profiled(card.guide, path), f"a folder; settings of {card.name}"
        return replace(card, name=str(path.resolve()), source=str(path), guide=guide, note=note)
    if "/" in model and not model.startswith((".", "/", "~")):
        card = _card_of(_fetch(model, INDEX), _fetch(model, CONFIG))
        return replace(card, name=model, source=model, note=f"settings of {card.name}")
    raise unknown("model", model, CARDS, "`ttom models` lists those with a name")


def denoiser_config(source: str) -> dict:
    """The denoiser's configuration of a model folder or a hub id. Raises ModelError where it cannot be read."""
    folder = Path(source)
    return _read(folder / CONFIG if folder.is_dir() else _fetch(source, CONFIG))


def _card_of(index: Path, config: Path | None) -> ModelCard:
    """The card whose settings a model of these files takes. Raises ModelError where ttom cannot guide it."""
    facts, denoiser = _read(index), _read(config) if config else {}
    pipeline = facts.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError(f"{index.parent} is no diffusers model folder: {index.name} names no pipeline")
    return card_like(pipeline, facts, denoiser)


def card_like(pipeline: str, index: dict, config: dict) -> ModelCard:
    """The card whose settings a pipeline of that class takes, by its and its denoiser's configuration.

    Raises ModelError where ttom cannot guide it.
    """
    family = family_of(pipeline)
    return _embedded_like(config) or CARDS[family.like(index, config)]


def _embedded_like(config: dict) -> ModelCard | None:
    """The embedded model's card whose denoiser is of this configuration: one saved again, or trained anew."""

    def shape(config: dict) -> dict:
        told = {name: value for name, value in config.items() if not name.startswith("_") or name == "_class_name"}
        return json.loads(json.dumps(told))  # of a loaded model, too, whose tuples are lists in the file

    return next((card for card in EMBEDDED if shape(_read(Path(card.source, CONFIG))) == shape(config)), None)


def _read(file: Path) -> dict:
    """A configuration of diffusers. Raises ModelError where it cannot be read."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise ModelError(f"{file.parent} is no diffusers model folder: {file.name} {reason}") from None
    if not isinstance(data, dict):
        raise ModelError(f"{file.parent} is no diffusers model folder: {file.name} cannot be read")
    return data


@cache
def _fetch(repository: str, file: str) -> Path:
    """A file of a hub repository, from the cache if it is there. Raises ModelError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file))
    except GatedRepoError:
        raise ModelError(
            f"{repository} is gated: its owner wants you to accept its terms",
            f"do so at https://huggingface.co/{repository}, then `hf auth login`",
        ) from None
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        unreached = isinstance(error, LocalEntryNotFoundError)  # and not here either
        reason = "it is not reached" if unreached else " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot read {repository} from the hub: {reason}",
            "check the name and the network, or give a local folder in diffusers' layout",
        ) from None
