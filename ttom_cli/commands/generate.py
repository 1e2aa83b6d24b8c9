"""`ttom generate`"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import console
from ..backbones import FAMILIES
from ..backbones.card import ModelCard
from ..config import OUTPUT, LoadConfig, RunConfig
from ..errors import TTOMError, VideoError, explained
from ..files import to_json
from ..options import options_of
from ..outputs import STILLS, SUFFIXES, Pattern, comparison_of, read_pattern, refuse_existing
from ..settings import OPTIONS, Layer, Settings, given_fields, option_name, read_config, resolve_slice
from ..text import plain
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
    sound,
    title,
)
from .parameters import file, takes
from .tally import Tally

if TYPE_CHECKING:
    from ..asked import Asked, Places
    from ..jobs import Job
    from ..layout import Layout
    from ..runtime import Runtime


@takes(*OPTIONS)
def generate(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    config: ConfigOpt = None,
    replay: file("--replay", help="Make this video again, from the recipe in it.", panel=OUTPUT) = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replay a video of another model than the packaged ones without being asked.", rich_help_panel=OUTPUT)] = False,
    json_: JsonOpt = False,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Make videos: plan, recall or optimise, look at what came out, write the file, remember. Prints the paths.

    One model load serves all prompts that name no other; a prompt that fails is reported and the rest are done.
    """
    from ..asked import Finished, Places, videos_of

    common = read_config(config)
    run = resolve_slice(RunConfig, common, given)
    if replay and (prompt is not None or prompts):
        raise TTOMError("there are both --replay and a prompt", "the recipe has its own; leave one of them out")
    if replay:
        _refuse_changes(common, given)
        return _replay(replay, run, given_fields(common, given)[LoadConfig], yes=yes, json_=json_)
    source = read_source(prompt, prompts, run.layout)
    card, shared = settle(common, given)  # bad options are said before a model is loaded
    pattern = read_pattern(run.out, still=FAMILIES[card.pipeline].still)
    if pattern.fixed and source.batch and (source.stream or len(source.items) > 1):
        raise TTOMError(f"--out {run.out} is one file, and there may be several prompts", "give a folder or a pattern")
    places, finished, numbers = Places(run.overwrite), Finished(), itertools.count(1)

    def ask(item: Layer | TTOMError) -> list[Asked]:
        """The videos of a prompt that are still to be made."""
        number = next(numbers)
        with _lost(json_, item):
            item = sound(item)
            asked = videos_of(item, number, *settle(common, own_options(item), given), common=common, given=given)
            there = [finished.take(a) if run.resume else None for a in asked]
            wanted = [a for a, path in zip(asked, there, strict=True) if not path]
            for a in wanted:
                places.claim(a, finished.cut(a) if run.resume else None)
        for a, path in zip(asked, there, strict=True):
            if path:
                places.leave(a)
                source.failed |= not _left_out(path, item, a.settings, json_)
        return wanted

    videos = itertools.chain.from_iterable(source.tried(ask, source.items, title))
    ahead = [] if source.stream else list(videos)
    with console.waiting("getting ready"):
        _check_start(card, shared, pattern)
    _make_all(source, ahead, videos, places, json_)


def _left_out(path: Path, item: Layer, settings: Settings, json_: bool) -> bool:
    """Say that a video is there already. Whether that is as well: not where, if strict, it does not pass."""
    from ..video import read_recipe

    strict, compared = settings.check.strict, comparison_of(path)
    recipe, trouble = read_recipe(path) if strict or json_ else {}, None  # which takes a process
    if strict and not (recipe.get("check") or {}).get("passed"):
        trouble = f"{path} is there, and does not pass"
        console.error(f"{title(item)!r}: {trouble}", "--overwrite without --resume, for it alone, makes it again")
    else:
        console.note(f"{path} is there, and is left out: {title(item)}")
        if settings.run.compare and not compared.exists():
            console.note(f"{compared} is not there; --overwrite without --resume makes it, with its video")
    if json_:  # its seed may be another than is drawn now
        print(to_json(_line(item, recipe.get("seed"), path=str(path), error=trouble) | {"left_out": True}), flush=True)
    return not trouble


def _line(item: Layer | TTOMError, seed: int | None, *, path: str | None = None, error: str | None = None) -> dict:
    """The line of JSON on a video that was not made."""
    asked = {} if isinstance(item, TTOMError) else item
    return {
        "path": path,
        "prompt": asked.get("prompt"),
        "seed": asked.get("seed") if seed is None else seed,
        "error": error,
    }


@contextmanager
def _lost(json_: bool, item: Layer | TTOMError, seed: int | None = None) -> Iterator[None]:
    """While open, what fails is a line of JSON as well, where those are asked for: so each video has one."""
    try:
        yield
    except Exception as error:
        if json_ and not isinstance(error, BrokenPipeError):
            print(to_json(_line(item, seed, error=explained(error)[0])), flush=True)
        raise


def _check_start(card: ModelCard, shared: Settings, pattern: Pattern) -> None:
    """What would only fail once the model is loaded is said before. Raises TTOMError."""
    remembers = shared.memory.enabled and shared.guide.learns
    quiet = open_bank(shared.run.bank, tell=lambda line: None) if remembers else None  # the one that is used tells

    from ..foresight import check_places
    from ..parts import settled
    from ..runtime import check_arguments, detector_for, find_device, pipeline_class

    find_device(shared.load.device)
    settled(shared.load)
    if shared.sample.more != card.sample.more:
        check_arguments(FAMILIES[card.pipeline], pipeline_class(card), shared.sample)
    detector_for(card, shared.check)
    check_places(pattern.root / "any.mp4", quiet)


def _plan(asked: Asked) -> Layout:
    """The layout of a video's prompt. Raises TTOMError."""
    sample, guide = asked.settings.sample, asked.settings.guide
    return plan_or_not(asked.item, asked.settings.planner, (sample.width, sample.height), guided=guide.mode != "off")


def _job(asked: Asked, layout: Layout, places: Places) -> Job:
    from ..jobs import Job

    item, settings, seed = asked.item, asked.settings, asked.seed
    path_of = partial(places.place, asked, layout.prompt)
    path = path_of(seed)
    return Job(
        layout=layout, seed=seed, stride=asked.stride, path=path, named=path_of, sample=settings.sample, memory=settings.memory,
        guide=settings.guide if layout.objects else replace(settings.guide, mode="off"), check=settings.check,
        planner="file" if item.get("layout") else settings.planner.label, compare=settings.run.compare,
        overwrite=places.may_overwrite(asked, path), asked=asked.mark,
    )  # fmt: skip


class Loaded:
    """The runtime at hand. A prompt that names another model, bank or way of loading gets another in its place."""

    def __init__(self):
        self.runtime: Runtime | None = None
        self.of: tuple = ()  # what was asked for
        self.failed: dict[tuple, TTOMError] = {}  # what cannot be had, and is not tried again

    @staticmethod
    def wanted(settings: Settings) -> tuple:
        """What two videos must have alike to be made with one runtime."""
        run, load, check, guide = settings.run, settings.load, settings.check, settings.guide
        return (
            run.model, run.bank, settings.memory.capacity, load, guide.reach if load.divides else 0,
            check.detector, check.detector_model, check.segmenter_model,
        )  # fmt: skip

    def runtime_for(self, settings: Settings) -> Runtime:
        from ..runtime import Runtime, detector_for

        run, check, of = settings.run, settings.check, self.wanted(settings)
        if of in self.failed:
            raise self.failed[of]
        blind = self.runtime and not self.runtime.detector and detector_for(self.runtime.card, check)
        if of != self.of or blind:
            self.runtime, self.of = None, ()  # what is held goes before more is loaded
            bank = open_bank(run.bank, memory=settings.memory)
            try:
                self.runtime = Runtime.open(run.model, bank=bank, load=settings.load, guide=settings.guide, check=check)
            except TTOMError as error:
                self.failed[of] = error
                raise
            self.of = of
        return self.runtime


def _make_all(source: Source, ahead: list[Asked], videos: Iterator[Asked], places: Places, json_: bool) -> None:
    """Make every video: those `ahead`, and in a stream what comes.

    A single prompt is planned before the model is loaded; of several the model that all ask for is loaded first.
    """
    from ..foresight import foresee
    from ..generate import generate as run

    loaded, plans = Loaded(), {}
    if source.stream:
        ahead = list(itertools.islice(videos, 1))
    tally = Tally(None if source.stream else len(ahead))
    with tally.told():
        if source.batch and len({loaded.wanted(asked.settings) for asked in ahead}) == 1:
            with console.waiting("loading the model"):
                loaded.runtime_for(ahead[0].settings)
        source.batch |= len(ahead) > 1
        with console.progress() as live:

            def make(asked: Asked) -> None:
                with tally.video(live, title(asked.item)) as report, _lost(json_, asked.item, asked.seed):
                    report.stage("plan")
                    new = asked.number not in plans
                    if new:  # one plan, and one word on it, for all seeds
                        plans.clear()
                        plans[asked.number] = _plan(asked)
                    planned = _job(asked, plans[asked.number], places)
                    for line in foresee(asked.card, planned):
                        if new:
                            console.note(line)
                    report.stage("load")
                    outcome = run(loaded.runtime_for(asked.settings), planned, report, _told(json_, tally))
                tally.add(outcome)
                _tell(outcome, json_, tally.which)

            for _ in source.tried(make, itertools.chain(ahead, videos), lambda asked: title(asked.item)):
                pass
    source.finish()


def _told(json_: bool, tally: Tally | None = None) -> Callable[[Path, bool], None]:
    """What is done once a file stands: its path is printed, unless a line of JSON will have it."""

    def tell(path: Path) -> None:
        if tally:
            tally.stands()
        if not json_:
            print(path, flush=True)

    return tell


def _tell(outcome, json_: bool, which: str = "", **more) -> None:
    """Say what came of a video. Raises TTOMError for what failed after it, and, if strict, where it does not pass."""
    trouble, check = outcome.trouble, outcome.check
    if not trouble and outcome.job.check.strict and not (check and check.passed):
        faults, hint = "it has no layout to be held against", "give a --layout, or a language model with --llm-model"
        if check:
            faults = "; ".join(check.faults)
            hint = "more --tries, or another --seed" if outcome.tries > 1 else "--tries N makes it again"
        trouble = VideoError(f"the video does not pass: {faults}", hint)
    console.say(console.outcome_line(outcome, which))
    if json_:
        print(to_json(outcome.to_json() | {"error": trouble and trouble.message} | more), flush=True)
    if trouble:
        raise trouble


def _agree(source: Path, brought: str) -> None:
    """Ask before a file, which may be anyone's, decides what is loaded. Raises TTOMError where nobody can be asked."""
    if not brought:
        return
    said = plain(f"the recipe in {source} asks for {brought}, which does not come with ttom")
    if not sys.stdin.isatty():
        raise TTOMError(said, "see it with `ttom show`; if you trust it, give --yes")
    if not console.agreed(f"{said}. Load it?"):
        raise TTOMError("nothing was loaded")


def _refuse_changes(common: Layer, given: dict) -> None:
    """Raises TTOMError for options that would make another video than the recipe's; a file's are left alone."""
    fit = {"out", "overwrite", "bank", *(option.name for option in options_of(LoadConfig))}
    for name in given.keys() - fit:
        said = f"--no-{name}" if given[name] is False else f"--{name}"
        raise TTOMError(f"--replay makes the video as it was made, without {said}", f"leave {said} out")
    if idle := [name for name in map(option_name, common) if name not in fit]:
        console.note(f"{common.source}: a replay makes the video as it was made, without {', '.join(idle)} of here")


def _replay(source: Path, options: RunConfig, loading: dict, *, yes: bool, json_: bool) -> None:
    """Make a video again, and say whether the frames are the same."""
    from ..generate import generate as run
    from ..recipe import brings_in, digest, replay_job
    from ..runtime import Runtime
    from ..video import read_recipe

    recipe = read_recipe(source)
    bank, path = open_bank(options.bank), _replay_path(source, options)
    job, load = replay_job(recipe, path, bank)
    job = replace(job, overwrite=options.overwrite)
    load = replace(load, **loading)
    if not yes:
        _agree(source, brings_in(recipe))
    with console.waiting("loading the model"):
        runtime = Runtime.open(recipe["model"], bank=bank, load=load, guide=job.guide, check=job.check)
    with console.progress() as live, console.report(live, job.layout.prompt) as report:
        outcome = run(runtime, job, report, _told(json_))
    same = digest(outcome.frames) == recipe["frames_sha256"]
    differ = "[yellow]the frames differ[/] (another machine, or other versions?)"
    console.say("the frames are the same" if same else differ)
    _tell(outcome, json_, same_frames=same)


def _replay_path(source: Path, options: RunConfig) -> Path:
    """The file that --out names, or in a folder one named after the video. Raises TTOMError where it is there already."""
    still = source.suffix.lower() in STILLS
    pattern = read_pattern(options.out, still=still)
    if pattern.fixed:
        path = pattern.path(prompt="", seed=0)
        refuse_existing(path, options.overwrite)
        return path
    return pattern.root / f"{source.stem}.replay{source.suffix if source.suffix.lower() in SUFFIXES else '.mp4'}"
