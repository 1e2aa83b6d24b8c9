"""What of the bank comes near a scene, and why it is a hit or none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..errors import TTOMError
from ..layout import Layout
from ..text import counted
from .entry import SHA256, Entry
from .index import Index
from .keys import Match, key_text
from .signature import OPTION_OF

if TYPE_CHECKING:
    from .bank import MemoryBank

ANY = Match(-1, -1, -1)
SAID = {"scene": "the scenes", "objects": "the objects", "overlap": "the boxes"}


@dataclass(frozen=True)
class Candidate:
    """An entry beside a scene."""

    entry: Entry
    match: Match | None
    """None where there are not as many objects, so that none corresponds to another."""
    likeness: float
    """Of the scenes, and of objects and boxes where they are compared, and its trust: what the nearest are found by."""
    reasons: list[str]
    """Why it is no hit; none: it is one."""


def candidates(index: Index, layout: Layout, *, model: str, guide: dict, least: Match) -> list[Candidate]:
    """All entries, hits first, then those that miss the least; the first hit is the one that is taken."""
    found = []
    for group in index.groups():
        one = index.state.entries[group.ids[0]]
        misfits = [*_other_making(one, model, guide), *_other_motion(one, layout)]
        if len(one.motion) == len(layout.objects):
            for id, match in group.matches(layout, index.texts, ANY):
                reasons = [*misfits, *_below(match, least), *_failed(index.state.entries[id])]
                entry = index.state.entries[id]
                found.append(Candidate(entry, match, match.sum + entry.trust, reasons))
        else:
            cosines = group.cosines(key_text(layout), index.texts)
            found += [
                Candidate(index.state.entries[id], None, float(cosine), misfits)
                for id, cosine in zip(group.ids, cosines, strict=True)
            ]
    return sorted(found, key=lambda c: (c.match is None, len(c.reasons), -c.likeness))


def unusable(bank: MemoryBank, entry: Entry) -> str:
    """Why an entry that matches is not used all the same, or nothing."""
    try:
        entry.checked_layout()
        bank.load(entry)
    except TTOMError as error:
        return error.message
    return ""


def _failed(entry: Entry):
    if not entry.trusted:
        yield f"{entry.failed} of the {entry.passed + entry.failed} videos that it was used for failed their check"


def _other_making(entry: Entry, model: str, guide: dict):
    if entry.model != model:
        yield f"it was made for the model {entry.model}"
    names = sorted(name for name in entry.guide.keys() | guide.keys() if entry.guide.get(name) != guide.get(name))
    if names and entry.model == model:
        said = [(OPTION_OF.get(n, n.replace("_", "-")), _shown(entry.guide, n), _shown(guide, n)) for n in names]
        yield "it was made with " + "; ".join(f"{name} {its}, not {wanted}" for name, its, wanted in said)


def _shown(guide: dict, name: str) -> str:
    value = guide.get(name, "params" if name == "mode" else None)
    values = ["none"] if value is None else ["yes"] if value is True else value if isinstance(value, list) else [value]
    return ",".join(v[:12] if isinstance(v, str) and SHA256.fullmatch(v) else f"{v}" for v in values)


def _other_motion(entry: Entry, layout: Layout):
    if len(entry.motion) != len(layout.objects):
        yield f"it has {counted(len(entry.motion), 'object')}, not {len(layout.objects)}"
        return
    wanted, there = (Counter(way or "no one way" for way in ways) for ways in (_directions(layout), entry.motion))
    if wanted != there:
        more, less = (", ".join((a - b).elements()) for a, b in ((there, wanted), (wanted, there)))
        yield f"it has what moves {more}, in the place of what moves {less}"


def _directions(layout: Layout) -> list[str | None]:
    return [track.direction for track in layout.objects]


def _below(match: Match, least: Match):
    for field in fields(Match):
        value, wanted = getattr(match, field.name), getattr(least, field.name)
        if value < wanted:
            yield f"{SAID[field.name]} are alike by {value:.2f}, {wanted:.2f} is the least"
