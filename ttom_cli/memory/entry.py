"""One record of the bank, and the checks that it passes before anything believes it."""

from __future__ import annotations

import json
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property

from ..errors import BankError
from ..files import to_json
from ..layout import Keyframe, Layout, Track, layout_from_json
from ..options import shown
from ..text import plain

ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(\+\d\d:\d\d|Z)?")
MAX_TEXT = 8000  # characters of a prompt or a scene, as in a layout
MAX_LAYOUT = 2**18  # characters of its JSON
WAYS = ("right", "left", "up", "down", None)
BEFORE_LAYOUT = ', "layout": '  # in a record's line; no text within the JSON can look so, for its quotes
MAX_COUNT = 2**53
LEAST_TRUST = 0.3
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
    layout_json: str
    """The layout that it was optimised for, as JSON of one line: parsed, and checked, where it is used."""
    motion: list[str | None]
    """Which way each object moves: what a match begins with."""
    guide: dict
    """The guide's settings that shape the adapter and its use."""
    seed: int
    losses: list[float]
    """First and last loss of the optimisation."""
    consolidated: int = 0
    """Iterations of consolidation; 0: it holds for its own noise alone."""
    check: dict | None = None
    """Of the video that it was learnt on: passed, score and iou; None where nothing looked."""
    seconds: float = 0.0
    """What it took to make and learn, most of which a use saves; 0 where it is not known."""
    uses: int = 0
    """How many videos it was used for."""
    passed: int = 0
    failed: int = 0
    """Uses whose video passed its check, or failed it; where nothing looked, neither."""
    clock: int = 0
    """When it was made or last used, counted in what was made and used in the bank; 0 before it is in one."""
    updates: int = 0
    created: str = ""
    last_used: str = ""
    bytes: int = 0
    sha256: str = ""
    """Of the adapter's file, which is named by it."""

    @property
    def file(self) -> str:
        return f"adapters/{self.sha256}.safetensors"

    @property
    def trust(self) -> float:
        """The share of its uses that is expected to pass, 0 to 1; one half before the first (Laplace's rule)."""
        return (self.passed + 1) / (self.passed + self.failed + 2)

    @property
    def trusted(self) -> bool:
        """Whether it is still a hit: not after it failed twice, and more often than it passed by far."""
        return self.trust > LEAST_TRUST

    @cached_property
    def layout(self) -> dict:
        """Raises BankError for what is no JSON object."""
        try:
            value = json.loads(self.layout_json)
            to_json(value)  # has neither NaN nor infinities
            if isinstance(value, dict):
                return value
        except (ValueError, RecursionError):
            pass
        raise BankError(f"the layout of the entry {self.id} is damaged: it is no JSON object")

    def checked_layout(self) -> Layout:
        """Raises LayoutError, or BankError, for what is none."""
        return layout_from_json(self.layout, source=f"the layout of the entry {self.id}")

    def to_record(self, layout: bool = True) -> dict:
        """As it stands in the manifest, the layout last."""
        head = {name: getattr(self, name) for name in _CHECKS}
        return head | {"layout": self.layout} if layout else head

    def to_line(self) -> str:
        """The record as JSON of one line."""
        head = to_json(self.to_record(layout=False), ensure_ascii=False)
        return f"{head[:-1]}{BEFORE_LAYOUT}{self.layout_json}}}"


def to_tracks(layout: dict) -> list[Track]:
    """As much of a layout's objects as is compared. Raises ValueError, KeyError or TypeError for what is none."""
    if not 1 <= len(layout["objects"]) <= 16:
        raise ValueError("it has no objects, or too many")
    return [_track(item) for item in layout["objects"]]


def _track(item: dict) -> Track:
    phrase, frames = item["phrase"], []
    if type(phrase) is not str or not 1 <= len(phrase) <= 200 or not 1 <= len(item["boxes"]) <= 64:
        raise ValueError("an object has no phrase, or no boxes")
    for key in item["boxes"]:
        t, box = key["t"], key["box"]
        if not all(map(is_number, (t, *box))) or len(box) != 4 or (frames and t <= frames[-1].t):
            raise ValueError("a box is none")
        frames.append(Keyframe(t, tuple(box)))
    return Track(id="", phrase=phrase, word="", boxes=tuple(frames))


def to_entry(data, layout_json: str | None = None) -> Entry:
    """The entry of a record, whose layout may be apart from it, as text.

    Raises ValueError with what is wrong in it; fields that are not known are left out.
    """
    if not isinstance(data, dict):
        raise ValueError("it is no record")
    if layout_json is None:
        data = data | _from_layout(data.get("layout"))
    elif len(layout_json) > MAX_LAYOUT:
        raise ValueError("its layout is too large")
    else:
        data["layout_json"] = layout_json
    known = {"layout_json": data["layout_json"]}
    for name, check in _CHECKS.items():
        if name in data:
            known[name] = value = data[name]
            if not check(value):
                raise ValueError(f"its {name} is not what it must be: {plain(shown(value))}")
        elif name in _NEEDED:
            raise ValueError(f"it has no {name}")
    for name in ("model", "prompt", "scene"):
        known[name] = plain(known[name])
    return Entry(**known)


def mended(record) -> Entry | None:
    """The entry of a record whose faults are in what can be made up, or made of its layout; None for another."""
    if not isinstance(record, dict):
        return None
    sound = {name: value for name, value in record.items() if name in _NEEDED or _passes(name, value)}
    with suppress(ValueError, TypeError, RecursionError):
        return to_entry(sound | {"layout": record.get("layout")})
    return None


def _passes(name: str, value) -> bool:
    with suppress(TypeError):
        return name in _CHECKS and _CHECKS[name](value)
    return False


def _text(longest: int):
    return lambda value: type(value) is str and len(value) <= longest


def _count(most: int):
    return lambda value: type(value) is int and 0 <= value <= most


def _like(pattern: re.Pattern, empty: bool = False):
    return lambda value: type(value) is str and bool(pattern.fullmatch(value) or (empty and not value))


def is_number(value) -> bool:
    """A finite number, and no truth value."""
    return type(value) in (int, float) and -1e300 < value < 1e300  # NaN is not


def _losses(value) -> bool:
    return type(value) is list and 1 <= len(value) <= 64 and all(map(is_number, value))


def _plain_value(value) -> bool:
    if type(value) is list:
        return len(value) <= 1000 and all(type(v) is not list and _plain_value(v) for v in value)
    return value is None or type(value) is bool or is_number(value) or (type(value) is str and len(value) <= MAX_TEXT)


def _facts(value) -> bool:
    """Names with plain values, or lists of such."""
    return type(value) is dict and len(value) <= 64 and all(map(_plain_value, value.values()))


def _guide(value) -> bool:
    """Facts; most entries share few guides, so that the latest are known again."""
    if value in _GUIDES:
        return True
    if _facts(value):
        _GUIDES.append(value)
        return True
    return False


_GUIDES: deque[dict] = deque(maxlen=4)


def _check(value) -> bool:
    return value is None or (_facts(value) and type(value.get("passed", True)) is bool)


def _from_layout(layout) -> dict:
    """The fields that are made of a layout. Raises ValueError."""
    try:
        text, tracks = to_json(layout), to_tracks(layout)
        if len(text) > MAX_LAYOUT:
            raise ValueError("it is too large")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"its layout is none ({plain(str(error))[:80]})") from None
    return {"layout_json": text, "motion": [track.direction for track in tracks]}


def _motion(value) -> bool:
    return type(value) is list and 1 <= len(value) <= 16 and all(way in WAYS for way in value)


_CHECKS = {
    "id": _like(ID),
    "model": _text(4096),
    "prompt": _text(MAX_TEXT),
    "scene": _text(MAX_TEXT),
    "motion": _motion,
    "guide": _guide,
    "seed": lambda value: type(value) is int and -(2**63) <= value < 2**64,
    "losses": _losses,
    "consolidated": _count(MAX_COUNT),
    "check": _check,
    "seconds": lambda value: is_number(value) and value >= 0,
    "uses": _count(MAX_COUNT),
    "passed": _count(MAX_COUNT),
    "failed": _count(MAX_COUNT),
    "clock": _count(MAX_COUNT),
    "updates": _count(MAX_COUNT),
    "created": _like(TIME, empty=True),
    "last_used": _like(TIME, empty=True),
    "bytes": _count(MAX_BYTES),
    "sha256": _like(SHA256),
}
_NEEDED = ("id", "model", "prompt", "scene", "motion", "guide", "seed", "losses", "bytes", "sha256")
assert set(_CHECKS) == {f.name for f in fields(Entry)} - {"layout_json"}
