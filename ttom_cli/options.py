"""An option is said once, at its field in `config.py`; its check, its parameter of the commands, its name in files and
its line on the reference page come of that."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import reprlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from .errors import TTOMError, unknown
from .files import parse_data
from .text import undecoded

LONGEST = 4096  # characters of a text: what paths may have, and more than any other needs
MANY = 1000  # numbers in a run, such as 1-1000
SPOKEN = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
KINDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path", dict: "name=value",
}  # fmt: skip
Slice = TypeVar("Slice")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """What is said of an option, and what of its type and default its field says."""

    name: str
    help: str
    of: type
    """The dataclass that it is said in."""
    field: str
    default: Any
    kind: type
    listed: bool = False
    """Several of the kind, in files a list or one text."""
    optional: bool = False
    panel: str = ""
    """The part of --help, and of the reference page, that it stands in."""
    choices: tuple[str, ...] = ()
    also: dict[str, str] = dataclasses.field(default_factory=dict)
    """Other names of choices."""
    least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    most: float = math.inf
    repeated: bool = False
    """Given several times on the command line."""
    short: str = ""
    env: str = ""
    elsewhere: tuple[str, ...] = ()
    """What other tools call it; here no name of it, but understood."""
    like: str = ""
    """What is allowed, where kind and bounds do not say it."""
    into: Callable[[Any], dict] | None = None
    """The fields that the value stands for, where it is not the field's own; ValueError for a wrong value."""
    back: Callable[[Any], Any] | None = None
    """The value for the dataclass's fields, where it is not the field's own."""

    @property
    def allowed(self) -> str:
        if self.like or self.choices:
            return self.like or f"{'some' if self.listed else 'one'} of {', '.join(self.choices)}"
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"{KINDS[self.kind]} from {self.least} to {self.most}"
        bounds = {
            " of at least": self.least, " above": self.above, " below": self.below, " of at most": self.most,
        }  # fmt: skip
        said = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
        return KINDS[self.kind] + " and".join(said)

    def fields(self, value) -> dict:
        """What a value of the option makes of the dataclass's fields. Raises TTOMError for a wrong one."""
        value = self.read(value)
        if not self.into:
            return {self.field: value}
        try:
            return self.into(value)
        except ValueError:
            raise self._wrong(value) from None

    def value_of(self, made):
        """The option's value in a dataclass."""
        return self.back(made) if self.back else getattr(made, self.field)

    def read(self, value):
        """The value as its field holds it. Raises TTOMError for a wrong one."""
        if (value is None and self.optional) or (isinstance(value, str) and value == self.default == ""):
            return value
        if self.kind is dict:
            return self._pairs(value)
        if not self.listed:
            return self._one(value, value)
        if isinstance(value, str) and self.repeated:
            return (self._one(value, value),) if value else ()
        parts = []
        for part in value if isinstance(value, (list, tuple)) else [value]:
            words = part.replace(",", " ").split() if isinstance(part, str) and not self.repeated else [part]
            parts += [number for word in words for number in (_run(word) if self.kind is int else [word])]
        if not parts:
            raise self._wrong(value)
        made = tuple(self._one(part, value) for part in parts)
        if not self.repeated and len(made) > len(set(made)):
            raise TTOMError(f"{self.name} has {next(part for part in made if made.count(part) > 1)} twice")
        return made

    def parse(self, text: str):
        """The value of a text on the command line or in a table. Raises TTOMError for a wrong one."""
        if self.kind in (int, float) and not self.listed:
            with suppress(ValueError):
                return self.read(self.kind(text))
        return self.read(text)

    def _one(self, value, whole):
        if isinstance(value, (str, Path)) and len(str(value)) > LONGEST:
            raise TTOMError(f"{self.name} has {len(str(value)):,} characters", f"it may have {LONGEST:,} at most")
        if isinstance(value, (str, Path)) and (not str(value) or "\0" in str(value)):
            raise self._wrong(whole)
        if self.kind is str and isinstance(value, str) and undecoded(value):
            raise TTOMError(f"{self.name} is not UTF-8 text")
        if self.choices and value is False and "off" in self.choices:
            value = "off"  # which YAML takes for false
        value = self.also.get(value, value) if isinstance(value, str) else value
        if self.choices and isinstance(value, str) and value not in self.choices:
            raise unknown(self.name, value, self.choices, f"known: {', '.join(self.choices)}")
        if self.kind is bool and isinstance(value, str):
            value = SPOKEN.get(value.lower(), value)
        if self.kind is Path and isinstance(value, str):
            value = Path(value).expanduser()  # in files no shell has done so
        if self.kind is float:
            value = _number(value)
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            raise self._wrong(whole)
        if self.kind in (int, float) and not (self.least <= value <= self.most and self.above < value < self.below):
            raise self._wrong(whole)
        return value

    def _pairs(self, value) -> dict:
        """Of a mapping, or of one or several texts 'name=value' with the value in YAML's words."""
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            return value
        texts = value if isinstance(value, (list, tuple)) else [value]
        if not texts or not all(isinstance(text, str) and re.match(r"\s*\w+\s*=", text) for text in texts):
            raise self._wrong(value)
        halves = (text.split("=", 1) for text in texts)
        return {name.strip(): _plain(said.strip()) for name, said in halves}

    def _wrong(self, value) -> TTOMError:
        if isinstance(value, (str, Path)) and not str(value).strip():
            return TTOMError(f"{self.name} must not be empty", f"it is {self.allowed}")
        return TTOMError(f"{self.name} must be {self.allowed}, not {shown(value)}")


def shown(value) -> str:
    """A value in a message: at most 80 characters, of a long text and its length."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**60:
        return f"a number of {int(math.log10(abs(value))) + 1} digits"
    if isinstance(value, str) and len(value) > 60:
        return f"{value[:40]!r}... of {len(value)} characters"
    if value is None or isinstance(value, bool):  # as files have them
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float, Path)):
        return str(value)[:80]
    return reprlib.repr(value)[:80]


def _run(part) -> list:
    """The numbers of '7' and of '1-4'; what is no such text stays, and so does a run of none or very many."""
    if not isinstance(part, str) or not (found := re.fullmatch(r"(-?\d{1,20})(?:-(-?\d{1,20}))?", part)):
        return [part]
    first, last = int(found[1]), int(found[2] or found[1])
    return list(range(first, last + 1)) if 0 <= last - first < MANY else [part]


def _number(value):
    """A float of a whole number, and of what YAML takes for a word: 1e-4."""
    if type(value) is int or (isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return value


def _plain(text: str):
    """What YAML takes a text for, if that is something JSON has too."""
    try:
        value = parse_data(text, "")
        json.dumps(value, allow_nan=False)
    except (TTOMError, TypeError, ValueError):
        return text
    return _number(value)


def option(default=dataclasses.MISSING, help: str = "", *, factory=dataclasses.MISSING, **said) -> Any:
    """A field that is an option as well, of the field's name unless another is said."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"option": {"help": help, **said}})


@cache
def options_of(kind: type) -> tuple[Option, ...]:
    """The options of a dataclass."""
    hints, found = get_type_hints(kind), []
    for field in dataclasses.fields(kind):
        if "option" not in field.metadata:
            continue
        hint = hints[field.name]
        optional = NoneType in get_args(hint)
        hint = get_args(hint)[0] if optional else hint  # int | None
        listed = get_origin(hint) is tuple
        of_field = {
            "name": field.name.replace("_", "-"), "of": kind, "field": field.name, "panel": kind.PANEL,
            "default": None if field.default is dataclasses.MISSING else field.default,
            "kind": get_args(hint)[0] if listed else hint, "listed": listed, "optional": optional,
        }  # fmt: skip
        found.append(Option(**(of_field | field.metadata["option"])))
    return tuple(found)


def fill(kind: type[Slice], given: dict) -> Slice:
    """A dataclass of the options that are given by name; those of others are left out. Raises TTOMError."""
    fields: dict = {}
    for option in options_of(kind):
        if option.name in given:
            fields |= option.fields(given[option.name])
    return kind(**fields)


class Checked:
    """A dataclass of which some fields are options: none is made of wrong values."""

    PANEL: ClassVar[str] = ""

    def __post_init__(self):
        for option in options_of(type(self)):
            if not option.into:
                object.__setattr__(self, option.field, option.read(getattr(self, option.field)))
