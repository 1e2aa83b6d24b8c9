"""`ttom show`"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..config import GuideConfig, LoadConfig, SampleConfig
from ..errors import TTOMError
from ..files import to_json
from ..options import options_of
from ..reference import in_words
from ..text import plain
from .inputs import JsonOpt
from .parameters import file

PIPED = 100  # characters a line, where no terminal says how many


def show(
    video: file(help="A video that ttom wrote."),
    json_: JsonOpt = False,
) -> None:
    """Show how a video was made: its recipe, its layout, and what was seen in it at the time."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..layout import layout_from_json
    from ..layout.show import show as drawn
    from ..recipe import check_recipe
    from ..video import read_recipe

    recipe = read_recipe(video)
    if json_:
        return print(to_json(recipe, indent=2, ensure_ascii=False))
    check_recipe(recipe)
    out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPED)
    layout = recipe.get("layout", {})
    if layout.get("objects"):
        out.print(drawn(layout_from_json(layout, source=f"the recipe in {video}"), out.width))
    else:
        out.print(Text(plain(recipe.get("prompt", "")), style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _facts(recipe):
        table.add_row(name, plain(text))
    out.print(table)


def _facts(recipe: dict) -> Iterator[tuple[str, str]]:
    """What a recipe says, a name and its words each; what it does not say is left out."""
    if "compares" in recipe:
        yield "compares", f"{recipe['compares']}, whose recipe says more, with the same without guidance"
    for name in ("model", "seed", "planner", "scheduler"):
        if name in recipe:
            yield name, str(recipe[name])
    for name, kind in (("sample", SampleConfig), ("guide", GuideConfig), ("load", LoadConfig)):
        if name in recipe:
            yield name, _settings(kind, recipe[name])
    if memory := recipe.get("memory"):
        yield "memory", " ".join(str(memory[n]) for n in ("outcome", "entry", "action") if memory.get(n))
    if losses := [loss for step in recipe.get("losses", ()) for loss in step if loss is not None]:
        yield "loss", f"{losses[0]:.3f} → {losses[-1]:.3f}"
    if check := recipe.get("check"):
        yield from _seen(check, recipe.get("tries", 1))
    if versions := recipe.get("versions"):
        yield "made by", ", ".join(f"{n} {v}" for n, v in {"ttom": recipe.get("ttom", "?"), **versions}.items())


def _settings(kind: type, stored: dict) -> str:
    """The settings by the names of their options."""
    try:
        made = kind(**stored)
    except (TypeError, TTOMError):
        return "settings of another version of ttom, which --json shows"
    values = {option.name: in_words(option.value_of(made)) for option in options_of(kind)}
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)


def _seen(check: dict, tries: int) -> Iterator[tuple[str, str]]:
    """What the detector saw: whether the video passed, each object, and what was off."""
    said = "passed" if check["passed"] else "did not pass"
    tried = f", of {tries} tries" if tries > 1 else ""
    yield "check", f"{said}: score {check['score']:.2f}, IoU {check['iou']:.2f} ({check.get('detector', '?')}{tried})"
    for o in check.get("objects", ()):
        yield "", f"{o['phrase']}: seen in {o['frames']} of {o['of']} frames, IoU {o['iou']:.2f}"
    for text in (*check.get("faults", ()), *check.get("remarks", ())):
        yield "", text
