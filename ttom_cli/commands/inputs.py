"""What several commands are given: prompts one at a time, from a file, or as a stream; a bank's folder."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .. import console
from ..errors import TTOMError

if TYPE_CHECKING:
    from ..config import MemoryConfig
    from ..layout import Layout
    from ..memory import MemoryBank

PromptArg = Annotated[Optional[str], typer.Argument(help="The prompt; without one, lines on standard input.")]
PromptsOpt = Annotated[Optional[Path], typer.Option("--prompts", help="Prompts: one a line, or a YAML list.")]
LayoutOpt = Annotated[Optional[Path], typer.Option("--layout", help="A layout in JSON or YAML, in place of a planner.")]
PlannerOpt = Annotated[str, typer.Option(help="What makes the layout: rules.")]
ModelOpt = Annotated[str, typer.Option("--model", "-m", help="shapes, a hub id, or a diffusers folder.")]
BankOpt = Annotated[Optional[Path], typer.Option("--bank", envvar="TTOM_BANK", help="The memory bank's folder.")]
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
            except TTOMError as error:
                if not self.batch:
                    raise
                failed += 1
                console.error(f"{title(item)!r}: {error.message}", error.hint)
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
        items = iter(()) if sys.stdin.isatty() else prompt_lines(sys.stdin)
    first = next(items, None)
    if first is None:
        raise TTOMError("there is no prompt", "give one as an argument, with --prompts, or on standard input")
    items = itertools.chain([first], items)
    if layout is not None:
        items = ({"layout": str(layout), **item} for item in items)
    return Source(items, batch)


def plan_item(item: dict, planner: str) -> Layout:
    """The layout of an item: its own, its file's, or the planner's. Raises TTOMError."""
    from ..layout import layout_from_json, read_layout
    from ..planning import make_planner

    prompt, given = item["prompt"], item.get("layout")
    if prompt is not None and not prompt.strip():
        raise TTOMError("the prompt is empty", "say what the video shows")
    if isinstance(given, dict):
        return layout_from_json(given, prompt=prompt)
    if given:
        return read_layout(Path(given), prompt)
    return make_planner(planner).plan(prompt)


def open_bank(folder: Path | None, memory: MemoryConfig | None = None) -> MemoryBank:
    """The bank at `folder`, or the default one."""
    from ..config import MemoryConfig
    from ..memory import MemoryBank
    from ..memory.bank import default_folder

    memory = memory or MemoryConfig()
    thresholds = dict(scene=memory.scene, objects=memory.objects, overlap=memory.overlap)
    return MemoryBank(folder or default_folder(), capacity=memory.capacity, **thresholds)
