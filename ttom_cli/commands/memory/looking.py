"""`ttom memory ls | show | search | stats`: what changes nothing."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ... import console
from ...config import GuideConfig, PlannerConfig, SampleConfig
from ...errors import TTOMError
from ...files import to_json
from ...memory.choice import Choice, Page, age, seen, short_ids
from ...options import fill
from ...settings import read_config
from ...text import counted, plain
from ..inputs import ConfigOpt, JsonOpt, PromptArg, plan_item, read_source, settle
from ..parameters import takes, whole
from .shared import BankOpt, IdArg, opened

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ...memory import Entry, MemoryBank

PAGE = 50
LEAST = 8  # characters for the column that gives way
MARKS = {"passed": "✓", "failed": "✗", "none": ""}


@takes(Page, Choice)
def ls(bank: BankOpt = None, json_: JsonOpt = False, *, given: dict) -> None:
    """List the entries, a page at a time. Without options the most used come first."""
    store, page = opened(bank), fill(Page, given)
    everything = store.entries()
    chosen = fill(Choice, given).of(everything)
    shown = page.of(chosen, len(chosen) if json_ else PAGE)
    if json_:
        return print(to_json([_brief(entry) for entry in shown], ensure_ascii=False))
    if not everything:
        return _nothing(store)
    if not chosen:
        return console.say(f"none of {counted(len(everything), 'entry', 'entries')} is so")
    if shown:
        _print(_list(shown, short_ids(shown, everything)))
    first = (page.page - 1) * (page.limit or PAGE) + 1
    part = f"{first} to {first + len(shown) - 1} of " if len(shown) < len(chosen) else ""
    more = f"; --page {page.page + 1} shows more" if shown and first + len(shown) <= len(chosen) else ""
    of_all = "" if len(chosen) == len(everything) else f" (of {len(everything)} in the bank)"
    console.say(
        f"[dim]{part if shown else 'no such page of '}{counted(len(chosen), 'entry', 'entries')}{of_all}{more}[/]"
    )


def _nothing(store: MemoryBank) -> None:
    there = "" if store.folder.is_dir() else ": there is no such folder yet"
    console.say(f"the bank {_place(store)} is empty{there}")


def _list(entries: list[Entry], ids: dict[str, str]) -> Table:
    """A row an entry; the model is left out where it is always the same."""
    models = {entry.model for entry in entries}
    table = _table("id", ">uses", ">used", "loss", "", ">size", *["model"] * (len(models) > 1), "prompt")
    for entry in entries:
        name = [_model(entry.model)] * (len(models) > 1)
        table.add_row(
            ids[entry.id], str(entry.uses), _ago(entry.last_used), f"{entry.losses[0]:.2f}→{entry.losses[-1]:.2f}",
            MARKS[seen(entry)], _size(entry.bytes), *name, _cut(entry.prompt),
        )  # fmt: skip
    return table


def show(id: IdArg, bank: BankOpt = None, json_: JsonOpt = False) -> None:
    """Show all that is known of an entry: to a terminal with its layout drawn, to a pipe (or with --json) as JSON."""
    entry = opened(bank).find(id)
    if json_ or not sys.stdout.isatty():
        return print(to_json(entry.to_record() | {"file": entry.file}, indent=2, ensure_ascii=False))
    from rich.console import Console

    from ...layout.show import show as drawing

    terminal = Console(highlight=False, markup=False)
    terminal.print(drawing(entry.checked_layout(), terminal.width))
    terminal.print(_pairs((name, plain(value)) for name, value in _facts(entry)))


def _facts(entry: Entry):
    """(what, value) of all that is told of an entry besides its layout."""
    check = entry.check or {}
    numbers = [f"{name} {check[name]:.2f}" for name in ("score", "iou") if isinstance(check.get(name), float)]
    yield "id", entry.id
    yield "scene", entry.scene
    yield "used", f"{counted(entry.uses, 'time')}, last {_ago(entry.last_used)} ago" if entry.uses else "never"
    yield "check", {"none": "nothing looked at its video"}.get(seen(entry), ", ".join([seen(entry), *numbers]))
    yield "loss", f"{entry.losses[0]:.3f} → {entry.losses[-1]:.3f}"
    yield "made", f"{_ago(entry.created)} ago, of seed {entry.seed}".removeprefix(" ago, ")
    kept = (
        f"over {counted(entry.consolidated, 'iteration')}"
        if entry.consolidated
        else "no: it holds for its own noise alone"
    )
    yield "consolidated", kept
    yield "updated", counted(entry.updates, "time")
    yield "model", entry.model
    settings = {name: ",".join(map(str, v)) if isinstance(v, list) else v for name, v in entry.guide.items()}
    yield "guide", ", ".join(f"{name} {value}" for name, value in settings.items())
    yield "adapter", f"{entry.file}, {_size(entry.bytes)}"


@takes("model", "layout", "lora", "transformer", SampleConfig, GuideConfig, "profile", PlannerConfig, "bank")
def search(
    prompt: PromptArg = None,
    config: ConfigOpt = None,
    limit: whole("limit", "Entries that are shown, the nearest first.", least=1) = 10,
    json_: JsonOpt = False,
    *,
    given: dict,
) -> None:
    """Show what a prompt would hit, and why the nearest others are no hits. Takes the options of `generate` that count."""
    from ...memory.search import candidates, unusable
    from ...memory.signature import signature_of
    from ...parts import key_of, settled

    common = read_config(config)
    card, settings = settle(common, given)
    item, *more = itertools.islice(read_source(prompt, None, settings.run.layout).items, 2)
    if more:
        raise TTOMError("there are several prompts", "search for one at a time")
    store = opened(settings.run.bank, memory=settings.memory)
    layout = plan_item(item, settings.planner, (settings.sample.width, settings.sample.height))
    signature = signature_of(settings.guide, settings.sample, key_of(settled(settings.load)))
    with console.waiting("asking the memory"):
        found = candidates(store.index(), layout, model=card.name, guide=signature, least=store.least(signature))[
            :limit
        ]
        for candidate in found:
            if not candidate.reasons and (reason := unusable(store, candidate.entry)):
                candidate.reasons.append(reason)
    if json_:
        return print(to_json([_candidate(candidate) for candidate in found], ensure_ascii=False))
    if not found:
        return _nothing(store)
    ids = short_ids([candidate.entry for candidate in found], store.entries())
    table = _table("", "id", ">scene", ">objects", ">boxes", "prompt, and why it is no hit")
    for candidate in found:
        entry, match = candidate.entry, candidate.match
        numbers = [f"{value:.2f}" for value in (match.scene, match.objects, match.overlap)] if match else ["", "", ""]
        why = "".join(f"\n{plain(reason)}" for reason in candidate.reasons)
        table.add_row("" if why else "✓", ids[entry.id], *numbers, plain(entry.prompt) + why)
    _print(table)
    hit = next((ids[candidate.entry.id] for candidate in found if not candidate.reasons), None)
    console.say(f"[dim]a hit: {hit} is used[/]" if hit else "[dim]a miss: nothing is used[/]")


def _candidate(candidate) -> dict:
    match = vars(candidate.match) if candidate.match else {"scene": None, "objects": None, "overlap": None}
    entry = candidate.entry
    return {"id": entry.id, "prompt": entry.prompt, "hit": not candidate.reasons, **match, "reasons": candidate.reasons}


def stats(bank: BankOpt = None, json_: JsonOpt = False) -> None:
    """Count what is in the bank, by model."""
    store = opened(bank)
    entries = store.entries()
    by_model = {model: _sums([e for e in entries if e.model == model]) for model in sorted({e.model for e in entries})}
    if json_:
        summary = {"bank": str(store.folder), "aside": len(store.aside()), **_sums(entries), "models": by_model}
        return print(to_json(summary, ensure_ascii=False))
    table = _table("model", ">entries", ">uses", ">never used", ">passed", ">failed", ">size")
    for model, sums in [*by_model.items(), *[("all", _sums(entries))] * (len(by_model) != 1)]:
        *counts, size = sums.values()
        table.add_row(_model(model), *map(str, counts), _size(size))
    _print(table)
    console.say(f"[dim]{_place(store)}[/]")


def _sums(entries: list[Entry]) -> dict[str, int]:
    return {
        "entries": len(entries),
        "uses": sum(e.uses for e in entries),
        "never_used": sum(not e.uses for e in entries),
        "passed": sum(seen(e) == "passed" for e in entries),
        "failed": sum(seen(e) == "failed" for e in entries),
        "bytes": sum({e.sha256: e.bytes for e in entries}.values()),
    }


# ---------------------------------------------------------------- how it is said


def _table(*names: str) -> Table:
    """A table of which only the last column gives way where it does not fit; '>' is for what stands right."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        right = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">"), justify=right, no_wrap=name != names[-1], overflow="fold")
    return table


def _cut(text: str) -> Text:
    """A cell of one line, cut where it does not fit."""
    from rich.text import Text

    return Text(plain(text), no_wrap=True, overflow="ellipsis")


def _print(table: Table) -> None:
    """As wide as the terminal, or as COLUMNS says; elsewhere as wide as it is. Where there is no room, row by row."""
    from rich.cells import cell_len
    from rich.console import Console

    names, columns = [str(column.header) for column in table.columns], [[*column.cells] for column in table.columns]
    widths = [max(map(cell_len, map(str, (name, *cells)))) + 2 for name, cells in zip(names, columns, strict=True)]
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    terminal = Console(highlight=False, markup=False, width=sum(widths) if free else None)
    if sum(widths[:-1]) + LEAST <= terminal.width:
        return terminal.print(table)
    for row in zip(*columns, strict=True):
        terminal.print(_pairs((name, cell) for name, cell in zip(names, row, strict=True) if str(cell)))
        terminal.print()


def _pairs(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """A line for each name and its value."""
    table = _table("", "")
    table.show_header = False
    for pair in pairs:
        table.add_row(*pair)
    return table


def _brief(entry: Entry) -> dict:
    data = entry.to_record(layout=False) | {"file": entry.file}
    return {name: value for name, value in data.items() if name != "guide"}


def _model(name: str) -> str:
    """A model's name, or the last part of its path, of 16 characters at most."""
    short = plain(Path(name).name)
    return short if len(short) <= 16 else f"{short[:15]}…"


def _place(store: MemoryBank) -> str:
    return console.escape(plain(str(store.folder)))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _ago(time: str) -> str:
    """'5 d', the largest unit that it has one of; empty for a time that is not known."""
    if not time:
        return ""
    seconds = max(0, int(age(time).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
