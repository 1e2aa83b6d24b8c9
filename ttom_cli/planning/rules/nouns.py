"""Noun phrases of a prompt: which words name an object, and how many of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from . import lexicon as lex
from .compose import Wish

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
    exact: bool = True  # "three", and not "several"
    moving: bool = False  # a verb of motion is said of it
    governed: bool = False  # stands behind a preposition or a verb
    of: Mention | None = None  # the noun phrase that "another" or "two" stands for


def find_mentions(text: str) -> list[Mention]:
    """Noun phrases in order: an optional count or determiner, attributes, and a head noun."""
    tokens = [(m.group().lower(), m.start(), m.end()) for m in WORD.finditer(text)]
    spans = _spoken_for(text)
    skip = [any(a <= start < b for a, b in spans) for _, start, _ in tokens]
    mentions, i = [], 0
    while i < len(tokens):
        if skip[i]:
            i += 1
            continue
        before = tokens[i - 1][0] if i else ""
        behind_noun = bool(mentions) and mentions[-1].end == (tokens[i - 1][2] if i else -1)
        if tokens[i][0] in ("that", "which", "who") and behind_noun:
            i += 2  # a relative clause, and its verb
            continue
        count, first = _count(tokens, i)
        opened = [t[0] for t in tokens[i:first]]
        context = _Context(
            many=count > 1,
            joined=before == "and" and i > 1 and bool(mentions) and mentions[-1].end == tokens[i - 2][2],
            opened=bool(opened),
            single=bool(lex.SINGULAR.intersection(opened)) and count == 1,
            led=before in lex.PREPOSITIONS or before.endswith("ing"),
            predicate=before in ("is", "are", "was", "were") and not opened,
            stands_in=opened[:1] not in ([], ["each"], ["no"]) and opened[-1] in lex.STAND_INS | lex.NUMBERS.keys(),
        )
        j, verb = first, False
        while j < len(tokens) and not skip[j]:
            following = tokens[j + 1][0] if j + 1 < len(tokens) and not skip[j + 1] else ""
            so_far = [t[0] for t in tokens[first:j] if t[0] != ","]
            if not _joins_adjectives(tokens[j][0], so_far, following, opened=context.opened) and _stops(
                tokens[j][0], so_far, following, context
            ):
                verb = not (_closed_class(tokens[j][0]) or _articles(tokens[j][0]))
                break
            j += 1
        if j == first and context.stands_in and mentions and _is_said_of([t[0] for t in tokens[j : j + 3]]):
            mentions.append(_stand_in((tokens[i][1], tokens[j - 1][2]), mentions, count))
        if j > first:
            words = [t[0] for t in tokens[first:j] if t[0] != ","]
            if _is_thing(words, opened) and not lex.NONE.intersection((before, *opened)):
                span = tokens[first][1], tokens[j - 1][2]
                phrase = text[span[0] : span[1]]
                size = next((lex.SIZES[w] for w in words if w in lex.SIZES), 1.0)
                exact = not lex.VAGUE.intersection(opened)
                mentions.append(
                    Mention(*span, phrase, phrase.split()[-1], tuple(words[:-1]), count, Wish(size=size), exact=exact)
                )
        i = max(j + verb, i + 1)
    return mentions


def _is_said_of(words: list[str]) -> bool:
    """Whether what follows "one" or "two" makes it stand for a noun: "one to the left", not "one by one"."""
    if words[:2] == ["of", "them"]:
        return True
    led = (
        words[:1]
        and words[0] in ("to", "on", "at", "in", "from", "up", "down", "left", "right")
        and words[1:2] != ["a"]
    )
    return bool(led) or (bool(words) and words[0] in lex.VERBS)


def _stand_in(span: tuple[int, int], mentions: list[Mention], count: int) -> Mention:
    """What "another" or "two" speaks of: some of the several before, or one more of the same."""
    near = next((m.of for m in reversed(mentions) if m.of), None)
    whole = near or next((m for m in reversed(mentions) if m.count > 1), mentions[-1])
    if whole.count > 1 or near:
        whole.count = max(0, whole.count - count)
    return replace(whole, start=span[0], end=span[1], count=count, wish=Wish(size=whole.wish.size), of=whole)


def _is_thing(words: list[str], opened: list[str]) -> bool:
    """Whether a noun phrase can name an object: not "towed", "red" or "the left side"."""
    if words[-1] in lex.NOT_OBJECTS:
        return False
    if opened:
        return True
    participle = len(words) == 1 and (
        (words[0].endswith("ed") and words[0] not in lex.ED_NOUNS) or words[0] in lex.PARTICIPLES
    )
    return not (participle or lex.COLORS.issuperset(words))


def _spoken_for(text: str) -> list[tuple[int, int]]:
    """Spans that name a place, a direction, a relation or the background, not an object."""
    patterns = [rf"\b{lex.PLACE_PREFIX}(?:{p}){lex.PLACE_SUFFIX}" for p in lex.PLACES]
    patterns += [rf"\b(?:{p})\b" for p in (*lex.DIRECTION_PHRASES.values(), *lex.RELATIONS.values())]
    patterns += [rf"\b(?:{p})" for p in (lex.ENTERS, lex.LEAVES, *lex.PAIRS.values(), lex.IN_A_ROW)]
    patterns += [r"\bin (?:a )?circles?\b", rf"\b(?:{lex.CLOCKWISE}|{lex.AGAINST})\b"]
    patterns += [r"\bagainst (?:an? )?\w+ background", r"\b(?:on|with|in front of) an? (?:\w+ ){1,3}background"]
    patterns += [
        r"\b(?:turn|chang|go|shift|transition|fad)\w*(?: its)?(?: colou?rs?)? from [\w-]+(?: [\w-]+)? to [\w-]+",
        r"\b(?:turns?|turning|becom(?:es|ing)) (?!an?\b|the\b)\w+",
        r"\b(?:gets?|getting|grows?|growing) (?:\w+er|more \w+)\b",
    ]
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
        if word in lex.NUMBERS or (word.isdecimal() and j == i):  # "a 747" is a name
            count = max(1, lex.NUMBERS.get(word) or int(word[:6]))
        elif word not in lex.DETERMINERS:
            break
        j += 1
    return count, j


@dataclass(frozen=True)
class _Context:
    """What stands before the words of a noun phrase."""

    many: bool  # a number above one
    joined: bool  # another noun phrase and "and"
    opened: bool  # a determiner or a number
    single: bool  # a determiner that no plural follows
    led: bool  # a preposition or a participle
    predicate: bool  # a form of "be", and no determiner
    stands_in: bool  # what may be a pronoun, or belong to a noun


def _joins_adjectives(word: str, so_far: list[str], following: str, *, opened: bool) -> bool:
    """Whether a comma or an "and" stands between adjectives: "a beautiful, white swan"."""
    if not (opened and so_far and all(map(lex.is_adjective, so_far))):
        return False
    if word == "and":
        return lex.is_adjective(following)
    return word == "," and not (_closed_class(following) or _articles(following) or following.endswith("ing"))


def _stops(word: str, so_far: list[str], following: str, context: _Context) -> bool:
    """Whether a word ends the noun phrase whose words are `so_far`.

    A word that can be noun or verb is taken by agreement, known to the lexicon or not: "two balls roll" and "a
    ball rolls" have a verb, "a roll" and "two rolls" have none.
    """
    opened = context.opened
    if not so_far and context.stands_in and word in lex.VERBS and _closed_class(following):
        return word.endswith("ing") or (word.endswith("s") != context.many)  # "another flies to", "two run to"
    if word.endswith("ly") and opened and not so_far:
        return False  # "an elderly man"
    articled = _articles(following)
    if _closed_class(word) or (so_far and _articles(word)):
        return True
    if word.endswith("ing"):
        return (word not in lex.ING_NOUNS or articled) and (bool(so_far) or not opened)
    if following in ("are", "is", "were", "was", "have", "has"):
        return False  # "oak leaves are"
    third_person = word.endswith("s") and not re.search("(ss|us|is|['’]s)$", word)
    if not so_far:
        return not opened and (word in lex.VERBS or (third_person and articled))
    participle = (word.endswith("ed") and word not in lex.ED_NOUNS) or word in lex.PARTICIPLES
    if participle and _closed_class(following):
        return True
    ends = _closed_class(following) or articled
    if lex.is_plural(so_far[-1]) and so_far[-1] not in lex.SIZES:
        # "four sports cars" goes on, "three bees buzz" and "a pair of balls falls" do not
        return not lex.is_plural(word) or (word in lex.VERBS and ends)
    named = not all(map(lex.is_adjective, so_far))  # "a ball and a blue circle" ends with a noun
    if not (named or opened or context.predicate):
        return False  # "red circles, green circles"
    if (context.many or (context.joined and named)) and word in lex.BASE_FORMS and ends:
        return True  # "two deer graze", "a cat and a dog run"
    if context.many:
        return False
    if context.led:  # "a bottle of milk falls", "a woman in a red dress dances"
        return third_person and ends and (word in lex.VERBS or context.single)
    return (third_person and (word in lex.VERBS or opened or ends)) or (word in lex.VERBS and not opened and ends)


def _articles(word: str) -> bool:
    return word in lex.DETERMINERS or word in lex.NUMBERS


def _closed_class(word: str) -> bool:
    """Punctuation, conjunctions, prepositions, adverbs, and nothing at all."""
    if not word or not word[0].isalnum():
        return True
    known = word in lex.CONJUNCTIONS or word in lex.PREPOSITIONS or word in lex.ADVERBS
    return known or (word.endswith("ly") and word not in lex.LY_NOUNS | lex.LY_ADJECTIVES)
