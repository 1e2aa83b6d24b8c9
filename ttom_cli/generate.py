"""From a prompt to a video and a memory: the whole story on one screen."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from . import __version__
from .config import CheckConfig, GuideConfig, LoadConfig, MemoryConfig, SampleConfig
from .errors import BankError, LayoutError, TTOMError, VideoError
from .guidance.adapter import Adapter, Folded
from .guidance.guide import Guide, attach
from .guidance.spans import phrase_spans
from .guidance.targets import Targets, absent, gaussian_targets
from .layout import Layout, layout_from_json
from .layout.draw import draw_boxes, side_by_side
from .memory import Recall
from .runtime import Runtime
from .seeing.score import Check, check
from .text import slug
from .video import prepare_place, write_mp4

# The guide's settings that shape an adapter: with others it is of no use.
SHAPING = ("blocks", "projections", "self_attention", "rank", "steps", "conditional_only", "keep_on", "loss")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to make."""

    layout: Layout
    """Without objects for a video that is not guided."""
    seed: int
    path: Path
    sample: SampleConfig
    guide: GuideConfig
    memory: MemoryConfig
    check: CheckConfig = field(default_factory=CheckConfig)
    planner: str = "file"
    compare: bool = False
    """Write a second file too: unguided beside guided, with the boxes drawn."""
    entry: str | None = None
    """Use this entry of the bank, whatever its key."""

    def again(self, n: int) -> Job:
        """The same with the n-th seed after this one; its file is named after that, if it is named after this one."""
        own, new = f"-seed{self.seed}", self.seed + n
        stem = self.path.stem
        name = f"{stem.removesuffix(own)}-seed{new}" if stem.endswith(own) else stem
        return replace(self, seed=new, path=self.path.with_name(name + self.path.suffix))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job."""

    job: Job
    """As it was made: with the seed and path of the try that is kept."""
    frames: np.ndarray
    memory: dict
    losses: list[list[float]]
    seconds: dict[str, float]
    check: Check | None = None
    """What was seen in it; None where nothing looked."""
    tries: int = 1
    """Videos made."""
    extra_paths: list[Path] = field(default_factory=list)
    trouble: TTOMError | None = None
    """What failed after the video was written."""

    def to_json(self) -> dict:
        """The line that `ttom generate --json` prints."""
        flat = [loss for step in self.losses for loss in step]
        return {
            "path": str(self.job.path),
            "prompt": self.job.layout.prompt,
            "seed": self.job.seed,
            "check": self.check and self.check.to_json(),
            "tries": self.tries,
            "memory": self.memory,
            "loss_first": flat[0] if flat else None,
            "loss_last": flat[-1] if flat else None,
            "seconds": {stage: round(s, 3) for stage, s in self.seconds.items()},
            "also": [str(p) for p in self.extra_paths],
            "error": self.trouble and self.trouble.message,
        }


class Report(Protocol):
    """Who is told of progress."""

    def stage(self, name: str, total: int | None = None) -> None: ...

    def step(self, done: int) -> None: ...

    def loss(self, value: float) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    def stage(self, name, total=None):
        pass

    def step(self, done):
        pass

    def loss(self, value):
        pass

    def note(self, text):
        pass


@dataclass(frozen=True, kw_only=True)
class Made:
    """One try at a video, while its guide is open."""

    job: Job
    frames: np.ndarray
    check: Check | None
    memory: dict
    hooks: Guide | None
    adapter: Adapter | Folded | None
    learns: bool
    """Whether what was optimised may be remembered: not if the check failed."""

    @property
    def losses(self) -> list[list[float]]:
        return self.hooks.losses if self.hooks else []


def generate(runtime: Runtime, job: Job, report: Report | None = None) -> Outcome:
    """Recall, guide, look, write the MP4, consolidate, remember.

    Raises TTOMError where there is no video; what fails once it is written is the outcome's `trouble`. The bank
    changes last, and only by a video that passed its check, where there is one.
    """
    report, clock = report or Silent(), Clock()
    targets = _prepare(runtime, job, report)
    with clock("recall"):
        recall = _recall(runtime, job, report)
    tries = [job.again(n) for n in range(job.check.tries)]
    state, best = None, None
    with ExitStack() as guided:
        for made in _attempts(runtime, tries, targets, recall, guided, clock, report):
            best = made if best is None or made.check.rank > best.check.rank else best
            if made.check is None or made.check.passed:
                break
        with clock("write"):
            report.stage("write")
            count = 1 + best.job.seed - job.seed if best.check is None or best.check.passed else len(tries)
            recipe = make_recipe(runtime, best, count)
            write_mp4(best.job.path, best.frames, fps=job.sample.fps, recipe=recipe, scale=job.sample.enlarge)
        if best.learns:
            state = _consolidated(best, clock, report)
    outcome = Outcome(
        job=best.job, frames=best.frames, memory=best.memory, losses=best.losses, seconds=clock.seconds,
        check=best.check, tries=count,
    )  # fmt: skip
    return _after_writing(runtime, outcome, recall, state, clock, report)


def _prepare(runtime: Runtime, job: Job, report: Report) -> Targets | None:
    """What can be said before sampling is said; the targets, where there is a guide. Raises TTOMError."""
    prepare_place(job.path)
    runtime.check(job.guide)
    runtime.prepare(job.sample)
    if odd := _untaught(runtime, job):
        report.note(odd)
    if unread := _unread(runtime, job):
        report.note(f"the model reads {job.sample.max_sequence_length} tokens, and not the prompt's end: {unread!r}")
    if job.guide.mode == "off":
        return None
    times = runtime.backbone.latent_times(runtime.pipe, job.sample.frames)
    for line in absent_lines(job.layout, times):
        report.note(line)
    return make_targets(runtime, job)


def _attempts(runtime, tries: list[Job], targets, recall, guided: ExitStack, clock, report) -> Iterator[Made]:
    """The tries that came to a video, one by one; only the guide of the last is open. Raises VideoError for none.

    A recalled adapter is for the first one: where it failed, the next is optimised from nothing.
    """
    any_made = False
    for job in tries:
        guided.close()
        try:
            made = _make(runtime, job, targets, recall if job is tries[0] else None, guided, clock, report)
        except VideoError as error:
            if job is tries[-1] and not any_made:
                raise
            report.note(f"seed {job.seed}: {error.message}")
            continue
        if made.check and not made.check.passed and job is not tries[-1]:
            report.note(f"seed {job.seed}: {'; '.join(made.check.faults)}; trying seed {job.seed + 1}")
        any_made = True
        yield made


def _make(runtime: Runtime, job: Job, targets, recall: Recall | None, guided: ExitStack, clock, report) -> Made:
    """One try: sample under the guide, which stays open in `guided`, and look."""
    pipe, backbone, guide = runtime.pipe, runtime.backbone, job.guide
    optimise = guide.mode != "off" and not (recall and job.memory.on_hit == "skip")
    stored = recall.state if recall else None
    adapter = guided.enter_context(attach(pipe, backbone, guide, seed=job.seed, stored=stored, optimise=optimise))
    hooks = None
    if targets:
        hooks = Guide(
            pipe, backbone, guide, targets, adapter=adapter, optimise=optimise,
            on_iteration=lambda step, i, loss: report.loss(loss),
        )  # fmt: skip
    with clock("sample"):
        report.stage("sample", job.sample.steps)
        with hooks or nullcontext():
            frames = sample(runtime, job, report)
    seen = None
    if runtime.detector and job.check.enabled is not False and job.layout.objects:
        with clock("check"):
            report.stage("check")
            seen = check(job.layout, frames, runtime.see)
    learns = adapter and optimise and runtime.bank and job.memory.enabled and (seen is None or seen.passed)
    return Made(
        job=job, frames=frames, check=seen, memory=_describe(runtime, job, recall), hooks=hooks, adapter=adapter,
        learns=bool(learns),
    )  # fmt: skip


def _consolidated(made: Made, clock: Clock, report: Report) -> dict | None:
    """The adapter's tensors, made to hold for any noise; None where that ran away."""
    guide = made.job.guide
    if guide.consolidate:
        with clock("consolidate"):
            report.stage("consolidate", guide.consolidate)
            try:
                made.hooks.consolidate(
                    guide.consolidate, seed=made.job.seed,
                    on_iteration=lambda _, i, loss: (report.loss(loss), report.step(i + 1)),
                )  # fmt: skip
            except VideoError as error:
                report.note(f"nothing is remembered: {error.message}, while consolidating")
                return None
    return made.adapter.state()


def _after_writing(runtime, outcome: Outcome, recall, state: dict | None, clock: Clock, report: Report) -> Outcome:
    """The comparison and the memory; what fails in them costs the video nothing."""
    extra, memory, job = [], outcome.memory, outcome.job
    try:
        if job.compare:
            with clock("compare"):
                report.stage("compare", job.sample.steps)
                extra.append(_compare(runtime, outcome, report))
        if state:
            with clock("remember"):
                report.stage("remember")
                memory = memory | {"entry": _remember(runtime, outcome, recall, state)}
    except TTOMError as error:
        return replace(outcome, extra_paths=extra, trouble=error)
    return replace(outcome, extra_paths=extra, memory=memory)


def make_targets(runtime: Runtime, job: Job) -> Targets:
    """The layout on the model's token grid and latent frames. Raises LayoutError for a phrase not found."""
    backbone, pipe, layout = runtime.backbone, runtime.pipe, job.layout
    spans = phrase_spans(layout, *backbone.tokens(pipe, layout.text, job.sample.max_sequence_length))
    times = backbone.latent_times(pipe, job.sample.frames)
    grid = backbone.token_grid(pipe, job.sample.height, job.sample.width)
    return gaussian_targets(layout, spans, times, grid)


def absent_lines(layout: Layout, times: list[float]) -> list[str]:
    """A line for each object that is in the frame at none of the model's `times`, and so cannot be guided.

    Raises LayoutError where none is left.
    """
    gone = [track.phrase for track in absent(layout, times)]
    if len(gone) == len(layout.objects):
        listed = ", ".join(map(repr, dict.fromkeys(gone)))
        raise LayoutError(
            [f"no object is in the frame in any of the {len(times)} latent frames: {listed}"],
            hint="give more --frames, boxes within the frame, or --guide off",
        )
    return [f"object {phrase!r} is in the frame in no latent frame, and is not guided" for phrase in gone]


def _untaught(runtime: Runtime, job: Job) -> str:
    """A size or a number of frames that a model of one world was not trained for, in words."""
    card = runtime.card
    taught, asked = ((s.width, s.height, s.frames) for s in (card.sample, job.sample))
    if not card.world or asked == taught:
        return ""
    names = ["{}x{} pixels, frames: {}".format(*size) for size in (taught, asked)]
    return f"{Path(card.name).name} was trained for {names[0]}; this is {names[1]}"


def _unread(runtime: Runtime, job: Job) -> str:
    """The end of the prompt that is beyond the tokens that the model reads."""
    text, limit = job.layout.text, job.sample.max_sequence_length
    (_, read), (_, whole) = (runtime.backbone.tokens(runtime.pipe, text, n) for n in (limit, limit + len(text)))
    return text[max(b for _, b in read) :].strip() if len(whole) > len(read) else ""


def sample(runtime: Runtime, job: Job, report: Report) -> np.ndarray:
    """The pipeline's call; whatever guide is open acts on it: (F, H, W, 3) uint8."""
    return runtime.sample(job.layout.text, job.sample, job.seed, on_step=lambda i: report.step(i + 1))


def _recall(runtime: Runtime, job: Job, report: Report) -> Recall | None:
    if not _remembers(runtime, job):
        return None
    report.stage("recall")
    if job.entry:
        from .memory.keys import Match

        entry = runtime.bank.find(job.entry)
        return Recall(entry, runtime.bank.load(entry), Match(1.0, 1.0, 1.0))
    return runtime.bank.read(job.layout, model=runtime.card.name, guide=adapter_signature(job))


def _remembers(runtime: Runtime, job: Job) -> bool:
    """Whether the bank is asked."""
    return bool(job.guide.mode == "params" and runtime.bank and (job.memory.enabled or job.entry))


def adapter_signature(job: Job) -> dict:
    """The settings that an adapter depends on: a stored one is used under the same alone."""
    guide, sample = job.guide, job.sample
    signature = {name: getattr(guide, name) for name in SHAPING} | {"adapted": guide.adapted}
    signature |= {"size": (sample.width, sample.height, sample.frames), "sampling_steps": sample.steps}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in signature.items()}


def _describe(runtime: Runtime, job: Job, recall: Recall | None) -> dict:
    if not _remembers(runtime, job):
        return {"outcome": "off"}
    if recall is None:
        return {"outcome": "miss", "entry": None}
    match = {k: round(v, 3) for k, v in asdict(recall.match).items()}
    entry = recall.entry
    return {
        "outcome": "hit", "action": job.memory.on_hit, "entry": entry.id, "sha256": entry.sha256,
        "prompt": entry.prompt, **match,
    }  # fmt: skip


def _remember(runtime: Runtime, outcome: Outcome, recall: Recall | None, state) -> str:
    """Insert what was learnt, or update the entry that was recalled; the entry's id."""
    job, losses, bank = outcome.job, outcome.losses, runtime.bank
    facts = dict(losses=[losses[0][0], losses[-1][-1]], consolidated=job.guide.consolidate, seed=job.seed)
    if outcome.check:
        facts["check"] = {"passed": outcome.check.passed, "score": outcome.check.score, "iou": outcome.check.iou}
    if recall:
        try:
            return bank.update(recall.entry.id, state, **facts).id
        except BankError:
            if recall.entry.id in {e.id for e in bank.entries()}:
                raise
    return bank.insert(job.layout, state, model=runtime.card.name, guide=adapter_signature(job), **facts).id


def _compare(runtime: Runtime, outcome: Outcome, report: Report) -> Path:
    """Unguided beside guided, the layout's boxes drawn on both."""
    job, plain = outcome.job, sample(runtime, outcome.job, report)
    scale = job.sample.enlarge
    how = "from memory" if outcome.memory["outcome"] == "hit" else f"guided: {job.guide.mode}"
    titled = ((plain, "unguided"), (outcome.frames, how))
    drawn = [draw_boxes(frames, job.layout, scale=scale, title=title) for frames, title in titled]
    path = job.path.with_name(f"{job.path.stem}.compare.mp4")
    write_mp4(path, side_by_side(drawn), fps=job.sample.fps, recipe={"prompt": job.layout.prompt})
    return path


def refine(bank, entry, *, consolidate: int | None, seed: int | None, out: Path | None, report: Report | None = None):
    """Optimise an entry further on its own prompt and layout, and store it: the Outcome.

    The video that comes of it is kept at `out`, if given. Raises TTOMError; the entry is as before then.
    """
    runtime = Runtime.open(entry.model, bank=bank, check=CheckConfig())
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


def make_recipe(runtime: Runtime, made: Made, tries: int) -> dict:
    """All that is needed to make the video again, and what was seen in it, as JSON."""
    from importlib.metadata import version

    job = made.job
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
        "memory": made.memory,
        "on_hit": job.memory.on_hit,
        "losses": [[round(loss, 5) for loss in step] for step in made.losses],
        "check": made.check and {"detector": runtime.detector.name, **made.check.to_json()},
        "tries": tries,
        "load": asdict(runtime.load),
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "peft")},
        "frames_sha256": digest(made.frames),
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
