"""The parameters of the commands, made of what is said of each option where its field is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Optional

import typer

from ..options import Option, options_of
from ..reference import default_of
from ..settings import OPTIONS


def takes(*wanted: type | str) -> Callable:
    """A command that takes options besides its own: these, and all of these dataclasses. It gets a dict of those that
    are given as `given`."""
    options = [option for w in wanted for option in ([OPTIONS[w]] if isinstance(w, str) else options_of(w))]

    def decorate(command: Callable) -> Callable:
        own = inspect.signature(command, eval_str=True)

        @wraps(command)
        def run(**values: Any) -> None:
            given = {option.name: values.pop(_identifier(option)) for option in options}
            command(**values, given={name: value for name, value in given.items() if value is not None})

        parameters = [p for p in own.parameters.values() if p.name != "given"]
        parameters += [
            inspect.Parameter(_identifier(o), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(o))
            for o in options
        ]
        run.__signature__ = own.replace(parameters=parameters)
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def parameter(name: str) -> Any:
    """The annotation of the parameter of an option; None stands for what is not given."""
    return _annotation(OPTIONS[name])


def _annotation(option: Option) -> Any:
    name = option.name
    names = [f"--{name}/--no-{name}" if option.kind is bool else f"--{name}"]
    names += [f"-{option.short}"] if option.short else []
    default, kind = default_of(option), str if option.listed else option.kind
    said = {
        "help": f"{option.help} Default: {default}." if default else option.help,
        "rich_help_panel": option.panel or None,
        "envvar": option.env or None,
    }
    if option.kind is not bool:  # what is wrong is said in the words that it is said in of files
        said |= {"parser": option.parse, "metavar": f"<{kind.__name__.lower()}>"}
    return Annotated[Optional[kind], typer.Option(*names, **said)]


def _identifier(option: Option) -> str:
    return option.name.replace("-", "_")
