"""Options by the names that the command line, config files and prompt files share.

Layers are dicts of such names; a later layer wins over an earlier one, and all over the model's card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from .catalog import ModelCard, read_profile
from .config import CheckConfig, GuideConfig, LoadConfig, MemoryConfig, PlannerConfig, SampleConfig
from .errors import TTOMError, unknown
from .files import read_data, read_text

# option name -> (slice, field)
OPTIONS = {
    "device": ("load", "device"),
    "dtype": ("load", "dtype"),
    "offload": ("load", "offload"),
    "quantize": ("load", "quantize"),
    "tiling": ("load", "tiling"),
    "attention-backend": ("load", "attention_backend"),
    "size": ("sample", "size"),
    "frames": ("sample", "frames"),
    "fps": ("sample", "fps"),
    "steps": ("sample", "steps"),
    "cfg": ("sample", "guidance_scale"),
    "shift": ("sample", "shift"),
    "negative-prompt": ("sample", "negative_prompt"),
    "enlarge": ("sample", "enlarge"),
    "guide": ("guide", "mode"),
    "loss": ("guide", "loss"),
    "blocks": ("guide", "blocks"),
    "profile": ("guide", "profile"),
    "adapt": ("guide", "adapt"),
    "train-from": ("guide", "train_from"),
    "projections": ("guide", "projections"),
    "self-attention": ("guide", "self_attention"),
    "rank": ("guide", "rank"),
    "lr": ("guide", "lr"),
    "latent-lr": ("guide", "latent_lr"),
    "guided-steps": ("guide", "steps"),
    "iterations": ("guide", "iterations"),
    "stop-loss": ("guide", "stop_loss"),
    "both-branches": ("guide", "both_branches"),
    "keep-on": ("guide", "keep_on"),
    "checkpointing": ("guide", "checkpointing"),
    "consolidate": ("guide", "consolidate"),
    "memory": ("memory", "enabled"),
    "on-hit": ("memory", "on_hit"),
    "capacity": ("memory", "capacity"),
    "check": ("check", "enabled"),
    "detector": ("check", "detector"),
    "detector-model": ("check", "detector_model"),
    "segmenter-model": ("check", "segmenter_model"),
    "tries": ("check", "tries"),
    "strict": ("check", "strict"),
    "anyway": ("check", "anyway"),
    "planner": ("planner", "planner"),
    "planner-fallback": ("planner", "planner_fallback"),
    "llm-model": ("planner", "llm_model"),
    "llm-base-url": ("planner", "llm_base_url"),
    "llm-timeout": ("planner", "llm_timeout"),
    "llm-total-timeout": ("planner", "llm_total_timeout"),
    "llm-max-tokens": ("planner", "llm_max_tokens"),
    "llm-retries": ("planner", "llm_retries"),
    "template": ("planner", "template"),
    "trust-layout": ("planner", "trust_layout"),
    "cache": ("planner", "cache"),
    "refresh": ("planner", "refresh"),
}
PER_PROMPT = ("prompt", "seed", "layout", "out")  # what an item of a prompt file may say besides options
NUMBER_LISTS, WORD_LISTS = ("blocks", "adapt"), ("projections",)


class Settings(NamedTuple):
    """All settings of one video."""

    sample: SampleConfig
    guide: GuideConfig
    memory: MemoryConfig
    planner: PlannerConfig
    load: LoadConfig
    check: CheckConfig


def resolve(card: ModelCard, *layers: dict) -> Settings:
    """The settings of a model's card and the layers. Raises TTOMError for an unknown option or a bad value."""
    with _kinds_said():
        slices = _slices([_with_profile(card, layer) for layer in layers])
        return Settings(
            replace(card.sample, **slices["sample"]),
            replace(card.guide, **slices["guide"]),
            MemoryConfig(**slices["memory"]),
            PlannerConfig(**slices["planner"]),
            LoadConfig(**slices["load"]),
            CheckConfig(**slices["check"]),
        )


def _with_profile(card: ModelCard, layer: dict) -> dict:
    """The layer with its profile's blocks in place of the profile's name; blocks of its own win."""
    if "profile" not in layer:
        return layer
    rest = {name: value for name, value in layer.items() if name != "profile"}
    return {"blocks": read_profile(Path(layer["profile"]), card.name), **rest}


def resolve_planner(*layers: dict) -> tuple[PlannerConfig, tuple[int, int] | None]:
    """The planner's settings alone, and the (width, height) that the layers name, if they do."""
    with _kinds_said():
        slices = _slices(layers)
        size = slices["sample"]
        return PlannerConfig(**slices["planner"]), (size["width"], size["height"]) if "width" in size else None


def load_options(options: dict) -> dict:
    """Of options, those on how the model is loaded, as fields of LoadConfig."""
    return _slices([{name: value for name, value in options.items() if OPTIONS[name][0] == "load"}])["load"]


@contextmanager
def _kinds_said():
    try:
        yield
    except (TypeError, AttributeError) as error:  # a string where a number is compared
        raise TTOMError(f"an option has a value of the wrong kind: {error}") from None


def _slices(layers: Iterable[dict]) -> dict[str, dict]:
    slices: dict[str, dict] = {name: {} for name in Settings._fields}
    for layer in layers:
        for name, value in layer.items():
            name = option_name(name)
            where, key = OPTIONS[name]
            if name == "profile":
                continue  # its blocks have taken its place where a model is known
            if name == "size":
                slices["sample"] |= parse_size(value)
            elif name == "both-branches":
                slices["guide"]["conditional_only"] = not value
            else:
                slices[where][key] = _parse(name, value)
    return slices


def option_name(name, more: tuple[str, ...] = ()) -> str:
    """The option's name as OPTIONS has it. Raises TTOMError for a name that is neither there nor in `more`."""
    name = str(name).replace("_", "-")
    if name not in OPTIONS and name not in more:
        raise unknown("option", name, (*more, *OPTIONS))
    return name


def _parse(name: str, value):
    if name in WORD_LISTS:
        return tuple(value.replace(",", " ").split() if isinstance(value, str) else value)
    if name in NUMBER_LISTS:
        parts = str(value).replace(",", " ").split() if isinstance(value, (str, int)) else value
        try:
            return tuple(int(p) for p in parts)
        except (TypeError, ValueError):
            raise TTOMError(f"{name} must be block numbers such as 2,3,4, not {value!r}") from None
    return Path(value) if name == "template" else value


def parse_size(value: str) -> dict[str, int]:
    """'832x480' or '832*480' -> width and height."""
    parts = str(value).lower().replace("*", "x").split("x")
    if len(parts) != 2 or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise TTOMError(f"size must be WIDTHxHEIGHT in pixels, such as 832x480, not {value!r}")
    return {"width": int(parts[0]), "height": int(parts[1])}


def read_config(path: Path | None) -> dict:
    """Options from a YAML file; empty without one."""
    if path is None:
        return {}
    data = read_data(path, "--config")
    if not isinstance(data, dict):
        raise TTOMError(f"{path} must hold options as 'name: value' lines", f"known: {', '.join(OPTIONS)}")
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
