"""From a prompt to a video and a memory: the whole story on one screen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from .backbones.card import ModelCard
from .config import CheckConfig, GuideConfig, MemoryConfig, SampleConfig
from .errors import BankError, TTOMError, VideoError
from .foresight import absent_lines, unread, untaught
from .guidance.guide import Guide
from .guidance.targets import Targets
from .jobs import Clock, Job, Outcome, Report, Silent
from .layout.draw import draw_boxes, side_by_side
from .library import guided, targets_on
from .memory import Entry, Recall
from .memory.blend import mean
from .memory.signature import SHAPING, signature_of
from .outputs import comparison_of
from .parts import load_of
from .recipe import make_recipe
from .runtime import Runtime
from .seeing.score import Check, check
from .video import prepare_place, write_video


@dataclass(frozen=True, kw_only=True)
class Made:
    """One try at a video, while its guide is open."""

    job: Job
    frames: np.ndarray
    check: Check | None
    memory: dict
    hooks: Guide | None
    learns: bool
    """Whether what was optimised may be remembered: not if the check failed."""

    @property
    def losses(self) -> list[list[float]]:
        return self.hooks.losses if self.hooks else []


def generate(
    runtime: Runtime, job: Job, report: Report | None = None, written: Callable[[Path], None] = lambda path: None
) -> Outcome:
    """Recall, guide, look, write the video, consolidate, remember. `written` is told of each file once it stands.

    Raises TTOMError where there is no video; what fails once it is written is the outcome's `trouble`. The bank
    changes last, and only by a video that passed its check, where there is one.
    """
    report, clock = report or Silent(), Clock()
    targets = _prepare(runtime, job, report)
    with clock("recall"):
        recall = _recall(runtime, job, report)
    state, best, tries = None, None, 0
    with ExitStack() as opened:
        for number, made in _attempts(runtime, job, targets, recall, opened, clock, report):
            best, tries = made if best is None or made.check.rank > best.check.rank else best, number
        facts = {name: getattr(best, name) for name in ("frames", "losses", "memory", "check")} | {"tries": tries}
        if recall and best.memory["outcome"] == "miss":
            facts["memory"] = best.memory | {"failed": recall.entry.id}
        with clock("write"):
            report.stage("write")
            recipe = make_recipe(runtime, best.job, **facts)
            path = write_video(
                best.job.path, best.frames, fps=job.sample.fps, recipe=recipe, scale=job.sample.enlarge,
                overwrite=job.overwrite,
            )  # fmt: skip
            written(path)
        if best.learns:
            state = _consolidated(best, clock, report)
    outcome = Outcome(job=replace(best.job, path=path), seconds=clock.seconds, **facts)
    return _after_writing(runtime, outcome, recall, state, clock, report, written)


def _prepare(runtime: Runtime, job: Job, report: Report) -> Targets | None:
    """What can be said before sampling is said; the targets, where there is a guide. Raises TTOMError."""
    prepare_place(job.path)
    runtime.check(job.guide)
    runtime.prepare(job.sample)
    for line in (untaught(runtime, job), unread(runtime, job)):
        if line:
            report.note(line)
    if job.guide.mode == "off":
        return None
    times = runtime.backbone.latent_times(runtime.pipe, job.sample.frames)
    for line in absent_lines(job.layout, times):
        report.note(line)
    return make_targets(runtime, job)


def _attempts(runtime, job: Job, targets, recall, opened: ExitStack, clock, report) -> Iterator[tuple[int, Made]]:
    """The tries that came to a video, each with its number from 1, until one passes; only the last one's guide is open.

    A recalled adapter is for the first one: where it failed, the next is optimised from nothing; in auto, after a skip,
    on the same noise. Raises VideoError where no try came to a video.
    """
    seeds = [job.again(n) for n in range(job.check.tries)]
    ways = [(tried, None) for tried in seeds]
    if recall:
        again = ways if job.memory.on_hit == "auto" and _action(job, recall) == "skip" else ways[1:]
        ways = [(job, recall), *again]
    any_made = False
    for n, (tried, recalled) in enumerate(ways, 1):
        opened.close()
        then = ways[n][0].seed if n < len(ways) else None
        try:
            made = _make(runtime, tried, targets, recalled, opened, clock, report)
        except VideoError as error:
            if then is None and not any_made:
                raise
            report.note(f"seed {tried.seed}: {error.message}")
            continue
        any_made = True
        yield n, made
        if made.check is None or made.check.passed:
            return
        if then is not None:
            next_ = "optimising anew" if then == tried.seed else f"trying seed {then}"
            report.note(f"seed {tried.seed}: {'; '.join(made.check.faults)}; {next_}")


def _make(runtime: Runtime, job: Job, targets, recall: Recall | None, opened: ExitStack, clock, report) -> Made:
    """One try: sample under the guide, which stays open in `opened`, and look."""
    optimise = job.guide.mode != "off" and not (recall and _action(job, recall) == "skip")
    keeps = optimise and _keeps(runtime, job)
    under = guided(
        runtime.pipe, job.layout, guide=job.guide, seed=job.seed, stored=recall.state if recall else None,
        optimise=optimise, targets=targets, on_iteration=lambda step, i, loss: report.loss(loss),
    )  # fmt: skip
    hooks = opened.enter_context(under)
    with clock("sample"):
        report.stage("sample", job.sample.steps)
        frames = sample(runtime, job, report)
    seen = None
    if runtime.detector and job.check.enabled is not False and job.layout.objects:
        with clock("check"):
            report.stage("check")
            seen = check(job.layout, frames, runtime.see)
    if recall and not job.entries:
        runtime.bank.used(recall, seen and seen.passed)
    learns = keeps and (seen is None or seen.passed)
    return Made(job=job, frames=frames, check=seen, memory=_describe(runtime, job, recall), hooks=hooks, learns=learns)


def _consolidated(made: Made, clock: Clock, report: Report) -> dict | None:
    """What was learnt, a LoRA made to hold for any noise; None where that ran away."""
    guide = made.job.guide
    if guide.consolidate and "params" in guide.ways:
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
    return made.hooks.state()


def _after_writing(
    runtime, outcome: Outcome, recall, state: dict | None, clock: Clock, report: Report, written
) -> Outcome:
    """The comparison and the memory; what fails in them costs the video nothing."""
    extra, memory, job = [], outcome.memory, outcome.job
    try:
        if job.compare:
            with clock("compare"):
                report.stage("compare", job.sample.steps)
                extra.append(_compare(runtime, outcome, report))
                written(extra[-1])
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
    return targets_on(
        pipe, backbone, layout, times=backbone.latent_times(pipe, job.sample.frames),
        grid=backbone.token_grid(pipe, job.sample.height, job.sample.width), max_length=job.sample.max_sequence_length,
    )  # fmt: skip


def sample(runtime: Runtime, job: Job, report: Report) -> np.ndarray:
    """The pipeline's call; whatever guide is open acts on it: (F, H, W, 3) uint8."""
    return runtime.sample(job.layout.text, job.sample, job.seed, on_step=lambda i: report.step(i + 1))


def _recall(runtime: Runtime, job: Job, report: Report) -> Recall | None:
    if not _remembers(runtime, job):
        return None
    report.stage("recall")
    if job.entries:
        return runtime.bank.recall(job.entries)
    return runtime.bank.read(
        job.layout, model=runtime.card.name, guide=_key(runtime, job), blend=job.memory.blend
    )  # fmt: skip


def _action(job: Job, recall: Recall) -> str:
    """What is done with a hit: skip or continue.

    How alike the scenes are does not tell whether moves of latents help (measured: `ttom bench memory --reuse`), and is
    no reason to optimise them further.
    """
    if job.memory.on_hit != "auto":
        return job.memory.on_hit
    alike = recall.likeness >= job.memory.sure or "params" not in job.guide.ways
    return "skip" if alike else "continue"


def _remembers(runtime: Runtime, job: Job) -> bool:
    """Whether the bank is asked."""
    return bool(job.guide.learns and runtime.bank and (job.memory.enabled or job.entries))


def _keeps(runtime: Runtime, job: Job) -> bool:
    """Whether what is learnt may go to the bank."""
    return job.memory.enabled and _remembers(runtime, job) and not runtime.bank.read_only


def _key(runtime: Runtime, job: Job) -> dict:
    """What an adapter depends on."""
    return signature_of(job.guide, job.sample, runtime.parts)


def _describe(runtime: Runtime, job: Job, recall: Recall | None) -> dict:
    if not _remembers(runtime, job):
        return {"outcome": "off"}
    if recall is None:
        return {"outcome": "miss", "entry": None}
    match = {k: round(v, 3) for k, v in asdict(recall.match).items()}
    best, *others = [
        {"entry": part.entry.id, "sha256": part.entry.sha256, "likeness": part.likeness} for part in recall.parts
    ]
    return {
        "outcome": "hit", "action": _action(job, recall), **best, "prompt": recall.entry.prompt, **match,
        "others": others,
    }  # fmt: skip


def _remember(runtime: Runtime, outcome: Outcome, recall: Recall | None, state) -> str:
    """Insert what was learnt, or update the entry that was recalled; the entry's id.

    An update is the mean of the old and the new, by their likeness (section 3.3; see `memory.blend`). But the new alone
    where the old one failed, and this was learnt without it, or where the entry was named to be optimised.
    """
    job, losses, bank = outcome.job, outcome.losses, runtime.bank
    facts = dict(losses=[losses[0][0], losses[-1][-1]], consolidated=job.guide.consolidate, seed=job.seed)
    facts["seconds"] = round(outcome.seconds["sample"] + outcome.seconds.get("consolidate", 0.0), 2)
    if outcome.check:
        facts["check"] = {"passed": outcome.check.passed, "score": outcome.check.score, "iou": outcome.check.iou}
    if recall:
        if "failed" in outcome.memory:
            facts |= {"passed": 0, "failed": 0}  # they were the old one's
        elif not job.entries:
            state = mean([recall.parts[0].state, state], [1.0, recall.likeness])
        try:
            return bank.update(recall.entry.id, state, **facts).id
        except BankError:
            if recall.entry.id in {e.id for e in bank.entries()}:
                raise
    return bank.insert(job.layout, state, model=runtime.card.name, guide=_key(runtime, job), **facts).id


def _compare(runtime: Runtime, outcome: Outcome, report: Report) -> Path:
    """Unguided beside guided, the layout's boxes drawn on both."""
    job, plain = outcome.job, sample(runtime, outcome.job, report)
    scale = job.sample.enlarge
    how = "from memory" if outcome.memory["outcome"] == "hit" else f"guided: {job.guide.mode}"
    titled = ((plain, "unguided"), (outcome.frames, how))
    drawn = [draw_boxes(frames, job.layout, scale=scale, title=title) for frames, title in titled]
    path, recipe = comparison_of(job.path), {"prompt": job.layout.prompt, "compares": job.path.name}
    return write_video(path, side_by_side(drawn), fps=job.sample.fps, recipe=recipe, overwrite=job.overwrite)


def refine(
    bank, entry, *, consolidate: int | None = None, seed: int | None = None, out: Path | None = None,
    overwrite: bool = False, report: Report | None = None,
):  # fmt: skip
    """Optimise an entry further on its own prompt and layout, and store it: the Outcome.

    The video that comes of it is kept at `out`, if given; what is there only goes with `overwrite`. Raises TTOMError;
    the entry is as before then.
    """
    if "image_sha256" in entry.guide:
        raise BankError(
            f"the entry {entry.id} was learnt from a picture, which the bank does not hold",
            "make its video again with --on-hit continue",
        )
    runtime = Runtime.open(entry.model, bank=bank, load=load_of(entry.guide), check=CheckConfig())
    guide, sampled = _stored_settings(runtime.card, entry)
    if consolidate is not None:
        guide = replace(guide, consolidate=consolidate)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            layout=entry.checked_layout(), seed=entry.seed if seed is None else seed,
            path=out or Path(folder, "made.png" if runtime.backbone.still else "made.mp4"), guide=guide,
            memory=MemoryConfig(on_hit="continue"), sample=sampled, entries=((entry.id, 1.0),), overwrite=overwrite,
        )  # fmt: skip
        return generate(runtime, job, report)


def _stored_settings(card: ModelCard, entry: Entry) -> tuple[GuideConfig, SampleConfig]:
    """The settings that an entry was made with. Raises BankError where they cannot be some."""
    stored = entry.guide
    try:
        width, height, frames = stored["size"]
        guide = {name: stored[name] for name in SHAPING} | {"adapt": stored["adapted"], "share": 1.0}
        guide["mode"] = stored.get("mode", "params")
        guide = replace(
            card.guide_in(guide["mode"]), **{k: tuple(v) if isinstance(v, list) else v for k, v in guide.items()}
        )
        return guide, replace(card.sample, width=width, height=height, frames=frames, steps=stored["sampling_steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise BankError(f"the entry {entry.id} has no settings to go on with ({error})", "remove it") from None
