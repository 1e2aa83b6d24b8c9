"""What the words around an object wish of it: places, directions, paths, sizes."""

from __future__ import annotations

import re

from . import lexicon as lex
from .nouns import Mention
from .wishes import EDGES, OPPOSITE, Wish

_THEN = re.compile(rf" then | and (?=(?:{'|'.join(lex.MOVING)})\b)")  # before what is done next
_BACK = r"\b(?:back|returns?|returning)\b"
# "one left, one right" are places, unless all of them move; "one up, the other down" are ways.
_BARE = (
    r"\W*(?:(?:stands?|sits?|lies|is|are|rests?|waits?|stays?) )?"
    r"(?:(?:straight )?(?:up|down)(?:wards?)?|(?P<side>left|right))\W*(?:(?:and|while)\W*)?(?:(?:an?|the) )?"
)


def read_said(said: str, mention: Mention) -> None:
    """Set what `said` asks of an object, where nothing before it did."""
    wish = mention.wish
    said = lex.pattern(rf"\b{lex.LOOKING} (?:to|towards?) the (?:left|right)\b|{lex.PHRASAL}").sub(" ", said)
    said, *later = _THEN.split(said)
    _read_crossings(said, wish)
    said = re.sub(rf"\b(?:{lex.ENTERS}|{lex.LEAVES})", " ", said)
    read_places(said, wish)
    for adverbs, height in ((lex.ABOVE, 0.2), (lex.BELOW, 0.8)):
        if lex.search(rf"\b(?:{adverbs})(?= *(?:[,.;:]|(?:and|while|as)\b))", said):
            wish.start = wish.start or (None, height)
    verbs = [w for w in re.findall(r"[\w-]+", said) if lex.moves(w)]
    if not verbs and (bare := lex.fullmatch(_BARE, said)):
        if bare["side"] and not (mention.of and mention.of.moving):
            wish.start = wish.start or lex.PLACES[bare["side"]]
        elif mention.of:
            verbs = ["move"]
    mention.moving = mention.moving or bool(verbs)
    mention.going = mention.going or not lex.STAYING.issuperset(verbs)
    _read_ways(said, later, verbs, wish)
    _read_curves(said, wish, going=not lex.SPINNING.issuperset(verbs))
    for pair, pattern in lex.PAIRS.items():
        found = lex.search(rf"\b(?:{pattern})", said)
        if found and (verbs or pair == "swap" or found.group()[:4] in ("meet", "coll")):
            wish.pair = wish.pair or pair
            break
    wish.row = wish.row or bool(lex.search(rf"\b(?:{lex.IN_A_ROW})\b", said))


def _read_ways(said: str, later: list[str], verbs: list[str], wish: Wish) -> None:
    """Directions: the first, a second at the same time ("up and to the left"), and those after it."""
    to_and_fro = next((ways for p, ways in lex.UP_AND_DOWN.items() if lex.search(rf"\b(?:{p})\b", said)), None)
    diagonal = lex.search(rf"\b(?:{lex.DIAGONAL})\b", said)
    if to_and_fro and verbs and not wish.direction:
        wish.direction, wish.then = to_and_fro[0], to_and_fro[1:]
    elif diagonal and verbs and not wish.direction:
        axes = ("left", "right"), ("up", "down")
        wish.direction, wish.drift = (next(w for w in ways if w in diagonal.group()) for ways in axes)
    corner = lex.search(rf"\b{lex.CORNERS}\b", said)
    if corner and verbs and not (wish.direction or wish.start):
        up = lex.search("upper|top", corner.group())
        wish.direction, wish.drift, wish.end = corner.group().split("-")[-1].split()[-1], "up" if up else "down", None
    if wish.leaves and any(lex.search(_BACK, part) for part in later):
        wish.then, wish.leaves = (OPPOSITE[wish.direction],) if wish.direction else (), None
    if wish.direction:
        return
    ways: list[str] = []
    for part in (said, *later):
        verbs = [w for w in re.findall(r"[\w-]+", part) if lex.moves(w)] or verbs
        back = ways and lex.search(_BACK, part)
        way = OPPOSITE[ways[-1]] if back else _direction(part, verbs)
        ways += [way] if way and way not in ways[-1:] else []
    wish.direction, wish.then = (ways[0], tuple(ways[1:])) if ways else (None, ())


def _direction(said: str, verbs) -> str | None:
    """The direction of motion; `verbs` are those of motion that it may go with."""
    for direction, pattern in lex.DIRECTION_PHRASES.items():
        found = lex.search(rf"\b(?:{pattern})\b", said)
        if found and (verbs or found.group() not in ("up", "down")):  # not "sits down"
            return direction
    if not verbs:
        return None
    bare = [d for d, p in lex.BARE.items() if lex.search(rf"\b(?<!the )(?:{p})\b", said)]
    words = {*re.findall(r"[\w-]+", said)}.intersection(verbs)
    rises = [d for d, group in (("up", lex.RISING), ("down", lex.FALLING)) if not group.isdisjoint(words)]
    return next(iter(bare + rises), None)


def _read_crossings(said: str, wish: Wish) -> None:
    """By which side it comes into the frame and goes out of it, and which way that is."""
    for pattern, name in ((lex.ENTERS, "enters"), (lex.LEAVES, "leaves")):
        if found := lex.search(rf"\b(?:{pattern})", said):
            side = lex.search(rf"\b({'|'.join(EDGES)})\b", found.group())
            setattr(wish, name, EDGES[side.group()] if side else "somewhere")
    if wish.enters in OPPOSITE:
        wish.direction = wish.direction or OPPOSITE[wish.enters]
    if wish.leaves in OPPOSITE:
        if wish.direction and wish.direction != wish.leaves:
            wish.then = (wish.leaves,)
        wish.direction = wish.direction or wish.leaves


def read_places(said: str, wish: Wish) -> None:
    """Where it begins ("at the top left", "from the top left to") and ends ("to the top", "ends at the top")."""
    for name, point in lex.PLACES.items():
        certain = "[ -]" in name or name.startswith("cent")  # no direction, as "to the left" is
        if lex.search(rf"\b{lex.ENDS}{lex.PLACE_PREFIX}(?:{name}){lex.PLACE_SUFFIX}", said) or (
            certain and lex.search(rf"\bto the (?:{name}){lex.PLACE_SUFFIX}", said)
        ):
            wish.end = wish.end or point
        elif lex.search(rf"\b{lex.PLACE_PREFIX}(?:{name}){lex.PLACE_SUFFIX}", said) or (
            certain and lex.search(rf"\bfrom the (?:{name})\b", said)
        ):
            wish.start = wish.start or point


def _read_curves(said: str, wish: Wish, *, going: bool) -> None:
    """Circles, and motion to the camera or away from it; `going` says that it does not only turn on the spot."""
    clock = lex.search(rf"\b(?:{lex.CLOCKWISE}|{lex.AGAINST})\b", said)
    if lex.search(rf"\b(?:{lex.CIRCLES})\b", said) or (going and (clock or lex.search(r"\baround (?:an?|the) ", said))):
        wish.turn = wish.turn or 1
    if wish.turn and clock:
        wish.turn = -1 if lex.search(rf"\b{lex.AGAINST}\b", said) else 1
    if lex.search(rf"\b(?:{lex.NEARER})", said):
        wish.nearer = 1
    elif lex.search(rf"\b(?:{lex.FARTHER})\b", said) or (going and lex.search(r"\baway\b(?! from)", said)):
        wish.nearer = -1
    for pattern, way in ((lex.LARGER, 1), (lex.SMALLER, -1)):
        if lex.search(rf"\b(?:{pattern})", said):
            wish.grows = way
