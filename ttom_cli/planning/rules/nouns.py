"""Noun phrases of a prompt: which words name an object, and how many of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from . import lexicon as lex
from .wishes import Wish

WORD = re.compile(r"\d{1,3}(?:,\d{3})+\b|[^\W_]+(?:[-'’][^\W_]+)*|[][,.;:!?()\"]")


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
    going: bool = False  # and one of those that change the place
    governed: bool = False  # stands behind a preposition or a verb
    of: Mention | None = None  # the noun phrase that "another" or "two" stands for
    opened: str = ""  # its determiners and numbers

    @property
    def head(self) -> str:
        """Its head noun in the singular, before any 'in', 'with', 'wearing' or 'of'."""
        return lex.singular(re.split(r" (?:in|with|wearing|of) ", self.phrase.lower())[0].split()[-1])

    @property
    def kind(self) -> str:
        """What it names: T a thing, P a place, B what is worn or part of a body, N a name; ? unknown, else not seen."""
        words = [m.group() for m in WORD.finditer(self.phrase.lower()) if m.group() != ","]
        named = self.word.istitle() and not lex.known(words[-1])
        if not all(map(lex.known, words[:-1] if named else words)) or any(map(_is_third, words[1:-1])):
            return "?"
        if (
            len(words) > 1
            and words[-1] in lex.BASE_FORMS
            and lex.mostly_verb(words[-1])
            and lex.seen(words[-2])
            and words[-2] not in lex.ADJECTIVES
        ):
            return "?"  # "a horse with a carriage trot down the lane"
        if {words[-1], self.head} & (lex.NOT_OBJECTS | lex.LOOKS) or (len(words) > 1 and words[0] in ("light", "lens")):
            return ""
        if words[-1] in lex.COLORS and words[-1] != "orange":
            return ""  # "a blue one"
        if self.head in lex.AIR:
            return "T" if (lex.LAMPS | lex.COLORS).intersection(words) else ""
        if self.head in lex.SETTINGS:
            return "P"
        if not self.opened and (lex.mostly_verb(words[-1]) or lex.is_adjective(words[-1])) and len(words) == 1:
            doubtful = words[-1] == lex.infinitive(words[-1])
            return "?" if doubtful and lex.seen(words[-1]) else "" if doubtful else lex.seen(words[-1])
        return "N" if named else "T" if words[-1].isdecimal() else lex.seen(words[-1])


def _is_third(word: str) -> bool:
    """Whether a word within a name is surely a verb, and the name none: "cats sips coffee"."""
    return bool(lex.search("[^su]s$", word)) and not lex.seen(word) and lex.mostly_verb(word)


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
            made=bool(lex.MAKING.intersection([t[0] for t in tokens[max(0, i - 2) : i]])),
            object=bool(mentions) and mentions[-1].end < tokens[i - 1][1] and _is_verb(before),
            first=before in ("", ".", "!", "?"),
            stands_in=opened[:1] not in ([], ["each"], ["no"]) and opened[-1] in lex.STAND_INS | lex.NUMBERS.keys(),
        )
        j, verb = first, False
        while j < len(tokens) and not skip[j]:
            following = tokens[j + 1][0] if j + 1 < len(tokens) else ""
            following = "" if following and skip[j + 1] and not _closed_class(following) else following
            so_far = [t[0] for t in tokens[first:j] if t[0] != ","]
            if not _joins_adjectives(tokens[j][0], so_far, following, opened=context.opened) and _stops(
                tokens[j][0], so_far, following, context
            ):
                verb = not (_closed_class(tokens[j][0]) or _articles(tokens[j][0]))
                break
            j += 1
        if (
            j == first
            and context.stands_in
            and opened[-1] != "both"
            and mentions
            and _is_said_of([t[0] for t in tokens[j : j + 3]])
        ):
            mentions.append(_stand_in((tokens[i][1], tokens[j - 1][2]), mentions, count))
        if j > first:
            words = [t[0] for t in tokens[first:j] if t[0] != ","]
            if _is_thing(words, opened) and not lex.NONE.intersection((before, *opened)):
                span = tokens[first][1], tokens[j - 1][2]
                phrase = text[span[0] : span[1]]
                size = next((lex.SIZES[w] for w in words if w in lex.SIZES), 1.0)
                stacked = not {"stack", "pile"}.isdisjoint(opened)
                wish = Wish(size=size, row=not (stacked or lex.ROWS.isdisjoint(opened)), stack=stacked)
                if ways := [w for w in words[:-1] if w in lex.RISING | lex.FALLING and w.endswith("ing")]:
                    wish.direction = "up" if ways[0] in lex.RISING else "down"  # "a rising balloon"
                exact = not lex.VAGUE.intersection(opened)
                mentions.append(
                    Mention(
                        *span,
                        phrase,
                        phrase.split()[-1],
                        tuple(words[:-1]),
                        count,
                        wish,
                        exact=exact,
                        opened=" ".join(opened),
                    )
                )
        i = max(j + verb, i + 1)
    return mentions


def ones_named(text: str) -> tuple[str, set[int]]:
    """ "A red ball and a blue one" -> "a red ball and a blue ball", and where such names end.

    "Two balls, a red one here and a blue one there" has no "two balls" then.
    """
    ends: set[int] = set()
    done, last = "", 0
    ones = list(re.finditer(r"\b([\w-]+) (ones?)\b", text, re.IGNORECASE))
    named = [m for m in find_mentions(text) if m.kind in ("T", "N")] if ones else []
    for one in ones:
        before = [m for m in named if m.end < one.start()]
        if before and (one[1].lower() in lex.ORDINALS or lex.can_describe(one[1].lower())):
            noun, word = before[-1].head, before[-1].word
            plural = word if lex.is_plural(word.lower()) else f"{noun}s"
            done += text[last : one.start(2)] + (plural if one[2].lower() == "ones" else noun)
            last = one.end()
            ends.add(len(done))
    text = done + text[last:]
    described = ends and not any(one[1].lower() in lex.ORDINALS for one in ones)
    whole = described and re.match(rf"{named[0].opened} {re.escape(named[0].phrase)}[,:;] ", text, re.IGNORECASE)
    if whole and named[0].count == len(ends):  # "two balls, a red ball here, a blue ball there" are no four
        return text[whole.end() :], {end - whole.end() for end in ends}
    return text, ends


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
    patterns += [rf"(?<=\b{many} )of (?:{'|'.join(lex.NUMBERS)})\b" for many in ("family", "party")]
    patterns += [r"\bin (?:a )?circles?\b", rf"\b(?:{lex.CLOCKWISE}|{lex.AGAINST})\b"]
    patterns += [r"\bagainst (?:an? )?\w+ background", r"\b(?:on|with|in front of) an? (?:\w+ ){1,3}background"]
    patterns += [
        r"\b(?:turn|chang|go|shift|transition|fad)\w*(?: its)?(?: colou?rs?)? from [\w-]+(?: [\w-]+)? to [\w-]+",
        r"\b(?:turns?|turning|becom(?:es|ing)) (?!an?\b|the\b)\w+",
        r"\b(?:gets?|getting|grows?|growing) (?:\w+er|more \w+)\b",
    ]
    return [m.span() for p in patterns for m in lex.pattern(p, re.IGNORECASE).finditer(text)]


def _count(tokens, i: int) -> tuple[int, int]:
    """(how many, index of the first word of the phrase proper) at a noun phrase's start."""
    words = [t[0] for t in tokens[i : i + 4]]
    if words[:3] in (["a", "pair", "of"], ["a", "couple", "of"]):
        if words[3:] and words[3] in lex.SCALES:
            return 2 * lex.NUMBERS[words[3]], i + 4
        return 1 if lex.PAIRED.intersection(t[0] for t in tokens[i + 3 : i + 6]) else 2, i + 3
    if words[:3] in (["a", "group", "of"], ["a", "trio", "of"]):
        return _count(tokens, i + 3) if words[3:] and words[3] in lex.NUMBERS else (3, i + 3)
    if words[:1] == ["a"] and words[2:3] == ["of"] and words[1] in lex.ROWS and len(words) > 3:
        many = words[3] in lex.NUMBERS or words[3].isdecimal()
        return _count(tokens, i + 3) if many else (1, i + 1)
    count, j = 0, i
    while j < len(tokens):
        word, number = tokens[j][0], _number(tokens[j][0])
        if number is not None and (j == i or not word[0].isdecimal()):  # "a 747" is a name
            count = _and_then(count, word, number)
        elif word not in lex.DETERMINERS and not (
            word == "and"
            and count >= 100
            and tokens[j + 1 :]
            and (_number(tokens[j + 1][0]) or tokens[j + 1][0] == "one")
        ):
            break
        j += 1
    return max(1, count), j


def _number(word: str) -> int | None:
    """Of "five", "twenty-five", "25" or "1,000"."""
    parts, digits = word.split("-"), word.replace(",", "")
    if all(part in lex.NUMBERS for part in parts):
        return sum(map(lex.NUMBERS.get, parts))
    return int(digits[:6]) if digits.isdecimal() else None


def _and_then(count: int, word: str, number: int) -> int:
    """The number that a count and the next of its words make: "two hundred", "twenty five"; else the word's own."""
    if word in lex.SCALES:
        return max(1, count) * number
    hundreds = count >= 100 and count % 100 == 0 and number < 100
    tens = count % 100 >= 20 and count % 10 == 0 and number < 10
    return count + number if hundreds or tens else number


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
    made: bool  # somebody makes it do something
    first: bool  # the beginning of a sentence
    object: bool  # what a verb does something to


def _joins_adjectives(word: str, so_far: list[str], following: str, *, opened: bool) -> bool:
    """Whether a comma or an "and" stands between adjectives: "a beautiful, white swan"."""
    if not (opened and so_far and all(map(lex.is_adjective, so_far))):
        return False
    if word == "and":
        return lex.is_adjective(following)
    return word == "," and not (_closed_class(following) or _articles(following) or following.endswith("ing"))


def _stops(word: str, so_far: list[str], following: str, context: _Context) -> bool:
    """Whether a word ends the noun phrase whose words are `so_far`.

    A word that can be noun or verb is taken by agreement, and then by which it is more often: "two balls roll" and
    "a ball rolls" have a verb, "a roll" and "two rolls" have none.
    """
    opened, ends = context.opened, _closed_class(following) or _articles(following)
    if _closed_class(word) or (so_far and _articles(word)):
        return not (word.endswith("ly") and opened and not so_far)  # "an elderly man"
    if not so_far:
        return _begins_no_phrase(word, following, context)
    noun, verb = lex.can_name(word), bool(lex.infinitive(word))
    if word.endswith("ing") and not lex.known(word):
        return True
    if ends and lex.seen(so_far[-1]) and lex.can_describe(word) and not word.endswith("s"):
        return True  # "a vase glossy and new"
    if not verb or word in lex.ADJECTIVES or (noun and following in lex.BEING):  # "oak leaves are"
        return False
    if word.endswith("ing"):
        if opened and all(map(lex.is_adjective, so_far)) and lex.seen(following):
            return False  # "a wooden rocking horse"
        does = context.led and ends and so_far[-1] not in lex.ADJECTIVES
        named = (word in lex.ING_NOUNS and not does) or (word in lex.ING_PARTS and not ends)
        return not named or _articles(following)
    if (word.endswith("ed") and word not in lex.ED_NOUNS) or word in lex.PARTICIPLES:
        return ends
    if not noun:
        return not lex.is_adjective(word)
    named = any(lex.can_name(w) or w.isdecimal() or not lex.known(w) for w in so_far)
    if word == lex.infinitive(word):
        if lex.is_plural(so_far[-1]) and so_far[-1] not in lex.SIZES.keys() | lex.PLURAL_PARTS:
            return context.many or ends or lex.mostly_verb(word)  # "two bears fish", and "a sports ball" has none
        named = named and not all(w in lex.ADJECTIVES for w in so_far)
        if not ends and word in lex.BASE_FORMS and lex.mostly_verb(word):
            worn = context.led and lex.seen(so_far[-1]) == "B"
            if worn or (context.joined and lex.seen(so_far[-1])):
                return True  # "a man and a woman in a red dress dance tango", "a cat and a dog shake hands"
        return (
            named
            and ends
            and (context.made or ((context.many or context.joined) and (word in lex.BASE_FORMS or not noun)))
        )
    return named and _is_third_person(word, so_far, following, context)


def _begins_no_phrase(word: str, following: str, context: _Context) -> bool:
    if context.stands_in and lex.mostly_verb(word) and _closed_class(following):
        return word.endswith("ing") or (word.endswith("s") != context.many)  # "another flies to", "two run to"
    if word.endswith("ing") and not lex.known(word):
        return not context.opened  # "showcasing"
    if context.opened or not lex.infinitive(word) or (context.led and lex.seen(word)):
        return False
    if word in lex.STUFF and lex.infinitive(following):
        return False  # "steam rising"
    if word.endswith("ing"):
        return word not in lex.ING_NOUNS or _articles(following)
    if lex.is_adjective(word) or word in lex.PARTICIPLES or word.endswith("ed"):
        return False
    if context.joined and lex.seen(word) and word.endswith("s") and following not in lex.PREPOSITIONS | lex.ADVERBS:
        return _articles(following)  # "a train and scissors"
    if context.first and lex.can_name(word) and (word == lex.infinitive(word) or lex.seen(word)):
        return _articles(following)  # "bear journalist interviews", "skis lean"
    return lex.mostly_verb(word) or _articles(following)


def _is_third_person(word: str, so_far: list[str], following: str, context: _Context) -> bool:
    """Whether a word that can be a noun, and ends as verbs of one do, is one here."""
    if not lex.search("[^su]s$", word):
        return False
    ends = _closed_class(following) or _articles(following)
    if lex.is_plural(so_far[-1]) and so_far[-1] not in lex.SIZES:
        return lex.mostly_verb(word) and ends  # "four sports cars" goes on, "a pair of balls falls" does not
    if not (context.opened or context.predicate) and all(map(lex.is_adjective, so_far)):
        return False  # "red circles, green circles"
    if lex.seen(word) and lex.search("(?:ing|ed)$", following) and lex.infinitive(following):
        return False  # "neon signs reflecting"
    if following.endswith("ing") and word in lex.VERBS and lex.infinitive(following):
        return True  # "keeps playing"
    if following == "to" and not lex.is_plural(so_far[-1]):
        return True  # "pollen sticks to its legs"
    if context.object and not context.opened:
        return False  # "battles giant waves"
    if context.many or (so_far[-1] in lex.ADJECTIVES and not lex.mostly_verb(word)):
        return False
    if context.single and not context.led and not lex.search("['’]", "".join(so_far)):
        return True
    if not ends and lex.infinitive(following) == following and lex.mostly_verb(following):
        return False  # "light rays fall"
    if context.led:  # "a bottle of milk falls", "a woman in a red dress dances"
        return ends and (lex.mostly_verb(word) or context.single)
    return (
        lex.mostly_verb(word)
        or context.opened
        or (ends and not ((following in lex.PREPOSITIONS or not following) and lex.seen(word)))
    )


def _is_verb(word: str) -> bool:
    return bool(lex.infinitive(word)) and not _closed_class(word)


def _articles(word: str) -> bool:
    return word in lex.DETERMINERS or word in lex.NUMBERS


def _closed_class(word: str) -> bool:
    """Punctuation, conjunctions, prepositions, adverbs, and nothing at all."""
    if not word or not word[0].isalnum():
        return True
    known = word in lex.CONJUNCTIONS or word in lex.PRONOUNS or word in lex.PREPOSITIONS or word in lex.ADVERBS
    return known or (word.endswith("ly") and word not in lex.LY_NOUNS | lex.LY_ADJECTIVES)
