"""What several commands are given: prompts one at a time, from a file, or as a stream; a bank's folder."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .. import console
from ..errors import TTOMError, explained

if TYPE_CHECKING:
    from ..config import MemoryConfig, PlannerConfig
    from ..layout import Layout
    from ..memory import MemoryBank

PromptArg = Annotated[Optional[str], typer.Argument(help="The prompt; without one, lines on standard input.")]
PromptsOpt = Annotated[Optional[Path], typer.Option("--prompts", help="Prompts: one a line, or a YAML list.")]
LayoutOpt = Annotated[Optional[Path], typer.Option("--layout", help="A layout in JSON or YAML, in place of a planner.")]
PLANNING = "Planning"
PlannerOpt = Annotated[
    Optional[str],
    typer.Option(help="What makes the layout: auto, rules (offline) or openai.", rich_help_panel=PLANNING),
]
FallbackOpt = Annotated[
    Optional[str],
    typer.Option(
        "--planner-fallback",
        help="For what cannot be planned: none (no guidance), rules (what they are sure of), or error.",
        rich_help_panel=PLANNING,
    ),
]
LLMModelOpt = Annotated[
    Optional[str],
    typer.Option("--llm-model", envvar="TTOM_LLM_MODEL", help="Of the openai planner.", rich_help_panel=PLANNING),
]
LLMUrlOpt = Annotated[
    Optional[str],
    typer.Option(
        "--llm-base-url",
        envvar="TTOM_LLM_BASE_URL",
        help="Any OpenAI-compatible endpoint; its key: OPENAI_API_KEY.",
        rich_help_panel=PLANNING,
    ),
]
LLMTimeoutOpt = Annotated[
    Optional[float],
    typer.Option("--llm-timeout", help="Seconds that the server may be silent.", rich_help_panel=PLANNING),
]
LLMTotalOpt = Annotated[
    Optional[float],
    typer.Option("--llm-total-timeout", help="Seconds that a prompt's plan may take.", rich_help_panel=PLANNING),
]
LLMTokensOpt = Annotated[
    Optional[int],
    typer.Option("--llm-max-tokens", help="Of a reply, its thinking included.", rich_help_panel=PLANNING),
]
LLMRetriesOpt = Annotated[
    Optional[int], typer.Option("--llm-retries", help="After transport errors, 429 and 5xx.", rich_help_panel=PLANNING)
]
TemplateOpt = Annotated[
    Optional[Path], typer.Option("--template", help="A folder with prompt files of your own.", rich_help_panel=PLANNING)
]
TrustOpt = Annotated[
    Optional[bool],
    typer.Option("--trust-layout", help="Only note where it disagrees with the prompt.", rich_help_panel=PLANNING),
]
CacheOpt = Annotated[
    Optional[bool],
    typer.Option("--cache/--no-cache", help="Keep the model's layouts, and ask once.", rich_help_panel=PLANNING),
]
ModelOpt = Annotated[
    str, typer.Option("--model", "-m", help="A name that `ttom models` lists, a hub id, or a diffusers folder.")
]
BankOpt = Annotated[Optional[Path], typer.Option("--bank", envvar="TTOM_BANK", help="The memory bank's folder.")]
SAMPLE = "Sampling"
SizeOpt = Annotated[Optional[str], typer.Option(help="WIDTHxHEIGHT in pixels.", rich_help_panel=SAMPLE)]
FramesOpt = Annotated[Optional[int], typer.Option(rich_help_panel=SAMPLE)]
StepsOpt = Annotated[Optional[int], typer.Option(help="Denoising steps.", rich_help_panel=SAMPLE)]
LOADING = "Loading"
DeviceOpt = Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", rich_help_panel=LOADING)]
DtypeOpt = Annotated[Optional[str], typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=LOADING)]
OffloadOpt = Annotated[
    Optional[str],
    typer.Option(help="none, model (one part on the GPU), or group (a block at a time).", rich_help_panel=LOADING),
]
QuantizeOpt = Annotated[
    Optional[str], typer.Option(help="The frozen model's matrices: none, int8 or nf4.", rich_help_panel=LOADING)
]
TilingOpt = Annotated[
    Optional[bool],
    typer.Option("--tiling/--no-tiling", help="Decode in tiles from the start.", rich_help_panel=LOADING),
]
BackendOpt = Annotated[
    Optional[str],
    typer.Option(
        "--attention-backend", help="One of diffusers', for all attention that is not read.", rich_help_panel=LOADING
    ),
]
CHECKING = "Check"
DetectorOpt = Annotated[
    Optional[str],
    typer.Option(help="What looks at the video: shapes, or grounded-sam2.", rich_help_panel=CHECKING),
]
DetectorModelOpt = Annotated[
    Optional[str],
    typer.Option("--detector-model", help="A GroundingDINO: hub id or folder.", rich_help_panel=CHECKING),
]
SegmenterModelOpt = Annotated[
    Optional[str],
    typer.Option("--segmenter-model", help="A SAM 2: hub id or folder.", rich_help_panel=CHECKING),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@dataclass(frozen=True)
class Source:
    """Prompts as dicts with `prompt` and perhaps options of their own; `batch` unless it is a single one."""

    items: Iterator[dict]
    batch: bool

    def each(self, work: Callable[[dict], None]) -> None:
        """Do `work` for every item. In a batch a failure is reported, the rest done, and the exit code 1."""
        failed = 0
        for item in self.items:
            try:
                work(item)
            except (BrokenPipeError, typer.Exit):
                raise
            except Exception as error:
                if not self.batch:
                    raise
                failed += 1
                message, hint = explained(error)
                console.error(f"{title(item)!r}: {message}", hint)
        if failed:
            raise typer.Exit(1)


def title(item: dict) -> str:
    return str(item["layout"]) if item["prompt"] is None else item["prompt"]


def read_source(prompt: str | None, prompts: Path | None, layout: Path | None) -> Source:
    """The prompts asked for; lines on standard input are read as they come. Raises TTOMError for none."""
    from ..settings import prompt_lines, read_prompts

    if prompt is not None and prompts is not None:
        raise TTOMError("there are both a prompt and --prompts", "give one of them")
    batch = prompt is None and (prompts is not None or layout is None)
    if prompts is not None:
        items = iter(read_prompts(prompts))
    elif not batch:
        items = iter([{"prompt": prompt}])
    else:
        items = iter(()) if sys.stdin is None or sys.stdin.isatty() else prompt_lines(_lines(sys.stdin))
    first = next(items, None)
    if first is None:
        raise TTOMError("there is no prompt", "give one as an argument, with --prompts, or on standard input")
    items = itertools.chain([first], items)
    if layout is not None:
        items = ({"layout": str(layout), **item} for item in items)
    return Source(items, batch)


def _lines(stream) -> Iterator[str]:
    try:
        yield from stream
    except UnicodeDecodeError:
        raise TTOMError("standard input is not UTF-8 text") from None


def given_options(values: dict) -> dict:
    """Those of a command's arguments that are options of settings, and are given."""
    from ..settings import OPTIONS

    found = {name: values.get(name.replace("-", "_")) for name in OPTIONS}
    return {name: value for name, value in found.items() if value is not None}


def own_options(item: dict) -> dict:
    """The options that a prompt file gives to one prompt. Raises TTOMError for a name that is none."""
    from ..settings import PER_PROMPT, option_name

    for name in item:
        option_name(name, PER_PROMPT)
    return {k: v for k, v in item.items() if k not in PER_PROMPT}


def plan_or_not(item: dict, planner: PlannerConfig, size: tuple[int, int], *, guided: bool) -> Layout:
    """As `plan_item`, but without objects where the video is to be made without guidance.

    What is not guided asks no language model; the rules' layout, if any, is for the check. Raises TTOMError.
    """
    from dataclasses import replace

    from ..errors import PlanningError
    from ..layout import Layout
    from ..text import plain

    try:
        return plan_item(item, planner if guided else replace(planner, planner="rules"), size)
    except PlanningError as error:
        if guided and not planner.unguided:
            raise
        if guided:
            console.note(f"{error.message}; the video is made without guidance ({error.hint})")
        return Layout(prompt=plain(item["prompt"]), objects=())


def plan_item(item: dict, planner: PlannerConfig, size: tuple[int, int] | None = None) -> Layout:
    """The checked layout of an item: its own, its file's, or the planner's; repairs are said on stderr.

    Raises TTOMError.
    """
    from ..layout import layout_from_json, read_layout
    from ..planning.check import check

    prompt, given = item["prompt"], item.get("layout")
    if prompt is not None and not prompt.strip():
        raise TTOMError("the prompt is empty", "say what the video shows")
    if isinstance(given, dict):
        made, source = layout_from_json(given, prompt=prompt), "layout"
    elif given is not None and not isinstance(given, str):
        raise TTOMError(f"layout must be a file's name or a layout, not {given!r}")
    elif given:
        made, source = read_layout(Path(given), prompt), str(given)
    else:
        made, source = _planner(planner, size).plan(prompt), "the plan"
    layout, notes = check(made, source, trust=planner.trust_layout)
    for note in notes:
        console.note(note)
    return layout


@cache
def _planner(config: PlannerConfig, size: tuple[int, int] | None):
    """One planner for all prompts, so that its connection is kept."""
    from ..planning import DEFAULT_SIZE, make_planner

    return make_planner(config, size=size or DEFAULT_SIZE, tell=console.note)


def open_bank(folder: Path | None, memory: MemoryConfig | None = None, *, tell=console.note) -> MemoryBank:
    """The bank at `folder`, or the default one; `tell` is given a line for each entry in it that is bad."""
    from ..config import MemoryConfig
    from ..memory import MemoryBank
    from ..memory.bank import default_folder

    memory = memory or MemoryConfig()
    thresholds = dict(scene=memory.scene, objects=memory.objects, overlap=memory.overlap)
    return MemoryBank(folder or default_folder(), capacity=memory.capacity, tell=tell, **thresholds)
