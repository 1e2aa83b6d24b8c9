"""`ttom generate`"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import typer

from .. import console
from ..errors import TTOMError, VideoError
from ..files import to_json
from .inputs import (
    CHECKING,
    LOADING,
    SAMPLE,
    BackendOpt,
    BankOpt,
    CacheOpt,
    DetectorModelOpt,
    DetectorOpt,
    DeviceOpt,
    DtypeOpt,
    FallbackOpt,
    FramesOpt,
    JsonOpt,
    LayoutOpt,
    LLMModelOpt,
    LLMRetriesOpt,
    LLMTimeoutOpt,
    LLMTokensOpt,
    LLMTotalOpt,
    LLMUrlOpt,
    ModelOpt,
    OffloadOpt,
    PlannerOpt,
    PromptArg,
    PromptsOpt,
    QuantizeOpt,
    SegmenterModelOpt,
    SizeOpt,
    Source,
    StepsOpt,
    TemplateOpt,
    TilingOpt,
    TrustOpt,
    given_options,
    open_bank,
    own_options,
    plan_or_not,
    read_source,
    title,
)

GUIDE, MEMORY, OUTPUT = "Guidance", "Memory", "Output"


def generate(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    layout: LayoutOpt = None,
    model: ModelOpt = "shapes",
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder, or for one prompt an .mp4.", rich_help_panel=OUTPUT)] = Path("videos"),
    compare: Annotated[bool, typer.Option("--compare", help="Also write unguided beside guided, with the boxes drawn.", rich_help_panel=OUTPUT)] = False,
    replay: Annotated[Optional[Path], typer.Option(help="Make the video of this MP4 again, from the recipe in it.", rich_help_panel=OUTPUT)] = None,
    json_: JsonOpt = False,
    config: Annotated[Optional[Path], typer.Option(help="Options from a YAML file.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of the noise; drawn and shown if not given.", rich_help_panel=SAMPLE)] = None,
    size: SizeOpt = None,
    frames: FramesOpt = None,
    fps: Annotated[Optional[int], typer.Option(rich_help_panel=SAMPLE)] = None,
    steps: StepsOpt = None,
    cfg: Annotated[Optional[float], typer.Option(help="Scale of classifier-free guidance.", rich_help_panel=SAMPLE)] = None,
    shift: Annotated[Optional[float], typer.Option(help="Of the flow-matching noise levels.", rich_help_panel=SAMPLE)] = None,
    negative_prompt: Annotated[Optional[str], typer.Option(rich_help_panel=SAMPLE)] = None,
    enlarge: Annotated[Optional[int], typer.Option(help="Times each side is enlarged in the MP4.", rich_help_panel=SAMPLE)] = None,
    device: DeviceOpt = None,
    dtype: DtypeOpt = None,
    offload: OffloadOpt = None,
    quantize: QuantizeOpt = None,
    tiling: TilingOpt = None,
    attention_backend: BackendOpt = None,
    checkpointing: Annotated[Optional[str], typer.Option(help="none, blocks or parts: what is computed again in guided steps rather than kept.", rich_help_panel=LOADING)] = None,
    guide: Annotated[Optional[str], typer.Option(help="params, latents, both, or off.", rich_help_panel=GUIDE)] = None,
    loss: Annotated[Optional[str], typer.Option(help="jsd or l2.", rich_help_panel=GUIDE)] = None,
    blocks: Annotated[Optional[str], typer.Option(help="Blocks whose attention is aligned: 2,3,4.", rich_help_panel=GUIDE)] = None,
    profile: Annotated[Optional[Path], typer.Option(help="A file of `ttom probe --profile`, whose blocks are aligned.", rich_help_panel=GUIDE)] = None,
    adapt: Annotated[Optional[str], typer.Option(help="Blocks that carry the adapter.", rich_help_panel=GUIDE)] = None,
    train_from: Annotated[Optional[int], typer.Option(help="First block that guided steps train; those before learn in consolidation.", rich_help_panel=GUIDE)] = None,
    projections: Annotated[Optional[str], typer.Option(help="Of q,k,v,o: those that carry it.", rich_help_panel=GUIDE)] = None,
    self_attention: Annotated[Optional[bool], typer.Option(help="Adapt self-attention too.", rich_help_panel=GUIDE)] = None,
    rank: Annotated[Optional[int], typer.Option(help="Of the adapter.", rich_help_panel=GUIDE)] = None,
    lr: Annotated[Optional[float], typer.Option(help="Learning rate on the adapter.", rich_help_panel=GUIDE)] = None,
    latent_lr: Annotated[Optional[float], typer.Option(help="Step length on the latents.", rich_help_panel=GUIDE)] = None,
    guided_steps: Annotated[Optional[int], typer.Option(help="Denoising steps that are guided.", rich_help_panel=GUIDE)] = None,
    iterations: Annotated[Optional[int], typer.Option(help="Optimisation iterations a guided step.", rich_help_panel=GUIDE)] = None,
    stop_loss: Annotated[Optional[float], typer.Option(help="A step ends early below this loss.", rich_help_panel=GUIDE)] = None,
    both_branches: Annotated[Optional[bool], typer.Option(help="Adapter on the unconditional branch as well.", rich_help_panel=GUIDE)] = None,
    keep_on: Annotated[Optional[bool], typer.Option(help="Adapter on after the guided steps.", rich_help_panel=GUIDE)] = None,
    check: Annotated[Optional[bool], typer.Option("--check/--no-check", help="Look whether the planned objects are there; by default where the model's world has a detector.", rich_help_panel=CHECKING)] = None,
    tries: Annotated[Optional[int], typer.Option(help="Videos at most, each with the next seed, until one passes; the best is kept.", rich_help_panel=CHECKING)] = None,
    strict: Annotated[Optional[bool], typer.Option("--strict", help="Exit with 1 for a video that does not pass.", rich_help_panel=CHECKING)] = None,
    anyway: Annotated[Optional[bool], typer.Option("--anyway", help="Also objects that the model is known not to know.", rich_help_panel=CHECKING)] = None,
    detector: DetectorOpt = None,
    detector_model: DetectorModelOpt = None,
    segmenter_model: SegmenterModelOpt = None,
    planner: PlannerOpt = None,
    planner_fallback: FallbackOpt = None,
    llm_model: LLMModelOpt = None,
    llm_base_url: LLMUrlOpt = None,
    llm_timeout: LLMTimeoutOpt = None,
    llm_total_timeout: LLMTotalOpt = None,
    llm_max_tokens: LLMTokensOpt = None,
    llm_retries: LLMRetriesOpt = None,
    template: TemplateOpt = None,
    trust_layout: TrustOpt = None,
    cache: CacheOpt = None,
    bank: BankOpt = None,
    memory: Annotated[Optional[bool], typer.Option(help="Use the memory bank.", rich_help_panel=MEMORY)] = None,
    on_hit: Annotated[Optional[str], typer.Option(help="skip (use as is) or continue (optimise further).", rich_help_panel=MEMORY)] = None,
    consolidate: Annotated[Optional[int], typer.Option(help="Iterations after the video, so that what was learnt holds for other noise.", rich_help_panel=MEMORY)] = None,
    capacity: Annotated[Optional[int], typer.Option(help="Entries at most; the least used goes first.", rich_help_panel=MEMORY)] = None,
) -> None:  # fmt: skip
    """Make videos: plan, recall or optimise, look at what came out, write the MP4, remember. Prints the paths.

    One model load serves all prompts; a prompt that fails is reported and the rest are done.
    """
    from ..catalog import find_card
    from ..settings import read_config, resolve

    flags = given_options(locals())
    if replay:
        return _replay(replay, out, bank, flags, json_)
    source = read_source(prompt, prompts, layout)
    if out.suffix == ".mp4" and source.batch:
        raise TTOMError(f"--out {out} is one file, and there may be several prompts", "give a folder")
    with console.waiting(f"looking up {model}"):
        card = find_card(model)
    common = read_config(config)
    shared = resolve(card, common, flags)  # bad options are said before a model is loaded
    _check_start(card, shared, out, bank)
    taken: set[Path] = set()

    def job(item: dict):
        settings = resolve(card, common, own_options(item), flags)
        if settings.load != shared.load:
            raise TTOMError("how the model is loaded is for the whole run", "give it as a flag or with --config")
        if _eyes(settings.check) != _eyes(shared.check):
            raise TTOMError("the detector is for the whole run", "give it as a flag or with --config")
        size, guided = (settings.sample.width, settings.sample.height), settings.guide.mode != "off"
        made = plan_or_not(item, settings.planner, size, guided=guided)
        number = item.get("seed", seed if seed is not None else random.randrange(2**31))
        from ..foresight import foresee
        from ..jobs import Job, file_name

        path = out if out.suffix == ".mp4" else out / (item.get("out") or file_name(made.prompt, number))
        while path in taken:
            path = path.with_name(f"{path.stem}-again.mp4")
        taken.add(path)
        planned = Job(
            layout=made, seed=number, path=path, sample=settings.sample, memory=settings.memory,
            guide=settings.guide if made.objects else replace(settings.guide, mode="off"),
            check=settings.check, planner="file" if item.get("layout") else settings.planner.label, compare=compare,
        )  # fmt: skip
        for line in foresee(card, planned):
            console.note(line)
        return planned

    def runtime():
        from ..runtime import Runtime

        return Runtime.open(
            model, bank=open_bank(bank, shared.memory), load=shared.load, guide=shared.guide, check=shared.check
        )

    _make_all(source, job, runtime, json_)


def _check_start(card, shared, out: Path, bank: Path | None) -> None:
    """What would only fail once the model is loaded is said before. Raises TTOMError."""
    from ..foresight import check_places
    from ..runtime import detector_for, find_device

    find_device(shared.load.device)
    detector_for(card, shared.check)
    remembers = shared.memory.enabled and shared.guide.mode == "params"
    quiet = open_bank(bank, tell=lambda line: None) if remembers else None  # the one that is used tells
    check_places(out if out.suffix == ".mp4" else out / "any.mp4", quiet)


def _eyes(check) -> tuple[str, str, str]:
    """The settings of a check that are loaded once."""
    return check.detector, check.detector_model, check.segmenter_model


def _make_all(source: Source, job, runtime, json_: bool) -> None:
    """Make every item's video with one runtime. A single prompt is planned before the model is loaded."""
    from ..generate import generate as run

    opened = None
    if source.batch:
        with console.waiting("loading the model"):
            opened = runtime()
    with console.progress() as live:

        def work(item: dict) -> None:
            nonlocal opened
            with console.report(live, title(item)) as report:
                report.stage("plan")
                planned = job(item)
                report.stage("load")
                opened = opened or runtime()
                outcome = run(opened, planned, report)
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


def _replay(source: Path, out: Path, bank: Path | None, flags: dict, json_: bool) -> None:
    """Make a video again, and say whether the frames are the same."""
    from dataclasses import replace

    from ..generate import generate as run
    from ..recipe import digest, replay_job
    from ..runtime import Runtime
    from ..settings import load_options
    from ..video import read_recipe

    recipe = read_recipe(source)
    path = out if out.suffix == ".mp4" else out / f"{source.stem}.replay.mp4"
    job, load = replay_job(recipe, path, open_bank(bank))
    load = replace(load, **load_options(flags))
    with console.waiting("loading the model"):
        runtime = Runtime.open(recipe["model"], bank=open_bank(bank), load=load, guide=job.guide, check=job.check)
    with console.progress() as live, console.report(live, job.layout.prompt) as report:
        outcome = run(runtime, job, report)
    same = digest(outcome.frames) == recipe["frames_sha256"]
    differ = "[yellow]the frames differ[/] (another machine, or other versions?)"
    console.say("the frames are the same" if same else differ)
    _tell(outcome, json_, same_frames=same)
