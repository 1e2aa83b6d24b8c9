"""What several commands are given: prompts one at a time, from a file, or as a stream, and their layouts; a bank."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, TypeVar

import typer

from .. import console
from ..backbones.card import ModelCard
from ..catalog import find_card
from ..config import MemoryConfig, PlannerConfig, RunConfig
from ..errors import TTOMError, explained
from ..files import no_text, read_data
from ..options import shown
from ..prompt_files import as_item, entry_of, is_whole, left_alone, prompts_in, read_prompts
from ..settings import PER_PROMPT, Layer, Settings, option_name, resolve, resolve_slice
from ..text import undecoded
from .parameters import file

if TYPE_CHECKING:
    from ..layout import Layout
    from ..memory import MemoryBank

LONGEST = 4000  # characters of a prompt, as in a layout
T, Made = TypeVar("T"), TypeVar("Made")
PromptArg = Annotated[Optional[str], typer.Argument(help="The prompt; without one, or for -, lines on standard input.")]
PromptsOpt = file(
    "--prompts",
    help="Prompts: one a line, a list in YAML or JSON, JSON lines, or a table (.csv, .tsv) with a column 'prompt'; - is "
    "standard input.",
    once=True,
)
ConfigOpt = file("--config", help="Options from a YAML file.", once=True)
OverwriteOpt = Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@dataclass
class Source:
    """Prompts, each a layer with `prompt` and perhaps options of its own."""

    items: Iterable[Layer | TTOMError]
    """In a stream a line that is wrong stands as its error."""
    batch: bool
    """Whether there may be several: a failure is reported then, and the rest done."""
    failed: bool = False

    @property
    def stream(self) -> bool:
        """Whether the prompts come as they come; else they are a list."""
        return not isinstance(self.items, list)

    def each(self, work: Callable[[Layer], None]) -> None:
        """Do `work` for every item; where one fails in a batch, the exit code is 1."""
        for _ in self.tried(lambda item: work(sound(item)), self.items, title):
            pass
        self.finish()

    def tried(self, work: Callable[[T], Made], things: Iterable[T], name: Callable[[T], str]) -> Iterator[Made]:
        """What `work` makes of each thing. In a batch a failure is reported under the thing's name."""
        for thing in things:
            try:
                made = work(thing)
            except (BrokenPipeError, typer.Exit):
                raise
            except Exception as error:
                if not self.batch:
                    raise
                self.failed = True
                message, hint = explained(error)
                console.error(message if thing is error else f"{name(thing)!r}: {message}", hint)
            else:
                yield made

    def finish(self) -> None:
        """Exits with 1 where something has failed."""
        if self.failed:
            raise typer.Exit(1)


def sound(item: Layer | TTOMError) -> Layer:
    """The item. Raises the error that stands in its place."""
    if isinstance(item, TTOMError):
        raise item
    return item


def title(item: dict) -> str:
    prompt, layout = item["prompt"], item.get("layout")
    if prompt is None:
        return layout if isinstance(layout, str) else "a layout without a prompt"
    return prompt if len(prompt) <= 200 else f"{prompt[:200]}..."


def read_source(prompt: str | None, prompts: Path | None, layout: Path | None) -> Source:
    """The prompts asked for; lines on standard input are read as they come. Raises TTOMError for none."""
    if prompt is not None and prompts is not None:
        raise TTOMError("there are both a prompt and --prompts", "give one of them")
    if prompt == "-":
        prompt, prompts = None, Path("-")
    if undecoded(prompt or ""):
        raise TTOMError("the prompt is not UTF-8 text")
    batch = prompt is None and (prompts is not None or layout is None)
    if prompts is not None and str(prompts) != "-":
        items = read_prompts(prompts, console.note)
    elif not batch:
        items = [Layer({"prompt": prompt} | ({"layout": _named(layout)} if layout else {}))]
    else:
        piped = sys.stdin is not None and (prompts is not None or not sys.stdin.isatty())
        items = _stream(sys.stdin) if piped else ()
    first = next(iter(items), None)
    if first is None:
        if items == []:
            raise TTOMError(f"{prompts} has no prompt", "write one a line")
        where = "standard input has no prompt" if items else "there is no prompt"
        raise TTOMError(where, "give one as an argument, with --prompts, or on standard input")
    if not isinstance(items, list):
        items = itertools.chain([first], items)
    if layout is not None and batch:
        for_all = {"layout": _named(layout)}
        with_it = (Layer(for_all | item, item.source) if isinstance(item, Layer) else item for item in items)
        items = list(with_it) if isinstance(items, list) else with_it
    return Source(items, batch)


def _named(layout: Path) -> str | dict:
    """A layout's file, or, where that can be read only once, as a pipe can, what it holds. Raises TTOMError."""
    if str(layout) != "-" and (layout.is_file() or layout.is_dir() or not layout.exists()):
        return str(layout)
    if not isinstance(data := read_data(layout, "--layout"), dict):
        raise TTOMError(f"{layout} holds no layout", "see `ttom plan --schema` for the format")
    return data


def _stream(lines: Iterable[str]) -> Iterator[Layer | TTOMError]:
    """The items of lines as they come, an error in the place of a wrong one, or those of a list or table as a whole.

    Raises TTOMError for what is no text, or no such list or table.
    """
    told: set[str] = set()
    lines, first = iter(lines), True
    try:
        for number, line in enumerate(lines, start=1):
            source, blank = f"line {number}", not line.strip() or line.lstrip().startswith("#")
            if first and (kind := no_text(line.encode(errors="surrogateescape"))):
                raise TTOMError(f"standard input is {kind}, not text")
            if first and not blank and is_whole(line):
                text = "\n" * (number - 1) + line + "".join(lines)
                if undecoded(text):
                    raise TTOMError("standard input is not UTF-8 text")
                yield from prompts_in(text, "standard input", "", console.note)
                return
            first = first and blank
            try:
                if undecoded(line):
                    raise TTOMError(f"{source} is not UTF-8 text")
                if (entry := entry_of(line, source)) is None:
                    continue
                item = as_item(entry, source, left := {})
                if new := left.keys() - told:
                    told |= new
                    console.note(f"{source}: {left_alone(sorted(new))}")
                yield item
            except TTOMError as error:
                yield error
    except UnicodeDecodeError:
        raise TTOMError("standard input is not UTF-8 text") from None


def settle(*layers: dict) -> tuple[ModelCard, Settings]:
    """The card of the model that the layers name, and the settings. Raises TTOMError for a bad option."""
    model = resolve_slice(RunConfig, *layers).model
    with console.waiting(f"looking up {model}"):
        card = find_card(model)
    return card, resolve(card, *layers)


def own_options(item: Layer) -> Layer:
    """The options that a prompt file gives to one prompt. Raises TTOMError for a name that is none."""
    own = {option_name(name, PER_PROMPT): value for name, value in item.items()}
    return Layer({name: value for name, value in own.items() if name not in PER_PROMPT}, item.source)


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
    from ..text import fold

    prompt, given = item["prompt"], item.get("layout")
    if prompt is not None and not prompt.strip():
        raise TTOMError("the prompt is empty", "say what the video shows")
    if prompt is not None and (length := max(len(prompt), len(fold(prompt)))) > LONGEST:  # ligatures are several
        raise TTOMError(f"the prompt has {length} characters", f"say it in {LONGEST} at most")
    if isinstance(given, dict):
        made, source = layout_from_json(given, prompt=prompt), "layout"
    elif given is not None and not isinstance(given, str):
        raise TTOMError(f"layout must be a file's name or a layout, not {shown(given)}")
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


def open_bank(folder: Path | None, *, memory: MemoryConfig | None = None, tell=console.note) -> MemoryBank:
    """The bank at `folder`, or the default one; `tell` is given a line for each entry in it that is bad."""
    memory, folder = memory or MemoryConfig(), folder or _default_folder()
    if folder.exists() and not folder.is_dir():
        raise TTOMError(f"the bank {folder} is no folder", "see --bank")
    from ..memory import MemoryBank

    thresholds = dict(scene=memory.scene, objects=memory.objects, overlap=memory.overlap)
    return MemoryBank(folder, capacity=memory.capacity, tell=tell, **thresholds)


def _default_folder() -> Path:
    """`memory_bank/` in a checkout of ttom, else a folder in the user's data directory."""
    import platformdirs

    here = Path.cwd()
    if (here / "memory_bank").is_dir() and (here / "ttom_cli").is_dir():
        return here / "memory_bank"
    return Path(platformdirs.user_data_dir("ttom")) / "memory_bank"
