"""What every layout goes through, whoever made it: safe repairs, then sense, then the prompt's words.

There are two registers. A fault is sure, and refuses the layout; a note is a repair or a suspicion, and is only said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..errors import LayoutError
from ..layout import Keyframe, Layout, Track
from ..layout.model import Box, area_in_frame, center, iou
from ..text import stands_in
from .certain import contradictions
from .rules import lexicon as lex
from .rules import read
from .rules.compose import STEPS
from .rules.nouns import Mention

COINCIDENT = 0.9  # IoU above which two boxes are one
TOP_SPEED = 4.0  # frame sides in a video's duration
ALONG = 0.05  # of the frame, the least movement that counts as one
LATE = rf"\b(?:appear|enter|arriv|emerg|join|com(?:es?|ing) in|pop|show(?:s|ing)? up|reveal)|\b(?:{lex.ENTERS})"
GONE = rf"\b(?:disappear|leav|exit|vanish|depart|{lex.LEAVES})"
# Words that may have two objects in one place: "a frog turns into a prince", "a man in armour".
ONE_PLACE = (
    r"\b(?:becom|transform|turn(?:s|ing)? into|morph|chang|melt|merg|wear|dress|inside|in (?:an?|the|his|her) |cover"
    r"|behind|in front of|through|reflect)"
)
SIDES = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def check(
    layout: Layout, source: str = "layout", *, whole: bool = False, trust: bool = False
) -> tuple[Layout, list[str]]:
    """The layout with what could safely be repaired, and a note for each repair and each suspicion.

    Faults are what cannot be meant, and what contradicts the prompt where that is read with certainty; with `trust`
    the contradictions are notes. What else the rules' grammar would have otherwise is a note, for English is more
    than it knows; `whole` has it look for all of the prompt, for a layout written by hand may leave objects free.
    Raises LayoutError.
    """
    notes: list[str] = []
    faults = list(_unnamed(layout))
    if not faults:
        layout = _with_names(layout, notes)
    english = lex.is_english(re.findall(r"[\w'-]+", layout.prompt.lower()))
    if english:
        layout = replace(layout, objects=tuple(_visible(track, layout, notes) for track in layout.objects))
    faults += _sense(layout, notes)
    certain = list(contradictions(layout if english else replace(layout, prompt=layout.text)))
    if english:
        notes += [f"perhaps {doubt}" for doubt in _suspicions(layout, whole) if doubt not in certain]
    if trust:
        notes += certain
    else:
        faults += certain
    if faults:
        hint = "--trust-layout takes it in spite of the prompt's words" if certain and not trust else ""
        raise LayoutError(faults, source, hint)
    return layout, notes


def _unnamed(layout: Layout) -> Iterator[str]:
    """Phrases that stand in the original prompt alone, where others stand in the enriched one alone."""
    strangers = [track for track in layout.objects if not stands_in(track.phrase, layout.prompt)]
    for track in layout.objects if strangers else ():
        if not any(stands_in(name, layout.text) for name in (track.phrase, track.word)):
            yield (
                f"object {track.phrase!r} stands in the prompt alone, and {strangers[0].phrase!r} "
                "in the enriched prompt alone: one of them must name both"
            )


def _with_names(layout: Layout, notes: list[str]) -> Layout:
    """Without its enriched prompt, where that does not name an object."""
    for track in layout.objects:
        if not any(stands_in(name, layout.text) for name in (track.phrase, track.word)):
            notes.append(f"the enriched prompt does not name {track.phrase!r}, and the prompt is used as it is")
            return replace(layout, enriched_prompt="")
    return layout


def _visible(track: Track, layout: Layout, notes: list[str]) -> Track:
    """In the frame from its first moment to its last, unless the prompt says that it comes or goes."""
    said, name = f"{layout.prompt} {layout.text}", f"object {track.phrase!r}"
    boxes = list(track.boxes)
    if not re.search(LATE, said, re.IGNORECASE):
        moved = _into_frame(boxes[0].box)
        if moved != boxes[0].box:
            notes.append(f"{name} began outside the frame, and was moved to its edge")
            boxes[0] = Keyframe(boxes[0].t, moved)
        if len(boxes) > 1 and boxes[0].t > 0:
            notes.append(f"{name} began at t={boxes[0].t:g}, and now stands there from t=0")
            boxes.insert(0, Keyframe(0.0, boxes[0].box))
    if len(boxes) > 1 and not re.search(GONE, said, re.IGNORECASE):
        moved = _into_frame(boxes[-1].box)
        if moved != boxes[-1].box:
            notes.append(f"{name} ended outside the frame, and was moved to its edge")
            boxes[-1] = Keyframe(boxes[-1].t, moved)
    if len(boxes) > 1 and boxes[-1].t < 1 and not re.search(GONE, said, re.IGNORECASE):
        notes.append(f"{name} ended at t={boxes[-1].t:g}, and now stands there to t=1")
        boxes.append(Keyframe(1.0, boxes[-1].box))
    return replace(track, boxes=tuple(boxes))


def _into_frame(box: Box) -> Box:
    """A box of which more than half is outside, shifted until its side lies on the frame's edge."""
    x0, y0, x1, y1 = box
    if area_in_frame(box) >= 0.5 * min(1.0, (x1 - x0) * (y1 - y0)):
        return box
    dx = -x0 if x0 < 0 else min(0.0, 1 - x1)
    dy = -y0 if y0 < 0 else min(0.0, 1 - y1)
    return tuple(round(v, 4) for v in (x0 + dx, y0 + dy, x1 + dx, y1 + dy))


def _sense(layout: Layout, notes: list[str]) -> Iterator[str]:
    """Leaps, and objects that stand in each other's place throughout; the latter is noted where it may be meant."""
    for track in layout.objects:
        for a, b in zip(track.boxes, track.boxes[1:], strict=False):
            (ax, ay), (bx, by) = center(a.box), center(b.box)
            far = max(abs(bx - ax), abs(by - ay))
            if far > ALONG and far > TOP_SPEED * (b.t - a.t):
                yield f"object {track.phrase!r} leaps {far:.2f} of the frame from t={a.t:g} to t={b.t:g}"
    for i, a in enumerate(layout.objects):
        for b in layout.objects[i + 1 :]:
            pairs = [(p, q) for t in (0.0, 0.5, 1.0) if (p := a.box_at(t)) and (q := b.box_at(t))]
            if pairs and all(iou(p, q) > COINCIDENT for p, q in pairs):
                fault = f"objects {a.id!r} and {b.id!r} have the same boxes throughout"
                if a.phrase != b.phrase and re.search(ONE_PLACE, f"{layout.prompt} {layout.text}", re.IGNORECASE):
                    notes.append(fault)
                else:
                    yield fault


# ---------------------------------------------------------------- what the rules' grammar suspects


def _suspicions(layout: Layout, whole: bool) -> list[str]:
    mentions = read(layout.prompt)[1]
    return [*disagreements(layout, mentions), *(left_out(layout, mentions) if whole else ())]


def disagreements(layout: Layout, mentions: list[Mention]):
    """Where the boxes say otherwise than the prompt's counts, directions and relations."""
    found = {id(m): [t for t in layout.objects if _mention_of(t, mentions) is m] for m in mentions}
    for mention in mentions:
        tracks = found[id(mention)]
        if tracks and mention.exact and mention.count > 1 and len(tracks) != mention.count:
            yield f"the prompt has {mention.count} {mention.phrase!r}, and the layout {len(tracks)}"
        for track in tracks:
            yield from _wrong_way(track, mention)
            yield from _wrong_side(track, mention, mentions, found)


def left_out(layout: Layout, mentions: list[Mention]):
    """Objects of the prompt that the enriched prompt no longer names, or that move or are many without a box."""
    text = {lex.singular(w) for w in re.findall(r"[\w'-]+", layout.text.lower())}
    heads = {_head(track.phrase) for track in layout.objects}
    for mention in mentions:
        head = _head(mention.phrase)
        colors = lex.COLORS.intersection(mention.phrase.lower().split())
        if head not in text or not colors <= text:
            yield f"the enriched prompt leaves out {mention.phrase!r}"
        elif head not in heads and (mention.wish.direction or mention.count > 1):
            yield f"no object is {mention.phrase!r}"


def _wrong_way(track: Track, mention: Mention):
    way = mention.wish.direction
    if not way:
        return
    (x, y), (dx, dy) = center(track.boxes[0].box), STEPS[way]
    # What turns round later goes the first way in between.
    ways = [(u - x) * dx + (v - y) * dy for u, v in (center(k.box) for k in track.boxes)]
    along = max(ways) if mention.wish.then else ways[-1]
    if along < -ALONG or (along < ALONG and mention.moving):
        does = f"goes {track.direction}" if track.direction else "stands still"
        yield f"object {track.phrase!r} {does}, and the prompt says {way}"


def _wrong_side(track: Track, mention: Mention, mentions: list[Mention], found: dict):
    """Relations that the first frame breaks; of depth and nearness boxes say too little."""
    box = track.box_at(0.0)
    others = [(relation, t) for relation, k in mention.wish.relations for t in found.get(id(mentions[k]), ())]
    seen = [(relation, t, t.box_at(0.0)) for relation, t in others if t is not track]
    if not box:
        return
    for relation, other, theirs in seen:
        if not theirs:
            continue
        if relation in SIDES:
            apart = (p - q for p, q in zip(center(box), center(theirs), strict=True))
            wrong = sum(d * s for d, s in zip(apart, SIDES[relation], strict=True)) <= 0
        else:
            wrong = relation == "inside" and iou(box, theirs) == 0
        if wrong:
            yield f"object {track.phrase!r} is not {relation} {other.phrase!r}, as the prompt says"
    ends = [center(theirs) for relation, _, theirs in seen if relation == "between" and theirs]
    if len(ends) > 1 and not any(
        min(axis) < p < max(axis) for p, axis in zip(center(box), zip(*ends, strict=True), strict=True)
    ):
        yield f"object {track.phrase!r} is not between the others, as the prompt says"


def _mention_of(track: Track, mentions: list[Mention]) -> Mention | None:
    """The noun phrase of the prompt that a track is of: the same head noun, most words in common."""
    words = _words(track.phrase)
    alike = [m for m in mentions if _head(m.phrase) == _head(track.phrase)]
    scored = sorted(((len(words & _words(m.phrase)), -i, m) for i, m in enumerate(alike)), reverse=True)
    if not scored or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        return None
    return scored[0][2]


def _words(phrase: str) -> set[str]:
    return {lex.singular(w) for w in phrase.lower().split()}


def _head(phrase: str) -> str:
    """The head noun, before any 'in', 'with', 'wearing' or 'of', in the singular."""
    plain = re.split(r" (?:in|with|wearing|of) ", phrase.lower())[0]
    return lex.singular(plain.split()[-1])
