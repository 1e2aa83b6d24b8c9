"""How right a planner's layouts are, by the benchmarks' own metadata and by answers written beside prompts.

Reads a folder of T2V-CompBench's metadata (`motion_binding.json` and so on), VBench's list of prompts
(`VBench_full_info.json`), or a YAML file of prompts with their answers, such as `prompts.yaml` beside this module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import LayoutError, PlanningError, TTOMError
from ..files import read_data
from ..layout import Layout, Track
from ..layout.model import center, iou
from ..planning import Planner
from ..planning.check import check
from ..planning.rules.lexicon import singular
from .report import Row, Table

TIMES = (0.0, 0.5, 1.0)
OWN = Path(__file__).with_name("prompts.yaml")
GRADES = ("right", "partly", "unsure", "wrong", "nonsense")
APART = 0.1  # the most that VBench lets two boxes of a relation overlap, as IoU


@dataclass(frozen=True)
class Verdict:
    """How one prompt was planned: right; partly (with the rest said to be left alone); unsure (and said so);
    wrong; or nonsense: boxes of what is no object."""

    category: str
    prompt: str
    grade: str
    reason: str = ""
    silent: bool = False  # the planner told of no doubt


class Faults(Exception):
    """Why a layout is not right, and which grade that is."""

    def __init__(self, reason: str, grade: str = "wrong"):
        super().__init__(reason)
        self.grade = grade


def judge_path(path: Path, make: Callable[[Callable[[str], None]], Planner]) -> list[Verdict]:
    """A verdict for every prompt of a file, or of the files of a folder; `make` makes a planner that tells of doubts.

    Raises TTOMError where there is nothing to judge.
    """
    told: list[str] = []
    planner = make(told.append)
    verdicts = []
    for category, entry, judge in _entries(path):
        told.clear()
        try:
            prompt = entry.get("prompt") or entry["prompt_en"]
            verdicts.append(_judged(category, prompt, planner, lambda e=entry, j=judge, **k: j(e, **k), told))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else "it is built otherwise than those are"
            raise TTOMError(f"{path}, {category}: an entry is not as it must be: {reason}") from None
    if not verdicts:
        raise TTOMError(f"{path} holds none of {', '.join(f'{n}.json' for n in JUDGES)}, nor VBench's dimensions")
    return verdicts


def _entries(path: Path):
    """(category, entry, its judge) of every prompt in a file or a folder."""
    if path.is_dir():
        for found in (path / f"{name}.json" for name in JUDGES):
            yield from _entries(found) if found.is_file() else ()
        for found in sorted(path.glob("VBench*.json")):
            yield from _entries(found)
        return
    data = read_data(path)
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise TTOMError(f"{path} holds no list of prompts")
    for entry in data:
        if path.suffix.lower() in (".yaml", ".yml"):
            yield ("held out" if entry.get("held") else "as people write"), entry, judge_answer
        elif path.stem in JUDGES:
            yield path.stem, entry, JUDGES[path.stem]
        for dimension in entry.get("dimension", ()):
            if dimension in VBENCH:
                yield f"VBench {dimension}", entry, VBENCH[dimension]


def _judged(category: str, prompt: str, planner: Planner, judge, told: list[str]) -> Verdict:
    try:
        layout = check(planner.plan(prompt))[0]
    except LayoutError as error:
        return Verdict(category, prompt, "wrong", error.message)
    except PlanningError as error:
        return Verdict(category, prompt, "unsure", error.message)
    try:
        judge(layout=layout, told=bool(told))
    except Faults as fault:
        return Verdict(category, prompt, fault.grade, str(fault), silent=not told)
    return Verdict(category, prompt, "right", silent=not told)


def plans_table(verdicts: list[Verdict], planner: str) -> Table:
    """Each grade's share of the prompts of a category, and that of nonsense without a word of doubt ("silent")."""
    rows = []
    for category in dict.fromkeys(v.category for v in verdicts):
        own = [v for v in verdicts if v.category == category]
        grades = Counter(v.grade for v in own)
        shares = {grade: grades[grade] / len(own) for grade in GRADES}
        shares["silent"] = sum(v.grade == "nonsense" and v.silent for v in own) / len(own)
        rows.append(Row(category.replace("_", " "), {"prompts": len(own), **shares}))
    return Table("Plans", f"planner {planner}; {__doc__.splitlines()[0]}", rows)


def named(layout: Layout, name: str) -> list[Track]:
    """The tracks whose phrase holds all words of a name, its head noun in either number."""
    *words, head = _words(name)
    return [t for t in layout.objects if (own := _words(t.phrase)) and own[-1] == head and set(words) <= set(own)]


def _words(phrase: str) -> list[str]:
    """Its words without articles, the head noun (before any 'in', 'with' or 'of') last and in the singular."""
    phrase = re.sub(r"\b(?:piece|pack|pair|group) of ", "", phrase.lower())
    phrase, *more = re.split(r"\b(?:in|with|wearing|of|on)\b", phrase.lower().replace("-", " "))
    words = [w for part in (*more, phrase) for w in part.split() if w not in ("a", "an", "the")]
    return [*words[:-1], singular(words[-1])] if words else []


def judge_motion(entry: dict, layout: Layout, told: bool = False) -> None:
    for k in ("1", "2"):
        if name := entry[f"object_{k}"]:
            tracks, way = _found(layout, name), entry[f"d_{k}"]
            if not any(t.direction == way for t in tracks):
                raise Faults(f"{name!r} goes {tracks[0].direction}, not {way}")


def judge_numeracy(entry: dict, layout: Layout, told: bool = False) -> None:
    for name, number in zip(entry["objects"].split(","), entry["numbers"].split(","), strict=True):
        count = len(named(layout, name.strip()))
        if count != int(number):
            raise Faults(f"{count} tracks for {number} {name!r}")


def judge_spatial(entry: dict, layout: Layout, told: bool = False) -> None:
    _stand(layout, entry["object_1"], entry["spatial"], entry["object_2"])


def _stand(layout: Layout, one: str, relation: str, other: str, *, passing: bool = False) -> None:
    """A relation holds at all times; where one of two goes past the other (`passing`), at one of them."""
    a, b = _found(layout, one)[0], _found(layout, other)[0]
    boxes = [(a.box_at(t), b.box_at(t)) for t in TIMES]
    holds = [None not in pair and _holds(relation, *pair) for pair in boxes]
    if not (any(holds) if passing and a.direction != b.direction else all(holds)):
        raise Faults(f"at t={TIMES[holds.index(False)]:g} {one!r} is not {relation} {other!r}")


def _holds(relation: str, a, b) -> bool:
    """By centres, along the axis where they differ more; for depth the boxes must overlap, front lower."""
    dx, dy = (p - q for p, q in zip(center(a), center(b), strict=True))
    if relation in ("in front of", "behind"):
        return iou(a, b) > 0 and (a[3] > b[3] if relation == "in front of" else a[3] < b[3])
    if relation == "next to":
        return iou(a, b) < APART
    seen = ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else ("above" if dy < 0 else "below")
    return seen == {"on": "above", "under": "below"}.get(relation, relation.removesuffix(" of"))


def judge_phrases(entry: dict, layout: Layout, told: bool = False) -> None:
    """Of consistent attributes: a track of its own for each phrase."""
    _apart(layout, [phrase.strip() for phrase in entry["phrases"].split(";")])


def judge_actions(entry: dict, layout: Layout, told: bool = False) -> None:
    """A track of its own for who does each of two things, and the way that the words say."""
    names = [entry[k][0].rstrip("?") for k in ("phrase_0", "phrase_1")]
    _apart(layout, names)
    for name, phrase in zip(names, (entry["phrase_0"][1], entry["phrase_1"][1]), strict=True):
        way = re.search(r"\b(?:to the )?(left|right|upwards?|downwards?)\b(?! of)", phrase)
        if way and (goes := _found(layout, name)[0].direction) != way.group(1).removesuffix("s").removesuffix("ward"):
            raise Faults(f"{name!r} goes {goes}, not {way.group(1)}")


def judge_states(entry: dict, layout: Layout, told: bool = False) -> None:
    """Of dynamic attributes: a track for each thing whose first state the metadata have and the prompt names."""
    heads = [_words(part)[-1] for part in re.split(r"\band an?\b", entry["state 0"]) if _words(part)]
    spoken = {singular(w) for w in re.findall(r"[\w-]+", entry["prompt"].lower())}
    _apart(layout, [head for head in heads if head in spoken])


def judge_interaction(entry: dict, layout: Layout, told: bool = False) -> None:
    """There are no metadata: who acts comes first in these prompts, and has a track, as many as are said."""
    opening = re.sub(r"^(?:an?|the) (?:group of )?", "", entry["prompt"].lower())
    numbers = {"two": 2, "three": 3, "four": 4, "five": 5}
    first, _, rest = opening.partition(" ")
    count = numbers.get(first, 1)
    starts = rest if first in numbers else opening
    tracks = [t for t in layout.objects if starts.startswith(t.phrase.lower().removesuffix("'s"))]
    if len(tracks) < count:
        raise Faults(f"{len(tracks)} tracks of who begins {entry['prompt']!r}")


def judge_relation(entry: dict, layout: Layout, told: bool = False) -> None:
    """VBench's centre rule: apart along the relation's axis more than across, IoU below 0.1; and on the right side."""
    said = entry["auxiliary_info"]["spatial_relationship"]
    said = said.get("spatial_relationship", said)
    side = re.search("left|right|top|bottom", said["relationship"]).group()
    a, b = (_found(layout, said[k])[0] for k in ("object_a", "object_b"))
    for t in TIMES:
        if not _holds({"top": "above", "bottom": "below"}.get(side, side), a.box_at(t), b.box_at(t)):
            raise Faults(f"at t={t:g} {said['object_a']!r} is not {said['relationship']} {said['object_b']!r}")
        if iou(a.box_at(t), b.box_at(t)) >= APART:
            raise Faults(f"at t={t:g} the boxes overlap")


def judge_both(entry: dict, layout: Layout, told: bool = False) -> None:
    """VBench's multiple objects: a track of its own for each."""
    said = entry["auxiliary_info"]["multiple_objects"]["object"]
    _apart(layout, [name.strip() for name in said.split(" and ")])


def judge_answer(entry: dict, layout: Layout, told: bool = False) -> None:
    """By the answer beside a prompt; what is missing counts as partly right where the planner has said so."""
    if entry.get("unsure"):
        raise Faults(f"planned {[t.phrase for t in layout.objects]}", "nonsense")
    wanted = {name: _asked(said) for name, said in entry["objects"].items()}
    for track in layout.objects:
        heads = {_words(track.phrase)[-1], singular(track.phrase.lower().split()[-1])}  # "a row of cars"
        if not any(track in named(layout, name) for name in wanted) and heads.isdisjoint(
            map(singular, entry.get("may", ()))
        ):
            raise Faults(f"a box of {track.phrase!r}", "nonsense")
    missing = []
    for name, (count, way) in wanted.items():
        more = [n for n in wanted if n != name and n.endswith(f" {name}")]  # "red ball" is not "ball"
        tracks = [t for t in named(layout, name) if not any(t in named(layout, n) for n in more)]
        if not tracks:
            missing.append(name)
        elif count and len(tracks) != count:
            raise Faults(f"{len(tracks)} tracks for {count} {name!r}")
        elif way and any(t.direction != way for t in tracks):
            raise Faults(f"{name!r} goes {tracks[0].direction}, not {way}")
    for one, relation, other in entry.get("relations", ()):
        if named(layout, one) and named(layout, other):  # one of them may be scenery, without a box
            _stand(layout, one, relation, other, passing=True)
    if missing:
        raise Faults(f"no track for {missing}", "partly" if told else "wrong")


def _asked(said: str) -> tuple[int, str]:
    """'x2 left' -> (2, 'left')."""
    count = re.search(r"x(\d+)", said)
    way = re.search("left|right|up|down", said)
    return int(count.group(1)) if count else 0, way.group() if way else ""


def _found(layout: Layout, name: str) -> list[Track]:
    tracks = named(layout, name)
    if not tracks:
        raise Faults(f"no track for {name!r}")
    return tracks


def _apart(layout: Layout, names: list[str]) -> None:
    ids = [_found(layout, name)[0].id for name in names]
    if len(set(ids)) < len(ids):
        raise Faults(f"one track for {names}")


JUDGES: dict[str, Callable[..., None]] = {
    "motion_binding": judge_motion,
    "generative_numeracy": judge_numeracy,
    "spatial_relationships": judge_spatial,
    "consistent_attribute_binding": judge_phrases,
    "action_binding": judge_actions,
    "object_interactions": judge_interaction,
    "dynamic_attribute_binding": judge_states,
}
VBENCH: dict[str, Callable[..., None]] = {"spatial_relationship": judge_relation, "multiple_objects": judge_both}
