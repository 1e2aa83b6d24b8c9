"""`ttom probe`"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .. import console
from ..config import CheckConfig, LoadConfig, RunConfig
from ..errors import ModelError, TTOMError
from ..files import to_json
from ..settings import Settings, resolve, resolve_slice
from .inputs import JsonOpt, PromptArg, PromptsOpt, own_options, plan_item, read_source, settle
from .parameters import file, parameter, takes, whole

if TYPE_CHECKING:
    from ..backbones.card import ModelCard
    from ..probing.run import Probe

RANGES = 10
BEST_HEADS = 12  # of so many the table has a line


@takes(
    "layout",
    "overwrite",
    "model",
    "size",
    "frames",
    "steps",
    LoadConfig,
    "detector",
    "detector-model",
    "segmenter-model",
    "planner",
    "llm-model",
    "llm-base-url",
    "llm-total-timeout",
    "llm-max-tokens",
)
def probe(
    ctx: typer.Context,
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    seed: parameter("seed", "Of the first video's noise; the next ones count up.") = 0,
    ranges: whole("ranges", "Parts of the denoising that are scored apart; no more than steps; by default 10.", least=1) = None,
    heads: Annotated[bool, typer.Option("--heads", help="Score every attention head too.")] = False,
    layout_only: Annotated[bool, typer.Option("--layout-only", help="Against the planned boxes, not what a detector sees.")] = False,
    plot: file("--plot", help="A folder for heatmap.png and curve.png.") = None,
    profile: file("--profile", help="Write the best blocks to this YAML, for ttom generate --profile.") = None,
    keep: whole("keep", "How many blocks are the best.", least=1) = 2,
    json_: JsonOpt = False,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Find the blocks whose attention tells where objects end up, best first.

    Videos are made unguided, and each block's attention to each object's words is compared with where a detector
    sees the object. Blocks are ranked by the last steps, from 42 on of 50.
    """
    items = read_source(prompt, prompts, resolve_slice(RunConfig, given).layout).items
    card, settings = settle(given)
    if ranges and ranges > settings.sample.steps:
        raise TTOMError(
            f"--ranges {ranges} is more than the {settings.sample.steps} steps", "give fewer, or more --steps"
        )
    check = None if layout_only else _eyes(card, settings.check)
    if layout_only and settings.check.detector:
        raise TTOMError("there are both --layout-only and --detector", "give one of them")
    _check_places(plot, profile, resolve_slice(RunConfig, given).overwrite)
    jobs = _jobs(items, card, settings, given, seed)

    from ..probing.profile import choose
    from ..probing.run import probe as run
    from ..runtime import Runtime

    with console.waiting("loading the model"):
        runtime = Runtime.open(settings.run.model, load=settings.load, check=check)
    if keep > (blocks := runtime.backbone.blocks(runtime.backbone.denoiser(runtime.pipe))):
        raise TTOMError(f"--keep {keep} is more than the model's {blocks} blocks")
    with console.progress() as live, console.report(live, f"{len(jobs)} videos") as report:
        found = run(runtime, jobs, ranges=ranges or RANGES, heads=heads, layout_only=layout_only, report=report)
    chosen = choose(found.blocks, keep)
    _write(found, plot, profile, keep, ["ttom", *(ctx.obj or [])])  # first: who reads the table may stop early
    if json_:
        print(to_json(found.to_json() | {"chosen": list(chosen)}))
    else:
        print("\n".join(_lines(found)))
    _summary(found, chosen)


def _eyes(card: ModelCard, check: CheckConfig) -> CheckConfig:
    """The check with its detector on. Raises ModelError where there is none."""
    if not check.detector and not card.world:
        raise ModelError(
            f"nothing at hand can look at the videos of {card.name}",
            "name a detector: --detector grounded-sam2; or compare with the planned boxes: --layout-only",
        )
    return replace(check, enabled=True)


def _check_places(plot: Path | None, profile: Path | None, overwrite: bool) -> None:
    """What could not be written at the end is said at the start. Raises TTOMError."""
    from ..outputs import refuse_existing
    from ..probing.plot import PLOTS
    from ..video import prepare_place

    for path in [*((plot / name for name in PLOTS) if plot else ()), *([profile] if profile else ())]:
        refuse_existing(path, overwrite)
    if plot:
        prepare_place(plot / "any.png", "--plot")
    if profile:
        if profile.suffix.lower() not in (".yaml", ".yml"):
            raise TTOMError(f"--profile {profile} must name a YAML file", "such as profile.yaml")
        prepare_place(profile, "--profile")


def _jobs(items, card: ModelCard, settings: Settings, given: dict, seed: int) -> list:
    """The unguided videos to make, planned. Raises TTOMError for what one prompt alone cannot have."""
    from ..jobs import Job

    def shared(s: Settings) -> tuple:
        return s.run.model, s.load, s.check, s.sample.steps

    jobs = []
    for i, item in enumerate(items):
        own = resolve(card, own_options(item), given)
        if shared(own) != shared(settings):
            raise TTOMError(
                "the model, its loading, the detector and the steps are for the whole run", "give them as flags"
            )
        made = plan_item(item, own.planner, (own.sample.width, own.sample.height))
        jobs.append(
            Job(layout=made, seed=seed + i, path=Path("-"), sample=own.sample, guide=own.guide, memory=own.memory)
        )
    return jobs


def _lines(found: Probe) -> list[str]:
    """The blocks, and the heads if they were told apart, best first."""
    from ..probing.run import best_first

    head = "  ".join(f"{name:15}" for name in ("soft IoU", "hard IoU", "JSD"))
    lines = [f"block  {head}".rstrip()]
    lines += [f"{s.block:5}  {s.soft!s:15}  {s.hard!s:15}  {s.jsd!s:15}".rstrip() for s in best_first(found.blocks)]
    if found.heads:
        lines += ["", f"block  head  {head}".rstrip()]
        best = best_first(found.heads)[:BEST_HEADS]
        lines += [f"{s.block:5}  {s.head:4}  {s.soft!s:15}  {s.hard!s:15}  {s.jsd!s:15}".rstrip() for s in best]
    return lines


def _summary(found: Probe, chosen: tuple[int, ...]) -> None:
    blocks = ",".join(map(str, chosen))
    console.say(escape(f"{found.about}, {found.when}, ± half of the 95 % interval; the best: --blocks {blocks}"))


def _write(found: Probe, plot: Path | None, profile: Path | None, keep: int, command: list[str]) -> None:
    from ..probing.plot import write_plots
    from ..probing.profile import write_profile

    written = write_plots(plot, found) if plot else []
    if profile:
        write_profile(profile, found, keep, command)
        written.append(profile)
    for path in written:
        console.say(escape(f"wrote {path}"))
