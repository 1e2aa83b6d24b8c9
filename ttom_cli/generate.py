"""From a prompt to a video and a memory: the whole story on one screen."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from . import __version__
from .config import GuideConfig, LoadConfig, MemoryConfig, SampleConfig
from .errors import BankError, TTOMError
from .guidance.guide import Guide, attach
from .guidance.spans import phrase_spans
from .guidance.targets import gaussian_targets
from .layout import Layout, layout_from_json
from .layout.draw import draw_boxes, side_by_side
from .memory import Recall
from .runtime import Runtime
from .text import slug
from .video import prepare_place, write_mp4

# The guide's settings that shape an adapter: with others it is of no use.
SHAPING = ("blocks", "projections", "self_attention", "rank", "steps", "conditional_only", "keep_on", "loss")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to make."""

    layout: Layout
    seed: int
    path: Path
    sample: SampleConfig
    guide: GuideConfig
    memory: MemoryConfig
    planner: str = "file"
    compare: bool = False
    """Write a second file too: unguided beside guided, with the boxes drawn."""
    entry: str | None = None
    """Use this entry of the bank, whatever its key."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job."""

    job: Job
    frames: np.ndarray
    memory: dict
    losses: list[list[float]]
    seconds: dict[str, float]
    extra_paths: list[Path] = field(default_factory=list)

    def to_json(self) -> dict:
        """The line that `ttom generate --json` prints."""
        flat = [loss for step in self.losses for loss in step]
        return {
            "path": str(self.job.path),
            "prompt": self.job.layout.prompt,
            "seed": self.job.seed,
            "memory": self.memory,
            "loss_first": flat[0] if flat else None,
            "loss_last": flat[-1] if flat else None,
            "seconds": {stage: round(s, 3) for stage, s in self.seconds.items()},
            "also": [str(p) for p in self.extra_paths],
        }


class Report(Protocol):
    """Who is told of progress."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def step(self, done: int) -> None: ...

    def loss(self, value: float) -> None: ...


class Silent:
    def stage(self, name, total=None):
        pass

    def step(self, done):
        pass

    def loss(self, value):
        pass


def generate(runtime: Runtime, job: Job, report: Report | None = None) -> Outcome:
    """Recall, guide, write the MP4, consolidate, remember. Raises TTOMError; the bank changes last."""
    report, clock = report or Silent(), Clock()
    pipe, backbone, guide = runtime.pipe, runtime.backbone, job.guide
    recall, memory = None, {"outcome": "off"}
    prepare_place(job.path)
    runtime.check(guide)
    runtime.prepare(job.sample)
    if guide.mode == "params" and runtime.bank and (job.memory.enabled or job.entry):
        with clock("recall"):
            report.stage("recall")
            recall = _recall(runtime, job)
        memory = _describe(recall, job)
    optimise = guide.mode != "off" and not (recall and job.memory.on_hit == "skip")
    stored = recall.state if recall else None
    with attach(pipe, backbone, guide, seed=job.seed, stored=stored, optimise=optimise) as adapter:
        hooks = None
        if guide.mode != "off":
            hooks = Guide(
                pipe, backbone, guide, make_targets(runtime, job), adapter=adapter, optimise=optimise,
                on_iteration=lambda step, i, loss: report.loss(loss),
            )  # fmt: skip
        with clock("sample"):
            report.stage("sample", job.sample.steps)
            with hooks or nullcontext():
                frames = sample(runtime, job, report)
        losses = hooks.losses if hooks else []
        with clock("write"):
            report.stage("write")
            recipe = make_recipe(runtime, job, losses, memory, frames)
            write_mp4(job.path, frames, fps=job.sample.fps, recipe=recipe, scale=job.sample.enlarge)
        learn = adapter and job.memory.enabled and runtime.bank and optimise
        if learn and guide.consolidate:
            with clock("consolidate"):
                report.stage("consolidate", guide.consolidate)
                hooks.consolidate(
                    guide.consolidate, seed=job.seed,
                    on_iteration=lambda _, i, loss: (report.loss(loss), report.step(i + 1)),
                )  # fmt: skip
        state = adapter.state() if learn else None
    extra = []
    if job.compare:
        with clock("compare"):
            report.stage("compare", job.sample.steps)
            extra.append(_compare(runtime, job, frames, report))
    if learn:
        with clock("remember"):
            report.stage("remember")
            memory["entry"] = _remember(runtime, job, recall, state, losses)
    return Outcome(job=job, frames=frames, memory=memory, losses=losses, seconds=clock.seconds, extra_paths=extra)


def make_targets(runtime: Runtime, job: Job):
    """The layout on the model's token grid and latent frames. Raises LayoutError for a phrase not found."""
    backbone, pipe, layout = runtime.backbone, runtime.pipe, job.layout
    spans = phrase_spans(layout, *backbone.tokens(pipe, layout.text, job.sample.max_sequence_length))
    times = backbone.latent_times(pipe, job.sample.frames)
    grid = backbone.token_grid(pipe, job.sample.height, job.sample.width)
    return gaussian_targets(layout, spans, times, grid)


def sample(runtime: Runtime, job: Job, report: Report) -> np.ndarray:
    """The pipeline's call; whatever guide is open acts on it: (F, H, W, 3) uint8."""
    return runtime.sample(job.layout.text, job.sample, job.seed, on_step=lambda i: report.step(i + 1))


def _recall(runtime: Runtime, job: Job) -> Recall | None:
    if job.entry:
        from .memory.keys import Match

        entry = runtime.bank.find(job.entry)
        return Recall(entry, runtime.bank.load(entry), Match(1.0, 1.0, 1.0))
    return runtime.bank.read(job.layout, model=runtime.card.name, guide=adapter_signature(job))


def adapter_signature(job: Job) -> dict:
    """The settings that an adapter depends on: a stored one is used under the same alone."""
    guide, sample = job.guide, job.sample
    signature = {name: getattr(guide, name) for name in SHAPING} | {"adapted": guide.adapted}
    signature |= {"size": (sample.width, sample.height, sample.frames), "sampling_steps": sample.steps}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in signature.items()}


def _describe(recall: Recall | None, job: Job) -> dict:
    if recall is None:
        return {"outcome": "miss", "entry": None}
    match = {k: round(v, 3) for k, v in asdict(recall.match).items()}
    entry = recall.entry
    return {
        "outcome": "hit", "action": job.memory.on_hit, "entry": entry.id, "sha256": entry.sha256,
        "prompt": entry.prompt, **match,
    }  # fmt: skip


def _remember(runtime: Runtime, job: Job, recall: Recall | None, state, losses) -> str:
    """Insert what was learnt, or update the entry that it was learnt from; the entry's id."""
    facts = dict(losses=[losses[0][0], losses[-1][-1]], consolidated=job.guide.consolidate, seed=job.seed)
    bank = runtime.bank
    if recall:
        try:
            return bank.update(recall.entry.id, state, **facts).id
        except BankError:
            if recall.entry.id in {e.id for e in bank.entries()}:
                raise
    return bank.insert(job.layout, state, model=runtime.card.name, guide=adapter_signature(job), **facts).id


def _compare(runtime: Runtime, job: Job, frames: np.ndarray, report: Report) -> Path:
    """Unguided beside guided, the layout's boxes drawn on both."""
    plain = sample(runtime, job, report)
    scale = job.sample.enlarge
    drawn = [draw_boxes(v, job.layout, scale=scale, labels=False) for v in (plain, frames)]
    path = job.path.with_name(f"{job.path.stem}.compare.mp4")
    write_mp4(path, side_by_side(drawn), fps=job.sample.fps, recipe={"prompt": job.layout.prompt})
    return path


def refine(bank, entry, *, consolidate: int | None, seed: int | None, out: Path | None, report: Report | None = None):
    """Optimise an entry further on its own prompt and layout, and store it: the Outcome.

    The video that comes of it is kept at `out`, if given. Raises TTOMError; the entry is as before then.
    """
    runtime = Runtime.open(entry.model, bank=bank)
    stored, card = entry.guide, runtime.card
    width, height, frames = stored["size"]
    guide = {name: stored[name] for name in SHAPING} | {"adapt": stored["adapted"]}
    guide = replace(card.guide, **{k: tuple(v) if isinstance(v, list) else v for k, v in guide.items()})
    if consolidate is not None:
        guide = replace(guide, consolidate=consolidate)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            layout=layout_from_json(entry.layout), seed=entry.seed if seed is None else seed,
            path=out or Path(folder, "video.mp4"), guide=guide, memory=MemoryConfig(on_hit="continue"),
            sample=replace(card.sample, width=width, height=height, frames=frames, steps=stored["sampling_steps"]),
            entry=entry.id,
        )  # fmt: skip
        return generate(runtime, job, report)


# ---------------------------------------------------------------- recipes


def make_recipe(runtime: Runtime, job: Job, losses, memory: dict, frames: np.ndarray) -> dict:
    """All that is needed to make the video again, as JSON."""
    from importlib.metadata import version

    return {
        "ttom": __version__,
        "model": runtime.card.name,
        "prompt": job.layout.prompt,
        "layout": job.layout.to_json(),
        "planner": job.planner,
        "seed": job.seed,
        "scheduler": type(runtime.pipe.scheduler).__name__,
        "sample": asdict(job.sample),
        "guide": asdict(job.guide),
        "memory": memory,
        "on_hit": job.memory.on_hit,
        "losses": [[round(loss, 5) for loss in step] for step in losses],
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
        layout = layout_from_json(recipe["layout"], source="the video's recipe")
        sample, guide = (
            kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in recipe[name].items()})
            for kind, name in ((SampleConfig, "sample"), (GuideConfig, "guide"))
        )
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


def file_name(prompt: str, seed: int) -> str:
    """'A red ball!' and 7 -> 'a-red-ball-seed7.mp4'."""
    return f"{slug(prompt)}-seed{seed}.mp4"


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - began
