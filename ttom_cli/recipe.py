"""What an MP4 carries of how it was made, and the job that makes it again."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from . import __version__
from .config import GuideConfig, LoadConfig, MemoryConfig, SampleConfig
from .errors import BankError, TTOMError
from .jobs import Job
from .layout import Layout, layout_from_json
from .runtime import Runtime
from .seeing.score import Check


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
        "guide": asdict(job.guide),
        "memory": memory,
        "on_hit": job.memory.on_hit,
        "losses": [[round(loss, 5) for loss in step] for step in losses],
        "check": check and {"detector": runtime.detector.name, **check.to_json()},
        "tries": tries,
        "load": asdict(runtime.load),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
        "frames_sha256": digest(frames),
    }


def digest(frames: np.ndarray) -> str:
    """SHA-256 of the frames as they came from the model, before encoding."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def replay_job(recipe: dict, path: Path, bank=None) -> tuple[Job, LoadConfig]:
    """The job of a recipe, and how its model was loaded.

    Raises BankError where it needs an adapter that the bank holds no more, and TTOMError where the recipe is
    not that of a generated video, or of another version's.
    """
    try:
        memory, seed, planner = recipe["memory"], recipe["seed"], recipe["planner"]
        data = recipe["layout"]
        layout = (
            layout_from_json(data, source="the video's recipe")
            if data["objects"]
            else Layout(prompt=data["prompt"], objects=())
        )
        sample, guide = SampleConfig(**recipe["sample"]), GuideConfig(**recipe["guide"])
        kept = replace(MemoryConfig(on_hit=recipe["on_hit"]), enabled=False)
        load = LoadConfig(**recipe["load"])
    except (KeyError, TypeError) as error:
        made_by = recipe.get("ttom", "no ttom")
        raise TTOMError(
            f"the video's recipe cannot be replayed: {error}", f"it was written by {made_by}, this is {__version__}"
        ) from None
    entry = None
    if memory.get("outcome") == "hit":
        entry = memory["entry"]
        stored = {e.id: e.sha256 for e in bank.entries()} if bank else {}
        if stored.get(entry) != memory["sha256"]:
            what = "has changed" if entry in stored else "is not"
            raise BankError(
                f"the video used the adapter {entry}, which {what} in the bank",
                "it can be replayed only with the bank as it was; see --bank",
            )
    job = Job(
        layout=layout, seed=seed, path=path, sample=sample, guide=guide, memory=kept, planner=planner, entry=entry
    )
    return job, load
