"""The offline planner: reads objects, counts, places, directions and relations out of a prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import PlanningError
from ..layout import Layout
from . import lexicon as lex
from .compose import Wish, compose

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*|[,.;:]")


@dataclass
class Mention:
    """A noun phrase of the prompt and what is said of it; start and end are character offsets."""

    start: int
    end: int
    phrase: str
    word: str
    attributes: tuple[str, ...]
    count: int
    wish: Wish = field(default_factory=Wish)


class RulesPlanner:
    """Plans without any model; deterministic for a prompt."""

    name = "rules"

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt names no object."""
        text = " ".join(prompt.split())
        mentions = find_mentions(text)
        mentions = read_wishes(text, mentions)
        if not mentions:
            raise PlanningError(
                f"the rules planner finds no object in {prompt!r}",
                "name the objects ('a red ball rolls right'), or give a layout with --layout",
            )
        return compose(text, mentions, background=_background(text), scene=abstract_scene(text, mentions))


# ---------------------------------------------------------------- noun phrases


def find_mentions(text: str) -> list[Mention]:
    """Noun phrases in order: an optional count or determiner, attributes, and a head noun."""
    tokens = [(m.group().lower(), m.start(), m.end()) for m in WORD.finditer(text)]
    skip = _spoken_for(text)
    mentions, i = [], 0
    while i < len(tokens):
        count, first = _count(tokens, i)
        j = first
        while j < len(tokens) and not any(a <= tokens[j][1] < b for a, b in skip):
            if _stops(tokens[j][0], [t[0] for t in tokens[first:j]], count=count, opened=first > i):
                break
            j += 1
        if j > first:
            words = [t[0] for t in tokens[first:j]]
            if words[-1] not in lex.NOT_OBJECTS:
                span = tokens[first][1], tokens[j - 1][2]
                phrase = text[span[0] : span[1]]
                mentions.append(Mention(*span, phrase, phrase.split()[-1], tuple(words[:-1]), count))
        i = max(j, i + 1)
    return mentions


def _spoken_for(text: str) -> list[tuple[int, int]]:
    """Spans that name a place, a direction, a relation or the background, not an object."""
    patterns = [rf"\b{lex.PLACE_PREFIX}(?:{p}){lex.PLACE_SUFFIX}" for p in lex.PLACES]
    patterns += [rf"\b(?:{p})\b" for p in (*lex.DIRECTION_PHRASES.values(), *lex.RELATIONS.values())]
    patterns += [r"\bagainst (?:an? )?\w+ background", r"\b(?:on|with|in front of) an? (?:\w+ ){1,3}background"]
    patterns += [r"\b(?:turns?|turning|(?:chang|turn)(?:es?|ing)? from \w+ to|becom(?:es|ing)) \w+"]
    return [m.span() for p in patterns for m in re.finditer(p, text, re.IGNORECASE)]


def _count(tokens, i: int) -> tuple[int, int]:
    """(how many, index of the first word of the phrase proper) at a noun phrase's start."""
    words = [t[0] for t in tokens[i : i + 4]]
    if words[:3] in (["a", "pair", "of"], ["a", "couple", "of"]):
        return 2, i + 3
    if words[:3] in (["a", "group", "of"], ["a", "trio", "of"]):
        return 3, i + 3
    count, j = 1, i
    while j < len(tokens):
        word = tokens[j][0]
        if word in lex.NUMBERS or word.isdigit():
            count = max(1, lex.NUMBERS.get(word) or int(word))
        elif word not in lex.DETERMINERS:
            break
        j += 1
    return count, j


def _stops(word: str, so_far: list[str], *, count: int, opened: bool) -> bool:
    """Whether a word ends the noun phrase whose words are `so_far`.

    `opened` says that a determiner or a number stands before them. A word that can be noun or verb is
    taken by agreement: "two balls roll", "a ball rolls", but "a roll", "two rolls".
    """
    if not word[0].isalnum() or word in lex.CONJUNCTIONS or word in lex.PREPOSITIONS or word in lex.ADVERBS:
        return True
    if so_far and (word in lex.DETERMINERS or word in lex.NUMBERS):
        return True
    if word.endswith("ing"):
        return word not in lex.ING_NOUNS and (bool(so_far) or not opened)
    if word not in lex.VERBS:
        return False
    plural = count > 1 or (bool(so_far) and so_far[-1].endswith("s"))
    if word in lex.BASE_FORMS:
        return (plural and bool(so_far) and so_far[-1] not in lex.SIZES) or not (so_far or opened)
    if not so_far:
        return not opened
    return not (plural and word.endswith("s") and not so_far[-1].endswith("s"))


# ---------------------------------------------------------------- what is said of them


def read_wishes(text: str, mentions: list[Mention]) -> list[Mention]:
    """Set each mention's wish from the words after it, up to the next one; returns those that are objects."""
    kept: list[Mention] = []
    for i, mention in enumerate(mentions):
        until = mentions[i + 1].start if i + 1 < len(mentions) else len(text)
        before = text[mentions[i - 1].end if i else 0 : mention.start].lower()
        if kept and _is_setting(before):
            said, mention = text[mention.end : until].lower(), kept[-1]
        else:
            relation = _relation(before)
            if relation and kept:
                kept[-1].wish.relations.append((relation, len(kept)))
            said = text[mention.end : until].lower()
            kept.append(mention)
        _read(said, mention)
    for a, b in zip(reversed(kept[:-1]), reversed(kept), strict=False):
        if re.fullmatch(r",? ?(?:and|,) (?:an?|the|\w+)? ?", text[a.end : b.start].lower()):
            a.wish.direction = b.wish.direction  # "a ball and a cube move up": one verb for both
    return kept


def _is_setting(before: str) -> bool:
    """Whether the words before a noun phrase make it a place where things happen, not an object."""
    if _relation(before):
        return False
    return bool(
        re.search(
            rf"\b(?:{lex.SETTING_PREPOSITIONS})(?: an?| the)?\s*$",
            before,
        )
    )


def _relation(before: str) -> str | None:
    for name, pattern in lex.RELATIONS.items():
        if re.search(rf"\b(?:{pattern})(?: an?| the)?(?: \w+)?\s*$", before):
            return name
    return None


def _read(said: str, mention: Mention) -> None:
    wish = mention.wish
    for name, point in lex.PLACES.items():
        found = re.search(rf"\b(to the |{lex.PLACE_PREFIX})(?:{name}){lex.PLACE_SUFFIX}", said)
        if found and found.group(1) != "to the ":
            wish.start = wish.start or point
        elif found and " " in found.group()[7:]:
            wish.end = wish.end or point
    words = re.findall(r"[\w-]+", said)
    for direction, pattern in lex.DIRECTION_PHRASES.items():
        if re.search(rf"\b(?:{pattern})\b", said):
            wish.direction = wish.direction or direction
    verbs = [w for w in words if w in lex.MOVING]
    if not wish.direction and verbs:
        wish.moves = True
        bare = [d for d, p in lex.BARE.items() if re.search(rf"\b(?<!the )(?:{p})\b", said)]
        rises = [d for d, group in (("up", lex.RISING), ("down", lex.FALLING)) if lex_any(verbs, group)]
        wish.direction = next(iter(bare + rises), None)
    sizes = [lex.SIZES[a] for a in mention.attributes if a in lex.SIZES]
    wish.size = sizes[0] if sizes else 1.0


def lex_any(words: list[str], group: frozenset[str]) -> bool:
    return any(word in group for word in words)


def _background(text: str) -> str:
    found = re.search(r"\b(?:on|against|with) an? ((?:\w+ ){1,3}background)", text, re.IGNORECASE)
    return found.group(1) if found else ""


def abstract_scene(text: str, mentions: list[Mention]) -> str:
    """The scene with its objects masked: '<object A> rolls right while <object B> rises'."""
    parts, last = [], 0
    for i, mention in enumerate(mentions):
        parts += [text[last : mention.start], f"<object {chr(65 + i)}>"]
        last = mention.end
    scene = "".join([*parts, text[last:]])
    scene = re.sub(r"\b(?:an?|the) (?=<object)", "", scene, flags=re.IGNORECASE)
    return re.sub(r" (?:on|against|with) an? (?:\w+ ){1,3}background", "", scene)
