"""Bench tables for people and for files."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from .estimate import Estimate

WIDE = 160  # columns, where no terminal says how many
SHARES = (
    "pass in 1",
    "pass in 2",
    "pass in 3",
    "objects found",
    "all found",
    "found",
    "right way",
    "gain kept",
    "right",
    "partly",
    "unsure",
    "wrong",
    "nonsense",
    "silent",
    "overhead",
    "harmless",
    "near cold",
    "helps",
    "precision",
    "recall",
)


@dataclass(frozen=True)
class Row:
    """One arm of a table: its name and its figures, by column."""

    name: str
    figures: dict[str, float | Estimate | None]


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    rows: list[Row]

    def to_json(self) -> dict:
        rows = [{"name": row.name, **{k: _plain(v) for k, v in row.figures.items()}} for row in self.rows]
        return {"title": self.title, "note": self.note, "rows": rows}


def joined(tables: dict[str, Table]) -> Table:
    """The same table of several models, one below the other; of a single one as it is."""
    (first, *others) = tables.values()
    if not others:
        return first
    rows = [Row(f"{model}: {row.name}", row.figures) for model, table in tables.items() for row in table.rows]
    return Table(first.title, first.note, rows)


def show(table: Table) -> None:
    """Print a table; shares as per cent, other figures with three digits. Outside a terminal it is as wide as it is."""
    rich = RichTable(
        title=table.title, title_justify="left", caption=table.note, caption_justify="left",
        box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    rich.add_column("")
    columns = list(table.rows[0].figures)
    for column in columns:
        rich.add_column(column, justify="right")
    for row in table.rows:
        rich.add_row(row.name, *(cell(c, row.figures[c]) for c in columns))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(rich)
    sys.stdout.flush()


def _plain(value):
    return asdict(value) if isinstance(value, Estimate) else value


def cell(column: str, value: float | Estimate | None) -> str:
    """A figure as the tables show it; an estimate with the longer arm of its 95 % interval."""
    if value is None:
        return "–"
    if isinstance(value, Estimate):
        return f"{cell(column, value.value)} ±{cell(column, value.half)}"
    if isinstance(value, int):
        return str(value)
    return f"{value:.0%}" if column in SHARES else f"{value:.1f}" if column == "s/video" else f"{value:.3f}"


def markdown(table: Table) -> str:
    """The table as GitHub's Markdown, for the README."""
    columns = list(table.rows[0].figures)
    lines = [f"| {table.title} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in table.rows:
        lines.append(f"| {row.name} | " + " | ".join(cell(c, row.figures[c]) for c in columns) + " |")
    return "\n".join(lines) + f"\n\n{table.note}.\n"
