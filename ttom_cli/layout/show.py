"""A layout in the terminal: a table, and a small drawing of where each object begins and ends."""

from __future__ import annotations

import math

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .draw import PALETTE
from .model import Box, Layout, Track, center

COLUMNS, ROWS = 56, 16  # characters at most; about as wide as high in pixels at 16:9
ARROWS = {"right": "→", "left": "←", "up": "↑", "down": "↓"}


def show(layout: Layout, width: int = 80) -> Group:
    """What `ttom plan` prints to a terminal, `width` characters wide."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "phrase", "from", "to", "motion"):
        table.add_column(name, overflow="fold", no_wrap=name in ("from", "to") and width >= COLUMNS)
    for k, track in enumerate(layout.objects):
        first, last = track.boxes[0], track.boxes[-1]
        moves = track.direction or _otherwise(track)
        spans = "" if len(track.boxes) == 1 or (first.t, last.t) == (0, 1) else f", t {first.t:g} to {last.t:g}"
        table.add_row(
            Text(_letter(k), style=_color(k)), escape(track.phrase), _spell(first.box),
            _spell(last.box) if len(track.boxes) > 1 else "", f"{ARROWS.get(moves, '')} {moves}{spans}".strip(),
        )  # fmt: skip
    head = [Text(layout.text, style="bold")]
    if layout.background:
        head.append(Text(f"background: {layout.background}", style="dim"))
    columns = min(COLUMNS, max(20, width - 2))
    return Group(*head, _drawing(layout, columns, round(columns * ROWS / COLUMNS)), table)


def _otherwise(track: Track) -> str:
    """What an object does that ends where it began."""
    (x, y), sizes = center(track.boxes[0].box), [(k.box[2] - k.box[0]) for k in track.boxes]
    if any(math.hypot(u - x, v - y) > 0.1 for u, v in (center(k.box) for k in track.boxes)):
        return "goes round"
    return "grows" if sizes[-1] > 1.2 * sizes[0] else "shrinks" if sizes[-1] < sizes[0] / 1.2 else "stands"


def _spell(box: Box) -> str:
    return " ".join(f"{v:.2f}" for v in box)


def _letter(k: int) -> str:
    return chr(ord("A") + k % 26)


def _color(k: int) -> str:
    return PALETTE[k % len(PALETTE)]


def _drawing(layout: Layout, columns: int, rows: int) -> Text:
    """The frame in characters: thin boxes where objects begin, bold ones where they end, dots between."""
    cells = [[(" ", "") for _ in range(columns)] for _ in range(rows)]

    def put(x: float, y: float, char: str, style: str) -> None:
        column, row = int(x), int(y)
        if 0 <= column < columns and 0 <= row < rows:
            cells[row][column] = (char, style)

    for k, track in enumerate(layout.objects):
        first, last, color = track.boxes[0].box, track.boxes[-1].box, _color(k)
        if first != last:
            _outline(put, (columns, rows), first, "┌┐└┘─│", f"dim {color}")
            for i in range(1, 24):
                box = track.box_at(track.boxes[0].t + (track.boxes[-1].t - track.boxes[0].t) * i / 24)
                x, y = center(box)
                put(x * columns, y * rows, "·", color)
        _outline(put, (columns, rows), last, "┏┓┗┛━┃", color)
        x, y = center(last)
        put(x * columns, y * rows, ARROWS.get(track.direction, "•"), f"bold {color}")
    for k, track in enumerate(layout.objects):  # over all boxes, so that none hides a letter
        last, color = track.boxes[-1].box, _color(k)
        put(last[0] * columns + 1 + k % 3, last[1] * rows, _letter(k), f"bold {color}")
    text = Text()
    text.append("╭" + "─" * columns + "╮\n", "dim")
    for row in cells:
        text.append("│", "dim")
        for char, style in row:
            text.append(char, style)
        text.append("│\n", "dim")
    text.append("╰" + "─" * columns + "╯", "dim")
    return text


def _outline(put, size: tuple[int, int], box: Box, chars: str, style: str) -> None:
    x0, y0 = int(box[0] * size[0]), int(box[1] * size[1])
    x1, y1 = max(int(box[2] * size[0]) - 1, x0 + 1), max(int(box[3] * size[1]) - 1, y0 + 1)
    for x in range(x0 + 1, x1):
        put(x, y0, chars[4], style)
        put(x, y1, chars[4], style)
    for y in range(y0 + 1, y1):
        put(x0, y, chars[5], style)
        put(x1, y, chars[5], style)
    for x, y, char in ((x0, y0, chars[0]), (x1, y0, chars[1]), (x0, y1, chars[2]), (x1, y1, chars[3])):
        put(x, y, char, style)
