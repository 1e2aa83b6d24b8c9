"""What a prompt says with certainty of a layout's objects, and where the boxes contradict it.

This reads little, and that strictly: "a red ball rolls left", "three dogs", "a cup to the left of a plate", each
plainly about an object of the layout. What it does not read it says nothing of, for to refuse a right layout is
worse than to pass a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from ..layout import Layout, Track
from ..layout.model import Box, center, iou
from ..text import fold
from .plainly import (
    AXES,
    BETWEEN,
    CAMERA_MOVES,
    COLORS_AND_SIZES,
    CONDITIONAL,
    COUNT_CHANGES,
    DEFINITE,
    DETERMINERS,
    DOING,
    GROUPED,
    INDEFINITE,
    LEAVES_OPEN,
    LED_IN,
    LINK,
    MASS,
    MIRRORED,
    NO_NAME,
    NUMBERS,
    PARTS,
    PLACES,
    PLACING,
    POSTMODIFIER,
    RELATIONS,
    SIDED,
    STATES,
    VAGUELY,
    VERBS,
    WHERE_IT_IS,
    read_motion,
)

STILL = 0.05  # of the frame, the least movement that counts as one
WIDE = 0.6  # of the frame: what is as wide may move within its box
SIDES = {"left of": "left", "right of": "right", "above": "up", "over": "up", "below": "down", "under": "down"}
MANY = 6  # of more, one box may stand for all
DEEP = 0.1  # by which centres of boxes that overlap must be wrong


@dataclass
class Named:
    """A noun of the prompt, and the layout's objects that bear its name; positions are characters."""

    start: int  # of its article or number
    first: int  # of its first word behind that
    end: int
    noun: str
    article: str
    number: int | None
    words: frozenset[str]  # those before the noun
    tracks: list[Track] = field(default_factory=list)

    @property
    def many(self) -> bool:
        return _is_plural(self.noun)


def contradictions(layout: Layout) -> Iterator[str]:
    """One line for each thing that the prompt says plainly of an object and its boxes do not do."""
    text = fold(layout.prompt or layout.text).lower()
    found = {track.id: _names(text, track) for track in layout.objects}
    yield from _wrong_counts(text, layout, found)
    named: dict[int, Named] = {}
    for track in layout.objects:
        if one := _sure(found[track.id], track):
            named.setdefault(one.first, one).tracks.append(track)
    if not re.search(MIRRORED, text):
        if not re.search(CAMERA_MOVES, text):
            yield from _wrong_ways(text, list(named.values()))
        yield from _wrong_sides(text, list(named.values()))


# ---------------------------------------------------------------- names


def _names(text: str, track: Track) -> list[Named]:
    """The places of the text that may speak of a track: its head noun, with no word before it that is not its own."""
    phrase, (noun, own) = fold(track.phrase).lower(), _core(track.phrase)
    found = []
    for match in re.finditer(r"[^\W_]+(?:[-'][^\W_]+)*", text):
        if not noun or not _same_noun(match.group(), noun) or text[match.end() : match.end() + 1] in ("'", "-"):
            continue
        one = _named(text, *match.span(), own)
        if one.words <= own or own <= one.words:
            whole = re.search(rf"\b{noun}\b.*", phrase)  # with its "in a red dress"
            if whole and text.startswith(whole.group(), match.start()):
                one.end = match.start() + len(whole.group())
            found.append(one)
    return found


def _core(phrase: str) -> tuple[str, frozenset[str]]:
    """The head noun of a phrase, before any "in" or "wearing", and the words before it; "" where that is unsure."""
    words = re.split(POSTMODIFIER, fold(phrase).lower())[0].split()
    words = [w for i, w in enumerate(words) if w not in DETERMINERS and (i or w not in NUMBERS)]
    if not words or any(w.endswith("ing") for w in words[1:]) or not re.fullmatch(r"[a-z][a-z'-]*", words[-1]):
        return "", frozenset()
    return words[-1], frozenset(words[:-1])


def _named(text: str, start: int, end: int, own: frozenset[str]) -> Named:
    """The noun at (start, end) with up to four words before it, and the article or number before those."""
    noun, words, first, article, number = text[start:end], [], start, "", None
    while before := re.search(r"([\w'-]+) $", text[:first]):
        word = before.group(1)
        if word in NUMBERS or word.isdecimal():
            number = NUMBERS.get(word) or int(word[:4])
            start = before.start()
            before = re.search(r"([\w'-]+) $", text[:start])
            word = before.group(1) if before else ""
        if word in DETERMINERS:
            article, start = word, before.start()
        if number is not None or article or (word in NO_NAME and word not in own) or len(words) == 4:
            break
        words.append(word)
        first = start = before.start()
    return Named(start, first, end, noun, article, number, frozenset(words))


def _sure(found: list[Named], track: Track) -> Named | None:
    """The one place that speaks of a track; None where there are several, or what stands there is unclear."""
    own = _core(track.phrase)[1]
    exact = found if len(found) == 1 else [one for one in found if one.words == own]
    if len(exact) != 1:
        return None
    one = exact[0]
    if len(found) > 1 and any(other.article not in INDEFINITE and other.number is None for other in found):
        return None  # "a red ball rolls left, and the ball falls"
    odd = any(re.search("(?:s|ed|ing)$", word) for word in one.words - own)  # "the man kicks balls"
    single = one.article in INDEFINITE
    return None if (single and one.many) or (odd and (not single or one.noun in SAME)) else one


def _is_plural(noun: str) -> bool:
    return noun in PLURALS or (noun.endswith("s") and not re.search("(?:ss|us|is)$", noun))


PLURALS = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "oxen": "ox",
}  # fmt: skip
SAME = frozenset("sheep fish deer".split())  # in both numbers


def _same_noun(a: str, b: str) -> bool:
    """In either number."""
    return a == b or bool(_singulars(a) & _singulars(b))


@cache
def _singulars(noun: str) -> frozenset[str]:
    """What a noun may be in the singular, itself among them: "boxes" that of "boxe" and of "box"."""
    forms = {noun, PLURALS.get(noun, noun)}
    for ending, single in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        if noun.endswith(ending) and not re.search("(?:ss|us|is)$", noun):
            forms.add(noun[: -len(ending)] + single)
    for one in [form for form in forms if re.search("wom[ae]n$|m[ae]n$", form)]:
        forms.add(one[:-2] + "an")  # "firemen"
    return frozenset(forms)


# ---------------------------------------------------------------- counts


def _wrong_counts(text: str, layout: Layout, found: dict[str, list[Named]]) -> Iterator[str]:
    """A number directly before a noun, against the tracks that bear its name."""
    if re.search(COUNT_CHANGES, text):
        return
    counted: dict[int, tuple[Named, list[Track]]] = {}
    for track in layout.objects:
        numbered = [one for one in found[track.id] if one.number is not None]
        others = [one for one in found[track.id] if one.number is None and one.article not in DEFINITE]
        if len(numbered) == 1 and not others and _is_count(text, numbered[0], track):
            counted.setdefault(numbered[0].first, (numbered[0], []))[1].append(track)
    strangers = [t for t in layout.objects if not found[t.id]]  # perhaps some of them, by another name
    for one, tracks in counted.values():
        grouped = one.number > MANY and len(tracks) == 1
        if len(tracks) == one.number or grouped or (len(tracks) < one.number and strangers):
            continue
        yield f"the prompt has {one.number} {tracks[0].phrase!r}, and the layout {len(tracks)}"


def _is_count(text: str, one: Named, track: Track) -> bool:
    """Whether the number before a noun says how many there are of it: not "24 year old", nor "two or three"."""
    if not 1 <= one.number <= 12 or ((one.number > 1) is not one.many and one.noun not in SAME):
        return False
    if not one.words <= _core(track.phrase)[1] | COLORS_AND_SIZES or _singulars(one.noun) & (PARTS | GROUPED):
        return False
    sentence, start = _sentence(text, one.start)
    return not re.search(VAGUELY, sentence[: one.start - start]) and not re.search(CONDITIONAL, sentence)


# ---------------------------------------------------------------- directions


def _wrong_ways(text: str, named: list[Named]) -> Iterator[str]:
    """A verb of motion and a direction right behind an object's name."""
    alone = not re.search(LEAVES_OPEN, text)
    for one in named:
        if not _is_subject(text, one):
            continue
        sentence, start = _sentence(text, one.start)
        if re.search(CONDITIONAL, sentence):
            continue
        ways, moving = read_motion(sentence[one.end - start :])
        for way in ways:
            against = list(_against(way, one, moving=moving, alone=alone))
            if one.many or len(against) == len(one.tracks):  # "one bird flies left, another right"
                yield from against


def _against(way: str, one: Named, *, moving: bool, alone: bool) -> Iterator[str]:
    """Tracks that never go a way, or, where nothing else is said of them, end on the other side of their start."""
    axis, sign = AXES[way]
    for track in one.tracks:
        boxes = [key.box for key in track.boxes]
        along = max((_gone(p, q, axis, sign) for i, p in enumerate(boxes) for q in boxes[i + 1 :]), default=0.0)
        back = max(sign * (center(boxes[0])[axis] - center(box)[axis]) for box in boxes)
        total = _gone(boxes[0], boxes[-1], axis, sign)
        stays = along < STILL and not MASS & _singulars(one.noun) and all(b[axis + 2] - b[axis] < WIDE for b in boxes)
        if (along < STILL < back) or (moving and stays) or (alone and total < -STILL):
            does = f"goes {track.direction}" if track.direction else "stands still"
            yield f"object {track.phrase!r} {does}, and the prompt says {way}"


def _gone(a: Box, b: Box, axis: int, sign: int) -> float:
    """How far a box has gone along, by its middle or the side that went farthest."""
    moves = [b[k] - a[k] for k in (axis, axis + 2)]
    return max(sign * move for move in (*moves, sum(moves) / 2))


# ---------------------------------------------------------------- relations


def _wrong_sides(text: str, named: list[Named]) -> Iterator[str]:
    """Relations between two objects that the boxes never have."""
    at = {one.first: one for one in named}
    for pattern, relation in RELATIONS.items():
        for match in re.finditer(rf"\b(?:{pattern}) {LINK}", text):
            other = at.get(match.end())
            if other and not (relation in ("left of", "right of") and SIDED & _singulars(other.noun)):
                for one in _related(text, match, other, named):
                    yield from _apart(relation, one, other)
    for match in re.finditer(BETWEEN, text):
        first = at.get(match.end())
        joint = re.match(rf" and {LINK}", text[first.end :]) if first else None
        last = at.get(first.end + joint.end()) if joint else None
        ends = [t for end in (first, last) if end for t in end.tracks]
        for one in _related(text, match, first, named) if len(ends) == 2 else ():
            yield from _outside(one, ends)
    yield from _wrong_places(text, named)


def _related(text: str, match: re.Match, other: Named, named: list[Named]) -> Iterator[Named]:
    """What a relation before `other` is said of: "a cup (stands) left of a plate", "left of a plate is a cup"."""
    sentence, start = _sentence(text, match.start())
    if re.search(CONDITIONAL, sentence):
        return
    for one in named:
        if one is other:
            continue
        verb = text[one.end : match.start()]
        moved = not verb.strip() and re.search(PLACING, sentence[: max(0, one.start - start)])
        if (re.fullmatch(STATES, verb) or _does_so(verb, match.group())) and _is_subject(text, one) and not moved:
            yield one
        begins = not sentence[: match.start() - start].strip() or re.search(r"[,:] $", text[: match.start()])
        verb = text[other.end : one.start]
        if begins and re.fullmatch(rf",?{STATES}", verb) and re.search(r"\b(?:is|are|\w+s|stand|sit|hang|lie)\b", verb):
            yield one


def _does_so(between: str, relation: str) -> bool:
    """Whether the words before a relation say what is done there: " running " before "on the left of a bicycle"."""
    doing = re.fullmatch(DOING, between)
    return bool(
        doing
        and re.match(WHERE_IT_IS, relation)
        and (doing["verb"] in VERBS or re.search("(?:ing|ed)$", doing["verb"]))
    )


def _apart(relation: str, one: Named, other: Named) -> Iterator[str]:
    for a in one.tracks:
        for b in other.tracks:
            pairs = [(p, q) for t in (0.0, 0.5, 1.0) if (p := a.box_at(t)) and (q := b.box_at(t))]
            if a is not b and pairs and not any(_holds(relation, p, q) for p, q in pairs):
                yield f"object {a.phrase!r} is not {relation} {b.phrase!r}, as the prompt says"


def _holds(relation: str, a: Box, b: Box) -> bool:
    """Whether one box may be so to another; by centres, with more room where they overlap."""
    overlap = iou(a, b) > 0
    if relation == "inside":
        return overlap
    if relation in ("over", "under") and overlap:
        return True  # "a cat under a blanket"
    axis, sign = AXES[SIDES[relation]]
    return sign * (center(a)[axis] - center(b)[axis]) > (-DEEP if overlap else 0)


def _outside(one: Named, ends: list[Track]) -> Iterator[str]:
    for track in one.tracks:
        boxes = [found for t in (0.0, 0.5, 1.0) if None not in (found := [a.box_at(t) for a in (track, *ends)])]
        if boxes and not any(_is_between(*map(center, found)) for found in boxes):
            yield f"object {track.phrase!r} is not between the others, as the prompt says"


def _is_between(point, a, b) -> bool:
    return any(min(p, q) < x < max(p, q) for x, p, q in zip(point, a, b, strict=True))


def _wrong_places(text: str, named: list[Named]) -> Iterator[str]:
    """ "A dog on the left and a cat on the right", the other way round."""
    placed, last = [], -1
    for one in sorted(named, key=lambda one: one.start):
        match = re.match(PLACES, text[one.end :])
        listed = last >= 0 and re.fullmatch(r",? (?:and |while )?", text[last : one.start])
        if match and (listed or _is_subject(text, one)) and not re.search(CONDITIONAL, _sentence(text, one.start)[0]):
            placed.append((next(way for way, found in match.groupdict().items() if found), one))
            last = one.end + match.end()
    for way, relation, opposite in (("left", "left of", "right"), ("top", "above", "bottom")):
        for side, one in placed:
            for other_side, other in placed:
                if (side, other_side) == (way, opposite):
                    yield from _apart(relation, one, other)


# ---------------------------------------------------------------- clauses


def _sentence(text: str, at: int) -> tuple[str, int]:
    """The sentence around a position, and where it begins."""
    start = max((m.end() for m in re.finditer(r"[.;!?]+ ", text[:at])), default=0)
    end = re.search(r"[.;!?]+(?: |$)", text[at:])
    return text[start : at + end.end() if end else len(text)], start


def _is_subject(text: str, one: Named) -> bool:
    """Whether a noun begins a clause, so that what follows is said of it and of nothing before it."""
    sentence, start = _sentence(text, one.start)
    before = sentence[: one.start - start]
    if re.fullmatch(LED_IN, before):
        return True
    joint = re.fullmatch(r"(?P<clause>.*)\b(?:and|,) ", before)
    if not joint:
        return False
    clause = re.split(r"[,:] |\b(?:while|as|whereas) ", joint["clause"])[-1]
    words = re.findall(r"[\w'-]+", clause)
    verbs = [word for word in words if word in VERBS]
    if not {"who", "that", "which"}.isdisjoint(words):
        return False
    if any(not verb.endswith("ing") for verb in verbs):
        return True
    if verbs:  # "a ball rolling left and a cube rolling right"
        return bool(re.match(r"(?: \w+ly)? \w+ing\b", text[one.end :]))
    return len(words) <= 5 and not any(word in NO_NAME for word in words)
