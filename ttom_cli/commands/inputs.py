"""What several commands are given: prompts one at a time, from a file, or as a stream, and their layouts; a bank."""

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
from ..catalog import ModelCard, find_card
from ..config import MemoryConfig, PlannerConfig, RunConfig
from ..errors import TTOMError, explained
from ..settings import PER_PROMPT, Settings, option_name, prompt_lines, read_prompts, resolve, resolve_slice

if TYPE_CHECKING:
    from ..layout import Layout
    from ..memory import MemoryBank

PromptArg = Annotated[Optional[str], typer.Argument(help="The prompt; without one, lines on standard input.")]
PromptsOpt = Annotated[Optional[Path], typer.Option("--prompts", help="Prompts: one a line, or a YAML list.")]
ConfigOpt = Annotated[Optional[Path], typer.Option("--config", help="Options from a YAML file.")]
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


def settle(*layers: dict) -> tuple[ModelCard, Settings]:
    """The card of the model that the layers name, and the settings. Raises TTOMError for a bad option."""
    model = resolve_slice(RunConfig, *layers).model
    with console.waiting(f"looking up {model}"):
        card = find_card(model)
    return card, resolve(card, *layers)


def own_options(item: dict) -> dict:
    """The options that a prompt file gives to one prompt. Raises TTOMError for a name that is none."""
    own = {option_name(name, PER_PROMPT): value for name, value in item.items()}
    return {name: value for name, value in own.items() if name not in PER_PROMPT}


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
    from ..memory import MemoryBank

    memory = memory or MemoryConfig()
    thresholds = dict(scene=memory.scene, objects=memory.objects, overlap=memory.overlap)
    return MemoryBank(folder or _default_folder(), capacity=memory.capacity, tell=tell, **thresholds)


def _default_folder() -> Path:
    """`memory_bank/` in a checkout of ttom, else a folder in the user's data directory."""
    import platformdirs

    here = Path.cwd()
    if (here / "memory_bank").is_dir() and (here / "ttom_cli").is_dir():
        return here / "memory_bank"
    return Path(platformdirs.user_data_dir("ttom")) / "memory_bank"
