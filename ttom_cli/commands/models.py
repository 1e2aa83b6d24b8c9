"""`ttom models`"""

from __future__ import annotations

import sys
from dataclasses import asdict

from ..files import to_json
from .inputs import JsonOpt


def models(json_: JsonOpt = False) -> None:
    """List the models that --model knows by name, with their defaults; any of their families can be used."""
    from rich.console import Console
    from rich.table import Table

    from ..catalog import CARDS

    if json_:
        return print(to_json([asdict(card) for card in CARDS.values()], indent=2))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("name", "source", "parameters", "weights", "video", "steps", "cfg", "shift", "blocks", "defaults"):
        table.add_column(name, overflow="fold", no_wrap=name == "name")
    for card in CARDS.values():
        s = card.sample
        table.add_row(
            card.name, "in the package" if card.embedded else card.source, card.parameters, f"{card.weights:g} GB",
            f"{s.width}x{s.height}" + (f"x{s.frames} at {s.fps}" if s.frames > 1 else ""), str(s.steps), f"{s.guidance_scale:g}",
            "" if s.shift is None else f"{s.shift:g}", ",".join(map(str, card.guide.blocks)), card.note,
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 250).print(table)  # a pipe gets whole lines
