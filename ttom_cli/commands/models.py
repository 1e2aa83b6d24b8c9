"""`ttom models`"""

from __future__ import annotations

import sys
from dataclasses import asdict

from ..backbones.card import ModelCard
from ..files import to_json
from .inputs import JsonOpt

NARROW = 120  # columns; with fewer, what a table would break is a list


def models(json_: JsonOpt = False) -> None:
    """List the models that --model knows by name, with their defaults; any of their families can be used."""
    from rich.console import Console
    from rich.table import Table

    from ..catalog import CARDS

    if json_:
        return print(to_json([asdict(card) for card in CARDS.values()], indent=2))
    out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 250)  # a pipe gets whole lines
    if out.width < NARROW:
        for card in CARDS.values():
            out.print(card.name, style="bold")
            for name, text in list(_facts(card).items())[1:]:
                if text:
                    out.print(f"  {name} {text}")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _facts(CARDS["shapes"]):
        table.add_column(name, overflow="fold", no_wrap=name == "name")
    for card in CARDS.values():
        table.add_row(*_facts(card).values())
    out.print(table)


def _facts(card: ModelCard) -> dict[str, str]:
    s = card.sample
    return {
        "name": card.name, "source": "in the package" if card.embedded else card.source, "parameters": card.parameters,
        "weights": f"{card.weights:g} GB",
        "video": f"{s.width}x{s.height}" + (f"x{s.frames} at {s.fps}" if s.frames > 1 else ""),
        "steps": str(s.steps), "cfg": f"{s.guidance_scale:g}", "shift": "" if s.shift is None else f"{s.shift:g}",
        "blocks": ",".join(map(str, card.guide.blocks)), "defaults": card.note,
    }  # fmt: skip
