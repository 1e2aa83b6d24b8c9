"""Options by the names that the command line, config files and prompt files share.

Layers are dicts of such names; a later layer wins over an earlier one, all over the environment's variables, and those
over the model's card.
"""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar, get_type_hints

from .backbones.card import ModelCard
from .catalog import read_profile
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
from .files import read_data, twice
from .options import MANY, options_of

SEEDS = "seed", "seeds", "num-videos"
PER_PROMPT = ("prompt", "layout", "out", *SEEDS)  # what an item of a prompt file says of its own videos alone
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


class Layer(dict):
    """Options as they stand in one place, which errors name: a file, or a prompt in one."""

    def __init__(self, values=(), source: str = ""):
        super().__init__(values)
        self.source = source


SLICES = tuple(get_type_hints(Settings).values())
OPTIONS = {o.name: o for panel in PANELS for kind in SLICES for o in options_of(kind) if o.panel == panel}
UNWRITTEN = "prompts", "config", "replay", "yes", "json"  # of the command line, and of no file
ELSEWHERE = {said: name for name, option in OPTIONS.items() for said in option.elsewhere}  # names of other tools


def resolve(card: ModelCard, *layers: dict) -> Settings:
    """The settings of a model's card and the layers. Raises TTOMError for an unknown option or a bad value."""
    given = given_fields(*(_with_profile(card, layer) for layer in layers))
    given[GuideConfig] = meant(given[GuideConfig])
    mode = given[GuideConfig].get("mode", card.guide.mode)
    defaults = {SampleConfig: card.sample, GuideConfig: card.guide_in(mode)}
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
    """What the environment and the layers say, as fields of each slice.

    Raises TTOMError for an unknown option or a wrong value, and names the place that it stands in.
    """
    given: dict[type, dict] = {kind: {} for kind in SLICES}
    for layer in (*_environment(), *layers):
        with named(layer):
            for name, value in layer.items():
                option = OPTIONS[option_name(name)]
                fields = given[option.of]
                for field, new in option.fields(value).items():
                    fields[field] = fields.get(field, {}) | new if option.kind is dict else new
    return given


def _environment() -> Iterator[Layer]:
    """A layer for each variable that is set."""
    for option in OPTIONS.values():
        if option.env and (value := os.environ.get(option.env)):
            yield Layer({option.name: value}, f"${option.env}")


@contextmanager
def named(layer: dict) -> Iterator[None]:
    """While open, errors name the place of the layer."""
    try:
        yield
    except TTOMError as error:
        source = getattr(layer, "source", "")
        raise TTOMError(f"{source}: {error.message}", error.hint) if source else error from None


def seeds_of(*layers: dict) -> tuple[list[int], bool]:
    """The seeds of a prompt's videos, and whether they are drawn; a later layer's word on them wins.

    Raises TTOMError for wrong ones, and for a layer that names them in two ways.
    """
    said: dict = {}
    for layer in layers:
        with named(layer):
            own = {option_name(name, PER_PROMPT): value for name, value in layer.items()}
            own = {name: OPTIONS[name].read(own[name]) for name in SEEDS if own.get(name) is not None}
            if "seeds" in own and len(own) > 1:
                other = next(name for name in own if name != "seeds")
                raise TTOMError(f"there are both seeds and {other}", "give one of them")
            seeds = own.get("seeds", ())
            if len(seeds) > MANY:
                raise TTOMError(f"seeds has {len(seeds)} numbers", f"give {MANY} at most")
        if "seeds" in own:
            said = own
        elif own:
            said = {name: value for name, value in said.items() if name != "seeds"} | own
    if "seeds" in said:
        return list(said["seeds"]), False
    first, count = said.get("seed"), said.get("num-videos", 1)
    start = random.randrange(2**31) if first is None else first
    if start + count > 2**63:
        raise TTOMError(f"seed {start} and {count} videos lead beyond 64 bits", "the seeds of several count up")
    return [start + i for i in range(count)], first is None


def _with_profile(card: ModelCard, layer: dict) -> dict:
    """The layer with its profile's blocks before its own, which win."""
    if layer.get("profile") is None:
        return layer
    with named(layer):
        blocks = read_profile(OPTIONS["profile"].read(layer["profile"]), card.name)
    return Layer({"blocks": blocks, **layer}, getattr(layer, "source", ""))


def option_name(name, more: tuple[str, ...] = ()) -> str:
    """The option's name as OPTIONS has it. Raises TTOMError for a name that is neither there nor in `more`."""
    name = str(name).replace("_", "-")
    if name in UNWRITTEN:
        raise TTOMError(f"the option {name!r} is for the command line alone")
    if name not in OPTIONS and name not in more:
        raise unknown_option(name, (*more, *OPTIONS), "`ttom generate -h` lists them")
    return name


def unknown_option(name: str, known: Collection[str], otherwise: str = "") -> TTOMError:
    """As `errors.unknown`, but other tools' names for an option are understood too."""
    if ELSEWHERE.get(name) in known:
        return TTOMError(f"unknown option {name!r}", f"here it is {ELSEWHERE[name]!r}")
    return unknown("option", name, known, otherwise)


def read_config(path: Path | None) -> Layer:
    """Options from a YAML file; empty without one."""
    if path is None:
        return Layer()
    data = read_data(path, "--config")
    if data is None:  # nothing but comments
        return Layer()
    if not isinstance(data, dict):
        raise TTOMError(f"{path} must hold options as 'name: value' lines", "such as 'steps: 25'")
    names = [str(name).replace("_", "-") for name in data]
    if both := [name for name in names if names.count(name) > 1]:
        raise twice(f"{path}:", both[0])
    return Layer(data, str(path))
