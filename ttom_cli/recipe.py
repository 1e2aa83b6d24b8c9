"""What an MP4 carries of how it was made, and the job that makes it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import __version__
from .catalog import CARDS
from .config import GuideConfig, LoadConfig, MemoryConfig, RunConfig, SampleConfig
from .errors import BankError, TTOMError
from .jobs import Job
from .layout import Layout, layout_from_json, schema_faults
from .options import Slice, options_of
from .pictures import digest_of
from .seeing.score import Check
from .text import plain

if TYPE_CHECKING:
    from .runtime import Runtime

MOST_PIXELS = 10**9  # of all frames together, enlarged; some eight times those of the largest card


def make_recipe(
    runtime: Runtime,
    job: Job,
    *,
    frames: np.ndarray,
    losses: list[list[float]],
    memory: dict,
    check: Check | None,
    tries: int,
) -> dict:
    """All that is needed to make the video again, and what was seen in it, as JSON."""
    from importlib.metadata import version

    return {
        "ttom": __version__,
        "model": runtime.card.name,
        "prompt": job.layout.prompt,
        "layout": job.layout.to_json(),
        "planner": job.planner,
        "seed": job.seed,
        "asked": job.asked,
        "scheduler": type(runtime.pipe.scheduler).__name__,
        "sample": asdict(job.sample),
        "image_sha256": digest_of(job.sample.image),
        "guide": asdict(job.guide),
        "memory": memory,
        "on_hit": memory.get("action", job.memory.on_hit),
        "losses": [[round(loss, 5) for loss in step] for step in losses],
        "check": check and {"detector": runtime.detector.name, **check.to_json()},
        "tries": tries,
        "load": asdict(runtime.load),
        "parts": runtime.parts,
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
        "frames_sha256": digest(frames),
    }


def digest(frames: np.ndarray) -> str:
    """SHA-256 of the frames as they came from the model, before encoding."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


@cache
def recipe_schema() -> dict:
    """The JSON schema of a recipe, with the bounds of what one may ask for."""
    return json.loads((resources.files(__package__) / "recipe.json").read_text(encoding="utf-8"))


def check_recipe(recipe: object) -> None:
    """A video may come from anyone. Raises TTOMError for a recipe of wrong types, or that asks for too much."""
    fault = next(schema_faults(recipe, recipe_schema()), "")
    if fault:
        raise TTOMError(f"the video's recipe is none that ttom would write: {fault}", "it may be damaged, or made up")


def brings_in(recipe: dict) -> str:
    """What a replay would load that does not come with ttom, in words; empty for nothing.

    That is another model than the packaged ones, and whatever loading is told in free words.
    """
    model, load = recipe.get("model", ""), recipe.get("load", {})
    named = [] if model in CARDS and CARDS[model].embedded else [f"the model {model}"]
    free = (o for o in options_of(LoadConfig) if o.kind is str and not o.choices and o.name != "device")
    named += [f"the {o.name.replace('-', ' ')} {load[o.field]}" for o in free if load.get(o.field)]
    return " and ".join(named)


def replay_job(recipe: dict, path: Path, bank=None) -> tuple[Job, LoadConfig]:
    """The job of a recipe, and how its model was loaded.

    Raises BankError where it needs an adapter that the bank holds no more, and TTOMError where the recipe is
    not that of a generated video, is another version's, or asks for too much.
    """
    from .parts import changed_since

    if "compares" in recipe:
        raise TTOMError("the file compares two videos, and is none itself", f"replay {plain(str(recipe['compares']))}")
    if recipe.keys() <= {"prompt", "layout"}:
        raise TTOMError("the file is a drawing of a layout, and no video", "it has no seed or model to be replayed")
    check_recipe(recipe)
    try:
        memory, planner = recipe["memory"], recipe["planner"]
        run = RunConfig(seed=recipe["seed"], model=recipe["model"])
        data = recipe["layout"]
        layout = (
            layout_from_json(data, source="the video's recipe")
            if data["objects"]
            else Layout(prompt=plain(data["prompt"]), objects=())
        )
        sample, guide = (
            _settings(kind, recipe[name]) for kind, name in ((SampleConfig, "sample"), (GuideConfig, "guide"))
        )
        kept = replace(MemoryConfig(on_hit=recipe["on_hit"]), enabled=False)
        load = _settings(LoadConfig, recipe["load"])
        used = [memory, *memory.get("others", ())] if memory["outcome"] == "hit" else []
        used = [(part["entry"], part["sha256"], part["likeness"]) for part in used]
        recipe["frames_sha256"]  # which the new frames are held against
    except KeyError as error:
        made_by = recipe.get("ttom", "no ttom")
        raise TTOMError(
            f"the video's recipe cannot be replayed: it has no {error}",
            f"it was written by {made_by}, this is {__version__}",
        ) from None
    _check_work(sample)
    if sample.image and digest_of(sample.image) != recipe.get("image_sha256"):
        raise TTOMError(f"the picture {sample.image} is not the one that the video started from", "put that back")
    if "parts" in recipe and (changed := changed_since(recipe["parts"], load)):
        raise TTOMError(f"{changed} has changed since the video was made", "put it back as it was")
    stored = {e.id: e.sha256 for e in bank.entries()} if used and bank else {}
    for entry, sha256, _ in used:
        if stored.get(entry) != sha256:
            what = "has changed" if entry in stored else "is not"
            raise BankError(
                f"the video used the adapter {entry}, which {what} in the bank",
                "it can be replayed only with the bank as it was; see --bank",
            )
    job = Job(
        layout=layout, seed=run.seed, path=path, sample=sample, guide=guide, memory=kept, planner=planner,
        entries=tuple((entry, likeness) for entry, _, likeness in used),
    )  # fmt: skip
    return job, load


def _settings(kind: type[Slice], stored: dict) -> Slice:
    """Raises TTOMError for what is no setting of this version, and KeyError for one that is wanting."""
    known = {field.name: field for field in fields(kind)}
    if unknown := stored.keys() - known.keys():
        raise TTOMError(f"the video's recipe has settings that this ttom has not: {', '.join(sorted(unknown))}")
    for name, field in known.items():
        if name not in stored and field.default is field.default_factory is MISSING:
            raise KeyError(name)
    return kind(**stored)


def _check_work(sample: SampleConfig) -> None:
    """Raises TTOMError for a video beyond all that a card makes."""
    pixels = sample.width * sample.height * sample.frames * sample.enlarge**2
    if pixels > MOST_PIXELS:
        raise TTOMError(
            f"the video's recipe asks for {pixels / 1e6:,.0f} megapixels",
            f"{MOST_PIXELS / 1e6:,.0f} are replayed at most",
        )
