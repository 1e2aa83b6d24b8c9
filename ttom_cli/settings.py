"""Options by the names that the command line, config files and prompt files share.

Layers are dicts of such names; a later layer wins over an earlier one, and all over the model's card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar, get_type_hints

from .catalog import ModelCard, read_profile
from .config import (
    PANELS,
    CheckConfig,
    GuideConfig,
    LoadConfig,
    MemoryConfig,
    PlannerConfig,
    RunConfig,
    SampleConfig,
    meant,
)
from .errors import TTOMError, unknown
from .files import read_data, read_text
from .options import options_of

PER_PROMPT = ("prompt", "seed", "layout", "out")  # what an item of a prompt file says of its own video alone
Slice = TypeVar("Slice")


class Settings(NamedTuple):
    """All settings of one video."""

    run: RunConfig
    sample: SampleConfig
    load: LoadConfig
    guide: GuideConfig
    check: CheckConfig
    planner: PlannerConfig
    memory: MemoryConfig


SLICES = tuple(get_type_hints(Settings).values())
OPTIONS = {o.name: o for panel in PANELS for kind in SLICES for o in options_of(kind) if o.panel == panel}


def resolve(card: ModelCard, *layers: dict) -> Settings:
    """The settings of a model's card and the layers. Raises TTOMError for an unknown option or a bad value."""
    given = given_fields(*(_with_profile(card, layer) for layer in layers))
    given[GuideConfig] = meant(given[GuideConfig])
    defaults = {SampleConfig: card.sample, GuideConfig: card.guide}
    sample = given[SampleConfig]
    sample["more"] = _others_of(card, sample) | sample.get("more", {})
    return Settings(*(replace(defaults.get(kind) or kind(), **given[kind]) for kind in SLICES))


def _others_of(card: ModelCard, sample: dict) -> dict:
    """The card's further arguments. Where another --cfg is given, a second expert has the same, as in diffusers."""
    dropped = ("guidance_scale_2",) if "guidance_scale" in sample else ()
    return {name: value for name, value in card.sample.more.items() if name not in dropped}


def resolve_slice(kind: type[Slice], *layers: dict) -> Slice:
    """One slice of the settings, for which no model is asked. Raises TTOMError as `resolve` does."""
    return kind(**given_fields(*layers)[kind])


def given_fields(*layers: dict) -> dict[type, dict]:
    """What the layers say, as fields of each slice. Raises TTOMError for an unknown option or a wrong value."""
    given: dict[type, dict] = {kind: {} for kind in SLICES}
    for layer in layers:
        for name, value in layer.items():
            option = OPTIONS[option_name(name)]
            fields = given[option.of]
            for field, new in option.fields(value).items():
                fields[field] = fields.get(field, {}) | new if option.kind is dict else new
    return given


def _with_profile(card: ModelCard, layer: dict) -> dict:
    """The layer with its profile's blocks before its own, which win."""
    if layer.get("profile") is None:
        return layer
    return {"blocks": read_profile(OPTIONS["profile"].read(layer["profile"]), card.name), **layer}


def option_name(name, more: tuple[str, ...] = ()) -> str:
    """The option's name as OPTIONS has it. Raises TTOMError for a name that is neither there nor in `more`."""
    name = str(name).replace("_", "-")
    if name not in OPTIONS and name not in more:
        raise unknown("option", name, (*more, *OPTIONS))
    return name


def read_config(path: Path | None) -> dict:
    """Options from a YAML file; empty without one."""
    if path is None:
        return {}
    data = read_data(path, "--config")
    if not isinstance(data, dict):
        raise TTOMError(f"{path} must hold options as 'name: value' lines", "such as 'steps: 25'")
    return data


def read_prompts(path: Path) -> list[dict]:
    """Prompts of a file: one a line, or (.yaml, .yml) a list of prompts or of mappings with options.

    Each item is a dict with `prompt` and perhaps `seed`, `layout`, `out` and options. Blank lines and
    lines that begin with # are left out.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        return list(prompt_lines(read_text(path).splitlines()))
    data = read_data(path, "--prompts")
    if not isinstance(data, list) or not data:
        raise TTOMError(f"{path} must hold a list of prompts")
    items = [{"prompt": item} if isinstance(item, str) else item for item in data]
    for i, item in enumerate(items, start=1):
        if not isinstance(item, dict) or not isinstance(item.get("prompt"), str):
            raise TTOMError(f"{path}: item {i} has no prompt", "write 'prompt: a red ball rolls right'")
    return items


def prompt_lines(lines: Iterable[str]) -> Iterator[dict]:
    """Items of lines, as they come; blank ones and comments are left out."""
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            yield {"prompt": text}
