"""One record of the bank, and the checks that it passes before anything believes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from ..files import to_json
from ..text import plain

ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(\+\d\d:\d\d|Z)?")
MAX_TEXT = 4000  # characters of a prompt or a scene, as in a layout
MAX_LAYOUT = 2**17  # characters of its JSON
MAX_COUNT = 2**53
MAX_BYTES = 2**31  # of an adapter: twenty times that of a model of 14 B parameters


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored adapter and all that is known of it."""

    id: str
    model: str
    """Name or path of the model that it was made for."""
    prompt: str
    scene: str
    """The abstracted scene whose embedding is the key."""
    layout: dict
    """The layout that it was optimised for, as JSON."""
    guide: dict
    """The guide's settings that shape the adapter and its use."""
    seed: int
    losses: list[float]
    """First and last loss of the optimisation."""
    consolidated: int = 0
    """Iterations of consolidation; 0: it holds for its own noise alone."""
    check: dict | None = None
    """Of the video that it was learnt on: passed, score and iou; None where nothing looked."""
    uses: int = 0
    """How often it was recalled; the least used is evicted first."""
    updates: int = 0
    created: str = ""
    last_used: str = ""
    bytes: int = 0
    sha256: str = ""
    """Of the adapter's file, which is named by it."""

    @property
    def file(self) -> str:
        return f"adapters/{self.sha256}.safetensors"


def to_entry(data) -> Entry:
    """The entry of a record. Raises ValueError with what is wrong in it; fields that are not known are left out."""
    if not isinstance(data, dict):
        raise ValueError("it is no record")
    known = {name: data[name] for name in _CHECKS if name in data}
    missing = [name for name in _NEEDED if name not in known]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    for name, value in known.items():
        if not _CHECKS[name](value):
            raise ValueError(f"its {name} is not what it must be: {plain(repr(value)[:60])}")
    known |= {name: plain(known[name]) for name in ("model", "prompt", "scene")}
    return Entry(**known)


def _text(longest: int):
    return lambda value: type(value) is str and len(value) <= longest


def _count(most: int):
    return lambda value: type(value) is int and 0 <= value <= most


def _like(pattern: re.Pattern, empty: bool = False):
    return lambda value: type(value) is str and bool(pattern.fullmatch(value) or (empty and not value))


def is_number(value) -> bool:
    """A finite number, and no truth value."""
    return type(value) in (int, float) and abs(value) < 1e300  # NaN is not


def _losses(value) -> bool:
    return type(value) is list and 1 <= len(value) <= 64 and all(map(is_number, value))


def _plain_value(value) -> bool:
    if type(value) is list:
        return len(value) <= 1000 and all(type(v) is not list and _plain_value(v) for v in value)
    return value is None or type(value) is bool or is_number(value) or (type(value) is str and len(value) <= MAX_TEXT)


def _facts(value) -> bool:
    """Names with plain values, or lists of such."""
    return type(value) is dict and len(value) <= 64 and all(map(_plain_value, value.values()))


def _check(value) -> bool:
    return value is None or (_facts(value) and type(value.get("passed", True)) is bool)


def _layout(value) -> bool:
    """JSON of a bounded size; whether it is a layout is checked where it is used."""
    try:
        return type(value) is dict and len(to_json(value)) <= MAX_LAYOUT
    except (ValueError, RecursionError):
        return False


_CHECKS = {
    "id": _like(ID),
    "model": _text(4096),
    "prompt": _text(MAX_TEXT),
    "scene": _text(MAX_TEXT),
    "layout": _layout,
    "guide": _facts,
    "seed": lambda value: type(value) is int and -(2**63) <= value < 2**64,
    "losses": _losses,
    "consolidated": _count(MAX_COUNT),
    "check": _check,
    "uses": _count(MAX_COUNT),
    "updates": _count(MAX_COUNT),
    "created": _like(TIME, empty=True),
    "last_used": _like(TIME, empty=True),
    "bytes": _count(MAX_BYTES),
    "sha256": _like(SHA256),
}
_NEEDED = ("id", "model", "prompt", "scene", "layout", "guide", "seed", "losses", "bytes", "sha256")
assert set(_CHECKS) == {f.name for f in fields(Entry)}
