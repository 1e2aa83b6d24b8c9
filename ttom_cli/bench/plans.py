"""How right a planner's layouts are, by T2V-CompBench's own metadata.

Reads a folder of that benchmark's `motion_binding.json`, `generative_numeracy.json`,
`spatial_relationships.json` and `consistent_attribute_binding.json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import TTOMError
from ..files import read_data
from ..layout import Layout, Track
from ..layout.model import center, iou
from ..planning import Planner
from ..planning.check import check
from ..planning.rules.lexicon import singular
from .report import Row, Table

TIMES = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Verdict:
    """Whether one prompt was planned as its metadata says; `reason` is empty if so."""

    category: str
    prompt: str
    reason: str


def judge_folder(folder: Path, planner: Planner) -> list[Verdict]:
    """A verdict for every prompt of every category found. Raises TTOMError where the folder holds none."""
    verdicts = []
    for name, judge in JUDGES.items():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        for entry in read_data(path):
            try:
                reason = judge(entry, check(planner.plan(entry["prompt"]))[0])
            except TTOMError as error:
                reason = error.message
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise TTOMError(f"{path} is not T2V-CompBench's: an entry is malformed ({error!r})") from None
            verdicts.append(Verdict(name, entry["prompt"], reason))
    if not verdicts:
        raise TTOMError(f"{folder} holds none of {', '.join(f'{n}.json' for n in JUDGES)}")
    return verdicts


def plans_table(verdicts: list[Verdict], planner: str) -> Table:
    """The share of prompts of each category that are planned right."""
    rows = []
    for category in JUDGES:
        part = [v for v in verdicts if v.category == category]
        if part:
            right = sum(not v.reason for v in part)
            rows.append(
                Row(category.replace("_", " "), {"prompts": len(part), "planned": right, "right": right / len(part)})
            )
    return Table("Plans", f"T2V-CompBench's prompts, judged by its metadata; planner {planner}", rows)


def named(layout: Layout, name: str) -> list[Track]:
    """The tracks whose phrase holds all words of a name, its head noun in either number."""
    *words, head = _words(name)
    return [t for t in layout.objects if (own := _words(t.phrase)) and own[-1] == head and set(words) <= set(own)]


def _words(phrase: str) -> list[str]:
    """Its words without articles, the head noun (before any 'in', 'with' or 'of') last and in the singular."""
    phrase, *more = re.split(r"\b(?:in|with|wearing|of)\b", phrase.lower().replace("-", " "))
    words = [w for part in (*more, phrase) for w in part.split() if w not in ("a", "an", "the")]
    return [*words[:-1], singular(words[-1])] if words else []


def judge_motion(entry: dict, layout: Layout) -> str:
    for k in ("1", "2"):
        name, way = entry[f"object_{k}"], entry[f"d_{k}"]
        if not name:
            continue
        tracks = named(layout, name)
        if not tracks:
            return f"no track for {name!r}"
        if not any(t.direction == way for t in tracks):
            return f"{name!r} goes {tracks[0].direction}, not {way}"
    return ""


def judge_numeracy(entry: dict, layout: Layout) -> str:
    for name, number in zip(entry["objects"].split(","), entry["numbers"].split(","), strict=True):
        count = len(named(layout, name.strip()))
        if count != int(number):
            return f"{count} tracks for {number} {name!r}"
    return ""


def judge_spatial(entry: dict, layout: Layout) -> str:
    relation = entry["spatial"]
    pair = [named(layout, entry[k]) for k in ("object_1", "object_2")]
    for k, tracks in zip(("object_1", "object_2"), pair, strict=True):
        if not tracks:
            return f"no track for {entry[k]!r}"
    a, b = pair[0][0], pair[1][0]
    for t in TIMES:
        boxes = a.box_at(t), b.box_at(t)
        if None in boxes or not _holds(relation, *boxes):
            return f"at t={t:g} {entry['object_1']!r} is not {relation} {entry['object_2']!r}"
    return ""


def _holds(relation: str, a, b) -> bool:
    """By centres, along the axis where they differ more; for depth the boxes must overlap, front lower."""
    dx, dy = (p - q for p, q in zip(center(a), center(b), strict=True))
    if relation in ("in front of", "behind"):
        return iou(a, b) > 0 and (a[3] > b[3] if relation == "in front of" else a[3] < b[3])
    seen = ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else ("above" if dy < 0 else "below")
    return seen == {"on": "above", "under": "below"}.get(relation, relation)


def judge_consistent(entry: dict, layout: Layout) -> str:
    found = []
    for phrase in entry["phrases"].split(";"):
        tracks = named(layout, phrase.strip())
        if not tracks:
            return f"no track for {phrase.strip()!r}"
        found.append(tracks[0].id)
    return "" if len(set(found)) == len(found) else "one track for both phrases"


JUDGES: dict[str, Callable[[dict, Layout], str]] = {
    "motion_binding": judge_motion,
    "generative_numeracy": judge_numeracy,
    "spatial_relationships": judge_spatial,
    "consistent_attribute_binding": judge_consistent,
}
