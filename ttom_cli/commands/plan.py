"""`ttom plan`"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import console
from ..config import PlannerConfig, RunConfig, SampleConfig
from ..errors import LayoutError, TTOMError
from ..files import numbered, put_text, to_json
from ..outputs import refuse_existing
from ..settings import given_fields, read_config, resolve_slice
from .inputs import ConfigOpt, JsonOpt, PromptArg, PromptsOpt, own_options, plan_item, read_source
from .parameters import file, takes

if TYPE_CHECKING:
    from ..layout import Layout


@takes(
    "layout", "overwrite", PlannerConfig, "size",
    size="WIDTHxHEIGHT in pixels of the video that it is for, which a language model is told; by default 832x480.",
)  # fmt: skip
def plan(
    prompt: PromptArg = None,
    prompts: PromptsOpt = None,
    import_: file("--import", help="A layout cache of the TTOM reference code, in place of prompts.") = None,
    out: file("--out", "-o", help="A folder for a JSON file per prompt, or for one prompt a .json; - is standard output.") = None,
    preview: file("--preview", help="Draw the layout: a .gif or .mp4 that moves, or a .png.") = None,
    edit: Annotated[bool, typer.Option("--edit", help="Open the layout in $EDITOR, and check it when that closes.")] = False,
    json_: JsonOpt = False,
    config: ConfigOpt = None,
    show_template: Annotated[bool, typer.Option("--show-template", help="Print the template's files, or write them to the folder --out.", rich_help_panel="Planning")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a layout.")] = False,
    *,
    given: dict,
) -> None:  # fmt: skip
    """Turn prompts into layouts.

    A terminal gets a table and a drawing; a pipe (or --json) gets JSON, for several prompts one a line.
    """
    from ..layout.parse import layout_schema

    if schema and out:
        raise TTOMError("--schema is printed, and takes no --out", "such as ttom plan --schema > schema.json")
    if schema:
        return print(to_json(layout_schema(), indent=2))
    if out == Path("-"):
        out, json_ = None, True
    common = read_config(config)
    _planning(common, given)  # bad options are said before anything is asked of a model
    run = resolve_slice(RunConfig, common, given)
    if show_template:
        return _show_template(given.get("template"), out, run.overwrite)
    layout = run.layout
    source = None if import_ else read_source(prompt, prompts, layout)
    batch = source is None or source.batch
    if import_ and (prompt or prompts or layout):
        raise TTOMError("--import is in place of prompts and layouts", "leave the others out")
    if preview:
        from ..layout.draw import preview as draw
        from ..layout.draw import preview_kind

        preview_kind(preview)
    if out and "{" in str(out):
        raise TTOMError(f"--out {out} has braces", "of plans it is a folder, or for one prompt a .json")
    if out and out.suffix and out.suffix != ".json" and not out.is_dir():
        raise TTOMError(f"--out {out} is neither a folder nor a .json", "a layout is written as JSON")
    if batch and (preview or edit):
        raise TTOMError(f"--{'preview' if preview else 'edit'} is for one layout, and there may be several prompts")
    for named in filter(None, (preview, out if out and out.suffix == ".json" else None)):
        refuse_existing(named, run.overwrite)
    give = _giver(out, batch, json_, run.overwrite)

    def work(item: dict) -> None:
        planning, size = _planning(common, own_options(item), given)
        made = plan_item(item, planning, size)
        if edit:
            _edit(made, give, trust=planning.trust_layout)
        else:
            give(made)
        if preview:
            draw(made, preview)
            console.say(f"drawn to {preview}")

    if source:
        source.each(work)
    else:
        for made in _imported(import_):
            give(made)


def _planning(*layers: dict) -> tuple[PlannerConfig, tuple[int, int] | None]:
    """The planner's settings, and the (width, height) that the layers name, if they do."""
    fields = given_fields(*layers)
    size = fields[SampleConfig]
    return PlannerConfig(**fields[PlannerConfig]), (size["width"], size["height"]) if "width" in size else None


def _giver(out: Path | None, batch: bool, json_: bool, overwrite: bool) -> Callable[[Layout], None]:
    """What is done with a finished layout: written to `out`, shown in a terminal, or printed as JSON."""
    taken: set[Path] = set()

    def give(made: Layout) -> None:
        if out is not None:
            path = _write(made, out, batch, taken, overwrite)
            line = to_json({"path": str(path), "layout": made.to_json()}, ensure_ascii=False) if json_ else path
            return print(line, flush=True)
        if sys.stdout.isatty() and not json_:
            from rich.console import Console

            from ..layout.show import show

            terminal = Console()
            return terminal.print(show(made, terminal.width))
        print(to_json(made.to_json(), indent=None if batch or json_ else 2, ensure_ascii=False), flush=True)

    return give


def _write(made: Layout, out: Path, batch: bool, taken: set[Path], overwrite: bool) -> Path:
    """Where the layout is written: in a folder at a name made of the prompt, the next free one unless `overwrite`."""
    from ..text import slug

    if out.suffix == ".json":
        if batch:
            raise TTOMError(f"--out {out} is one file, and there may be several prompts", "give a folder")
        path = out
    else:
        path = next(name for name in numbered(out / f"{slug(made.prompt)}.json") if name not in taken)
    text = to_json(made.to_json(), indent=2, ensure_ascii=False) + "\n"
    try:
        path = put_text(path, text, overwrite=overwrite)
    except OSError as error:
        raise TTOMError(f"cannot write {path}: {error.strerror}", "choose another --out") from None
    taken.add(path)
    return path


def _edit(made: Layout, give: Callable[[Layout], None], *, trust: bool) -> None:
    """Give the layout as it leaves $EDITOR; what is refused, or cannot be given, stays in a file that is named."""
    import click

    from ..layout import read_layout
    from ..planning.check import check

    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="layout-", delete=False, encoding="utf-8") as file:
        file.write(to_json(made.to_json(), indent=2, ensure_ascii=False))
    path = Path(file.name)
    if not any(os.environ.get(name) for name in ("VISUAL", "EDITOR")) and not sys.stdin.isatty():
        path.unlink()
        raise TTOMError("--edit needs a terminal, or an editor that EDITOR names")
    while True:
        try:
            click.edit(filename=str(path))
        except (click.ClickException, OSError, ValueError) as error:
            reason = getattr(error, "message", None) or str(error)
            raise TTOMError(f"the editor failed: {reason}", f"set EDITOR; the layout is in {path}") from None
        try:
            edited, notes = check(read_layout(path), str(path), trust=trust)
            for note in notes:
                console.note(note)
            give(edited)
        except TTOMError as error:
            if sys.stdin.isatty():
                console.error(error.message)
                if console.agreed("Edit it again?", otherwise=True):
                    continue
            raise TTOMError(error.message, f"your edit is kept in {path}") from None
        path.unlink()
        return


def _imported(path: Path):
    """The layout of each sound entry; the others are listed."""
    from ..layout.imports import import_cache
    from ..planning.check import check

    found = import_cache(path)
    good = []
    for key, made in found.layouts.items():
        try:
            good.append(check(made, f"entry {key}")[0])
        except LayoutError as error:
            found.faults[key] = "; ".join(error.faults)
    for key, fault in found.faults.items():
        console.note(f"entry {key} is skipped: {fault}")
    console.say(f"{len(good)} of {len(good) + len(found.faults)} layouts imported")
    if not good:
        raise TTOMError(f"{path} holds no layout that can be used")
    return good


def _show_template(template: Path | None, out: Path | None, overwrite: bool) -> None:
    from ..planning.template import read_template

    texts = read_template(template).texts
    for name, _ in texts if out else ():
        refuse_existing(out / name, overwrite)
    for name, text in texts:
        if out is None:
            print(f"--- {name}\n{text}")
            continue
        try:
            put_text(out / name, text, overwrite=True)
        except OSError as error:
            raise TTOMError(f"cannot write {out / name}: {error.strerror}", "choose another --out") from None
        print(out / name)
