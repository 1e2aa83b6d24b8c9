"""Entries by what is known of them: those that are chosen, a page of them in some order, and those that go first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from math import inf
from pathlib import Path
from typing import ClassVar

from ..options import Checked, option
from .entry import Entry

DAY = timedelta(days=1)
SHORT = 8  # characters of an id, if they are enough
ORDERS = {
    "uses": lambda e: (-e.uses, e.created),
    "recent": lambda e: _backwards(e.last_used),
    "created": lambda e: _backwards(e.created),
    "loss": lambda e: e.losses[-1],
    "size": lambda e: -e.bytes,
    "model": lambda e: (e.model, -e.uses),
    "prompt": lambda e: e.prompt.casefold(),
}


@dataclass(frozen=True, kw_only=True)
class Choice(Checked):
    """Entries of which all that is said is true; nothing said chooses all."""

    PANEL: ClassVar[str] = "Which entries"

    text: str = option("", "Those with this in their prompt or scene, in any case.")
    model: str = option("", "Those made for this model.")
    checked: str = option(
        "", "Those whose video passed its check, failed it, or was not looked at: passed, failed or none.",
        choices=("passed", "failed", "none"),
    )  # fmt: skip
    max_uses: int | None = option(None, "Those used so many times at most.", least=0)
    idle: float | None = option(None, "Those not used for so many days.", least=0)

    @property
    def is_all(self) -> bool:
        return self == Choice()

    def of(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that are chosen, in their order."""
        return [entry for entry in entries if self._has(entry)]

    def _has(self, entry: Entry) -> bool:
        text = self.text.casefold()
        return (
            (text in entry.prompt.casefold() or text in entry.scene.casefold())
            and (not self.model or self.model in (entry.model, Path(entry.model).name))
            and (not self.checked or self.checked == seen(entry))
            and (self.max_uses is None or entry.uses <= self.max_uses)
            and (self.idle is None or age(entry.last_used) / DAY >= self.idle)
        )


@dataclass(frozen=True, kw_only=True)
class Page(Checked):
    """A part of a list."""

    PANEL: ClassVar[str] = "The list"

    sort: str = option("uses", f"What comes first: the most or latest of {', '.join(ORDERS)}.", choices=tuple(ORDERS))
    reverse: bool = option(False, "The other way round.")
    limit: int | None = option(None, "Entries a page; 50 without it, and all in JSON.", least=1)
    page: int = option(1, "Which page, from 1.", least=1)

    def of(self, entries: Iterable[Entry], limit: int) -> list[Entry]:
        """The entries of the page, which has `limit` of them where nothing else is said."""
        ordered = sorted(entries, key=ORDERS[self.sort], reverse=self.reverse)
        limit = self.limit or limit
        return ordered[(self.page - 1) * limit : self.page * limit]


def surplus(entries: Collection[Entry], count: float, size: float = inf) -> list[Entry]:
    """Those that are too many for so many entries, and so many bytes of adapters, in the order in which they go."""
    kept, used, going = len(entries), sum(entry.bytes for entry in entries), []
    if kept > count or used > size:
        for entry in by_value(entries):
            if kept <= count and used <= size:
                break
            going.append(entry)
            kept, used = kept - 1, used - entry.bytes
    return going


def by_value(entries: Iterable[Entry]) -> list[Entry]:
    """The least worth keeping first, the newest quarter last.

    Worth is how often an entry was of use (a use whose video failed its check is none), times the seconds that a use
    saves, over how much happened in the bank since. So frequency counts, as in the paper's LFU, but what was of use
    long ago goes in the end, and what is new has its time to be of use.
    """
    entries = sorted(entries, key=lambda e: e.created)
    now = max((e.clock for e in entries), default=0)
    new = {e.id for e in entries[len(entries) * 3 // 4 :]}

    def key(entry: Entry) -> tuple:
        of_use = 1 + max(entry.uses - entry.failed, 0)
        return entry.id in new, of_use * (entry.seconds or 1.0) / (1 + now - entry.clock), entry.last_used

    return sorted(entries, key=key)


def seen(entry: Entry) -> str:
    """What came of looking at the video that it was learnt on: passed, failed or none."""
    if not entry.check or "passed" not in entry.check:
        return "none"
    return "passed" if entry.check["passed"] else "failed"


def age(time: str) -> timedelta:
    """How long ago a time of an entry was; nothing for one that is not known."""
    now = datetime.now(timezone.utc)
    try:
        then = datetime.fromisoformat(time.replace("Z", "+00:00"))
    except ValueError:  # such as the 31st of February
        return timedelta(0)
    return now - (then if then.tzinfo else then.replace(tzinfo=timezone.utc))


def short_ids(wanted: Iterable[Entry], among: Iterable[Entry]) -> dict[str, str]:
    """The beginnings of ids by which they are told apart among all."""
    taken = {entry.id for entry in among}
    length = SHORT
    while len({id[:length] for id in taken}) < len(taken):
        length += 1
    return {entry.id: entry.id[:length] for entry in wanted}


def _backwards(time: str) -> tuple:
    """So that the later of two ISO times comes first."""
    return tuple(-ord(character) for character in time)
