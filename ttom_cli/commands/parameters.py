"""The parameters of the commands, made of what is said of each option where its field is."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Optional

import typer

from ..catalog import CARDS
from ..console import NARROW
from ..errors import TTOMError, UsageError
from ..options import Option, options_of
from ..reference import default_of
from ..settings import OPTIONS


def takes(*wanted: type | str, **helps: str) -> Callable:
    """A command that takes options besides its own: these, and all of these dataclasses. It gets a dict of those that
    are given as `given`. `helps` are for options that mean something else to it."""
    options = [option for w in wanted for option in ([OPTIONS[w]] if isinstance(w, str) else options_of(w))]

    def decorate(command: Callable) -> Callable:
        own = inspect.signature(command, eval_str=True)
        once = [p.name for p in own.parameters.values() if _is_once(p.annotation)]

        @wraps(command)
        def run(**values: Any) -> None:
            given = {option.name: values.pop(_identifier(option)) for option in options}
            values |= {name: values[name][0] for name in once if values[name]}
            command(**values, given={name: value for name, value in given.items() if value not in (None, [])})

        parameters = [p for p in own.parameters.values() if p.name != "given"]
        parameters += [
            inspect.Parameter(
                _identifier(o),
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(o, helps.get(_identifier(o), ""), layered=True),
            )
            for o in options
        ]
        run.__signature__ = own.replace(parameters=parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def parameter(name: str, help: str = "") -> Any:
    """The annotation of the parameter of an option; None stands for what is not given.

    `help` is for a command whose option is like that one, and about something else, its default too.
    """
    return _annotation(OPTIONS[name], help)


def _annotation(option: Option, help: str = "", *, layered: bool = False) -> Any:
    """Where files may say it too (`layered`) the settings see to its variable, which comes after them."""
    name = option.name
    names = [f"--{name}/--no-{name}" if option.kind is bool else f"--{name}"]
    names += [f"-{option.short}"] if option.short else []
    default, kind = default_of(option), str if option.listed or option.repeated else option.kind
    said = {
        "help": help or (f"{option.help} {_aside(f'default: {default}')}" if default else option.help),
        "rich_help_panel": option.panel or None,
    }
    if option.env and layered:
        said["help"] += f" {_aside(f'env var: {option.env}')}"
    elif option.env:
        said["envvar"] = option.env
    if option.repeated:
        return Annotated[Optional[list[str]], typer.Option(*names, metavar="<text>", parser=_text(option), **said)]
    if option.kind is not bool:
        said |= {"parser": _parser(option), "metavar": f"<{kind.__name__.lower()}>"}
    if names_known := CARDS if name == "model" else option.choices:  # what the shell completes
        said["autocompletion"] = lambda incomplete: [known for known in names_known if known.startswith(incomplete)]
    return Annotated[Optional[kind], typer.Option(*names, **said)]


def _aside(text: str) -> str:
    """As the library of commands says it of what it knows itself."""
    return f"[{text}]" if NARROW else rf"\[{text}]"


def whole(name: str, help: str, *, least: float = -math.inf) -> Any:
    """The annotation of a command's own parameter that is a whole number."""
    return number(name, help, kind=int, least=least)


def number(name: str, help: str, *, kind: type = float, least: float = -math.inf, most: float = math.inf) -> Any:
    """The annotation of a command's own parameter that is a number."""
    said = {"parser": _parser(_own(name, kind, least=least, most=most)), "metavar": f"<{kind.__name__}>", "help": help}
    return Annotated[Optional[kind], typer.Option(f"--{name}", **said)]


def file(*names: str, help: str, panel: str | None = None, once: bool = False) -> Any:
    """The annotation of a command's own parameter that is a file or a folder; without names it is an argument.

    As everywhere, the last of several is meant; with `once`, for a command that `takes` options, several are refused.
    """
    said = {"parser": _parser(_own(names[0] if names else "file", Path)), "help": help, "rich_help_panel": panel}
    kind = partial(typer.Option, *names, metavar="<path>") if names else partial(typer.Argument, metavar="FILE")
    if once:
        return Annotated[Optional[list[Path]], kind(callback=_only_one, **said)]
    return Annotated[Optional[Path] if names else Path, kind(**said)]


def _is_once(annotation: Any) -> bool:
    return any(getattr(said, "callback", None) is _only_one for said in getattr(annotation, "__metadata__", ()))


def _only_one(param: typer.CallbackParam, given: Optional[list[Path]]) -> Optional[list[Path]]:
    if given and len(given) > 1:
        raise UsageError(f"{param.opts[0]} is given {len(given)} times", "give it once")
    return given


def _own(name: str, kind: type, **said: Any) -> Option:
    """What a command's own parameter is checked by."""
    return Option(name=name.lstrip("-"), help="", of=NoneType, field="", default=None, kind=kind, **said)


def _parser(option: Option) -> Callable[[str], Any]:
    """What reads a value; what is wrong with it is said in the words that it is said in of files."""

    def parse(text: str) -> Any:
        try:
            value = option.parse(text)
            option.fields(value)
            return value
        except TTOMError as error:
            raise UsageError(error.message, error.hint) from None

    return parse


def _text(option: Option) -> Callable[[str], str]:
    """One of several texts of an option, looked at, and left as it is."""
    parse = _parser(option)

    def look(text: str) -> str:
        parse(text)
        return text

    return look


def _identifier(option: Option) -> str:
    return option.name.replace("-", "_")
