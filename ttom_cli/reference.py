"""The reference page of all options, and what help and page say of defaults; `make options` writes the page."""

from __future__ import annotations

from .catalog import CARDS, ModelCard
from .config import PANELS
from .options import Option
from .settings import OPTIONS

LONG = 60  # characters, above which a default is cut
HEAD = """\
# The options of `ttom generate`

The names are those of the command line (`--guided-steps 8`), of `--config FILE.yaml` and of a YAML prompt file
(`guided-steps: 8`; `_` does for `-`). Flags win over variables, those over a prompt's own options, those over
`--config`, and all over the model's defaults. A prompt's own `seed` wins over `--seed`, its `layout` may be written in
place, and its `out` is a file in the folder `--out`. The other commands take some of these; what `--help` lists besides
(`--prompts`, `--config`, `--replay`, `--yes`, `--json`) says what to do and stands in no file.

*Written by `make options`.*"""


def default_of(option: Option) -> str:
    """The default in words, by model where it depends on that: '25 for shapes, shapes-cog; else 50'."""
    by_value: dict[str, list[str]] = {}
    for card in CARDS.values():
        by_value.setdefault(shown(_default(option, card)), []).append(card.name)
    if len(by_value) == 1:
        return next(iter(by_value))
    most = max(by_value, key=lambda value: len(by_value[value]))
    parts = [f"{value or 'none'} for {', '.join(names)}" for value, names in by_value.items() if value != most]
    return "; ".join([*parts, f"else {most or 'none'}"])


def _default(option: Option, card: ModelCard):
    of_card = next((part for part in (card.sample, card.guide) if isinstance(part, option.of)), None)
    return option.default if of_card is None else option.value_of(of_card)


def shown(value) -> str:
    """A value in words, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if len(str(value)) <= LONG else f"{str(value)[:LONG]}..."


def page() -> str:
    """The reference page, in Markdown."""
    lines = [HEAD]
    for panel in PANELS:
        lines += [f"\n## {panel or 'What is made'}\n", "| name | value | default | |", "|---|---|---|---|"]
        lines += [_row(option) for option in OPTIONS.values() if option.panel == panel]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> str:
    names = [option.name, option.short and f"-{option.short}", option.env and f"${option.env}"]
    names = [f"`{name}`" for name in names if name]
    return f"| {' '.join(names)} | {option.allowed} | {default_of(option)} | {option.help} |"


if __name__ == "__main__":
    print(page(), end="")
