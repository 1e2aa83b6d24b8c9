"""The reference page of all options, and what help and page say of defaults; `make options` writes the page."""

from __future__ import annotations

from .backbones.card import ModelCard
from .catalog import CARDS, EMBEDDED
from .config import PANELS, GuideConfig
from .options import Option
from .settings import OPTIONS

ELSE = "else the model's own, as `ttom models` says"
LONG = 60  # characters, above which a default is cut
HEAD = """\
# The options of `ttom generate`

The names are those of the command line (`--guided-steps 8`), of `--config FILE.yaml` and of prompt files in YAML, JSON
and tables (`guided-steps: 8`; `_` does for `-`). Flags win over a prompt's own options, those over `--config`, those
over variables such as `$TTOM_BANK`, and all over the model's defaults. A prompt's own `seed`, `seeds` and `num-videos`
win over the flags, its `layout` may be written in place, and its `out` is a path inside the folder `--out`. The other
commands take some of these; what `--help` lists besides (`--prompts`, `--config`, `--replay`, `--yes`, `--json`) says
what to do and stands in no file.

*Written by `make options`.*"""


def default_of(option: Option) -> str:
    """The default in words, that of the packaged models first: '8 for shapes, shapes-cog; else 32'."""
    packaged: dict[str, list[str]] = {}
    for card in EMBEDDED:
        packaged.setdefault(_default(option, card), []).append(card.name)
    others = {_default(option, card) for card in CARDS.values() if not card.embedded}
    if packaged.keys() == others and len(others) == 1:
        return others.pop()
    parts = [f"{value or 'none'} for {', '.join(names)}" for value, names in packaged.items()]
    return "; ".join([*parts, f"else {others.pop() or 'none'}" if len(others) == 1 else ELSE])


def _default(option: Option, card: ModelCard) -> str:
    of_card = next((part for part in (card.sample, card.guide) if isinstance(part, option.of)), None)
    if of_card is None:
        return in_words(option.default)
    said = in_words(option.value_of(of_card))
    if option.of is not GuideConfig or option.field == "mode":
        return said
    params = in_words(option.value_of(card.guide_in("params")))
    return said if params == said else f"{said} ({params} in a guide without attention)"


def in_words(value) -> str:
    """A value in words, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{name}={said}" for name, said in value.items())
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
