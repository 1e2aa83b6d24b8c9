"""`ttom generate`"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .. import console
from ..catalog import ModelCard
from ..config import OUTPUT, LoadConfig, RunConfig
from ..errors import TTOMError, VideoError
from ..files import to_json
from ..settings import OPTIONS, Settings, given_fields, read_config, resolve_slice
from .inputs import (
    ConfigOpt,
    JsonOpt,
    PromptArg,
    PromptsOpt,
    Source,
    open_bank,
    own_options,
    plan_or_not,
    read_source,
    settle,
    title,
)
from .parameters import takes

if TYPE_CHECKING:
    from ..jobs import Job
    from ..runtime import Runtime


@takes(*OPTIONS)
def generate(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    config: ConfigOpt = None,
    replay: Annotated[Optional[Path], typer.Option(help="Make the video of this MP4 again, from the recipe in it.", rich_help_panel=OUTPUT)] = None,
    json_: JsonOpt = False,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Make videos: plan, recall or optimise, look at what came out, write the MP4, remember. Prints the paths.

    One model load serves all prompts that name no other; a prompt that fails is reported and the rest are done.
    """
    common = read_config(config)
    run = resolve_slice(RunConfig, common, given)
    if replay:
        return _replay(replay, run, given_fields(common, given)[LoadConfig], json_)
    source = read_source(prompt, prompts, run.layout)
    if run.out.suffix == ".mp4" and source.batch:
        raise TTOMError(f"--out {run.out} is one file, and there may be several prompts", "give a folder")
    card, shared = settle(common, given)  # bad options are said before a model is loaded
    _check_start(card, shared)
    taken: set[Path] = set()

    def job(item: dict) -> tuple[Job, Settings]:
        card, settings = settle(common, own_options(item), given)
        return _job(item, card, settings, taken), settings

    _make_all(source, job, shared, json_)


def _check_start(card: ModelCard, shared: Settings) -> None:
    """What would only fail once the model is loaded is said before. Raises TTOMError."""
    from ..foresight import check_places
    from ..parts import settled
    from ..runtime import check_arguments, detector_for, find_device, pipeline_class

    find_device(shared.load.device)
    settled(shared.load)
    if shared.sample.more != card.sample.more:
        check_arguments(pipeline_class(card), shared.sample)
    detector_for(card, shared.check)
    remembers, out = shared.memory.enabled and shared.guide.mode == "params", shared.run.out
    quiet = open_bank(shared.run.bank, tell=lambda line: None) if remembers else None  # the one that is used tells
    check_places(out if out.suffix == ".mp4" else out / "any.mp4", quiet)


def _job(item: dict, card: ModelCard, settings: Settings, taken: set[Path]) -> Job:
    """The planned job of an item, of a path that is not taken yet; doubts are said. Raises TTOMError."""
    from ..foresight import foresee
    from ..jobs import Job, file_name

    run, sample, guide = settings.run, settings.sample, settings.guide
    seed = OPTIONS["seed"].read(item["seed"]) if "seed" in item else run.seed
    seed = random.randrange(2**31) if seed is None else seed
    own = OPTIONS["out"].read(item["out"]) if "out" in item else None
    made = plan_or_not(item, settings.planner, (sample.width, sample.height), guided=guide.mode != "off")
    path = run.out if run.out.suffix == ".mp4" else run.out / (own or file_name(made.prompt, seed))
    while path in taken:
        path = path.with_name(f"{path.stem}-again.mp4")
    taken.add(path)
    planned = Job(
        layout=made, seed=seed, path=path, sample=sample, memory=settings.memory,
        guide=guide if made.objects else replace(guide, mode="off"), check=settings.check,
        planner="file" if item.get("layout") else settings.planner.label, compare=run.compare,
    )  # fmt: skip
    for line in foresee(card, planned):
        console.note(line)
    return planned


class Loaded:
    """The runtime at hand. A prompt that names another model, bank or way of loading gets another in its place."""

    def __init__(self):
        self.runtime: Runtime | None = None
        self.of: tuple = ()  # what was asked for

    def runtime_for(self, settings: Settings) -> Runtime:
        from ..runtime import Runtime, detector_for

        run, load, check, guide = settings.run, settings.load, settings.check, settings.guide
        of = (
            run.model, run.bank, settings.memory.capacity, load, guide.reach if load.offload == "group" else 0,
            check.detector, check.detector_model, check.segmenter_model,
        )  # fmt: skip
        blind = self.runtime and not self.runtime.detector and detector_for(self.runtime.card, check)
        if of != self.of or blind:
            self.runtime, self.of = None, ()  # what is held goes before more is loaded
            bank = open_bank(run.bank, settings.memory)
            self.runtime = Runtime.open(run.model, bank=bank, load=load, guide=guide, check=check)
            self.of = of
        return self.runtime


def _make_all(source: Source, job, shared: Settings, json_: bool) -> None:
    """Make every item's video. A single prompt is planned before the model is loaded."""
    from ..generate import generate as run

    loaded = Loaded()
    if source.batch:
        with console.waiting("loading the model"):
            loaded.runtime_for(shared)
    with console.progress() as live:

        def work(item: dict) -> None:
            with console.report(live, title(item)) as report:
                report.stage("plan")
                planned, settings = job(item)
                report.stage("load")
                outcome = run(loaded.runtime_for(settings), planned, report)
            _tell(outcome, json_)

        source.each(work)


def _tell(outcome, json_: bool, **more) -> None:
    """Print what came of a video. Raises TTOMError for what failed after it, and, if strict, where it does not pass."""
    console.say(console.outcome_line(outcome))
    paths = [outcome.job.path, *outcome.extra_paths]
    print(to_json(outcome.to_json() | more) if json_ else "\n".join(map(str, paths)), flush=True)
    if outcome.trouble:
        raise outcome.trouble
    if outcome.job.check.strict and not (outcome.check and outcome.check.passed):
        faults = outcome.check.faults if outcome.check else ["it has no layout to be held against"]
        raise VideoError(f"the video does not pass: {'; '.join(faults)}", "--tries N makes it again")


def _replay(source: Path, options: RunConfig, loading: dict, json_: bool) -> None:
    """Make a video again, and say whether the frames are the same."""
    from ..generate import generate as run
    from ..recipe import digest, replay_job
    from ..runtime import Runtime
    from ..video import read_recipe

    recipe = read_recipe(source)
    out, bank = options.out, open_bank(options.bank)
    path = out if out.suffix == ".mp4" else out / f"{source.stem}.replay.mp4"
    job, load = replay_job(recipe, path, bank)
    load = replace(load, **loading)
    with console.waiting("loading the model"):
        runtime = Runtime.open(recipe["model"], bank=bank, load=load, guide=job.guide, check=job.check)
    with console.progress() as live, console.report(live, job.layout.prompt) as report:
        outcome = run(runtime, job, report)
    same = digest(outcome.frames) == recipe["frames_sha256"]
    differ = "[yellow]the frames differ[/] (another machine, or other versions?)"
    console.say("the frames are the same" if same else differ)
    _tell(outcome, json_, same_frames=same)
