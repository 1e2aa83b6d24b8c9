"""Reads objects, counts, places, directions and relations out of a prompt, and knows what it is sure of.

A sentence's first noun phrase is its subject, to which its places, directions and relations belong; noun phrases
behind a preposition or the verb are objects too, or settings, which are none. Only what is surely the name of a thing
becomes an object; the rest is left alone, and said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...text import plain
from . import lexicon as lex
from .clean import each_with_its_noun, objects_only, said_plainly
from .nouns import Mention, find_mentions, ones_named
from .said import read_places, read_said
from .wishes import AFTER, ATTACHED, Wish

LONG = 12  # words of a prompt, from which on a noun without an article has to be vouched for
VERY_LONG = 60  # and of one whose first sentence alone is read
# Relations that say where one is beside another, be it a noun or a pronoun.
_STANDING = (AFTER, "left of", "right of", "above", "below", "in front of", "behind", "next to", "on")


@dataclass(frozen=True)
class Reading:
    """What was read of a prompt."""

    text: str
    """The prompt with a noun behind each colour."""
    mentions: list[Mention]
    """The objects that it surely names, with what is wished of them."""
    left: list[str]
    """What may name more, and is left alone."""


def read(prompt: str) -> tuple[str, list[Mention]]:
    """A prompt with a noun behind each colour, and the objects that it names with what is wished of them."""
    reading = read_surely(prompt)
    return reading.text, reading.mentions


def read_surely(prompt: str) -> Reading:
    text, ones = ones_named(each_with_its_noun(said_plainly(plain(prompt))))
    readable = objects_only(text)
    words = re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", readable)
    if not lex.is_english(words):
        return Reading(text, [], [text])
    told = _what_is_told_first(readable, len(words))
    reader = _Reader(told + ".")
    mentions = find_mentions(told)
    for mention in mentions:  # "two dogs play, a black one and a white one"
        if mention.end in ones:
            mention.of = next(
                (m for m in mentions if m.count > 1 and m is not mention and m.head == mention.head), None
            )
    reader.read(mentions)
    reader.left += [f"{m[1]} {m[2]}" for m in re.finditer(_NEGATION, told)]
    reader.left += [m.phrase for m in find_mentions(readable[len(told) :]) if m.kind == "T"]
    spoken = {w for phrase in reader.left for w in phrase.split()}
    strange = [w for w in words if not (w in spoken or w[0].isupper() or lex.known(w.lower()))]
    return Reading(text, reader.kept, list(dict.fromkeys(reader.left + strange)))


def _what_is_told_first(text: str, count: int) -> str:
    """The first sentence of a prompt of very many words: those after it dwell on its things, their parts and looks."""
    ends = [m.end() for m in re.finditer("[.!?](?= )", text) if len(text[: m.end()].split()) >= LONG]
    return text[: ends[0]] if count > VERY_LONG and ends else text


class _Reader:
    """Goes through the noun phrases of a text in order."""

    def __init__(self, text: str):
        self.text = text
        self.kept: list[Mention] = []
        self.left: list[str] = []
        self.settings: list[Mention] = []  # subjects that are places, for want of anything else
        self.subject: Mention | None = None
        self.void = False  # the clause is about what is no object
        self.caused: tuple[Mention, str] | None = None  # what was last thrown or pushed, and the words for it
        self.worn = False  # what was named last is worn
        self.doubtful = False  # the clause is about something that is not understood
        self.ahead: tuple[list[str], Mention] | None = None  # "above the sofa hangs a painting"
        parts = [p.split() for p in re.split(r"[,.;:]", text) if p.strip()]
        bare = [p for p in parts if not _is_clause(p)]
        self.long = len(text.split()) > LONG
        self.tags = len(parts) > 3 and len(bare) > len(parts) / 2

    def read(self, mentions: list[Mention]) -> None:
        for i, mention in enumerate(mentions):
            until = mentions[i + 1].start if i + 1 < len(mentions) else len(self.text)
            said = self.text[mention.end : until].lower()
            if i + 1 < len(mentions) and lex.search(rf"\b(?:up|down){_ARTICLE}$", said):
                said += mentions[i + 1].phrase.lower()  # "down the street" is not downwards
            before = self.text[mentions[i - 1].end if i else 0 : mention.start].lower()
            self._take(mention, before, said, mentions[i - 1] if i else None)
        if not self.kept and not self.left:
            self.kept = self.settings
        _share_verbs(self.text, self.kept)
        held = {k for m in self.kept for _, k in m.wish.relations}
        for k, mention in enumerate(self.kept):
            beside = [j for relation, j in mention.wish.relations if relation in _STANDING]
            if mention.going and beside and not mention.wish.direction:  # "swims above it" goes with it
                mention.wish.direction = self.kept[beside[0]].wish.direction
            if mention.going and k not in held and mention.wish.is_free:
                mention.wish.roams = "any" if mention.count == 1 else "right"  # several go the same way
            if mention.of and mention.of.count > 1:  # "two birds fly up, one on the left"
                mention.wish.direction = mention.wish.direction or mention.of.wish.direction
            if mention.going:
                mention.wish.relations = [
                    ("riding" if r == "on" and self.kept[j].head in lex.RIDDEN else r, j)
                    for r, j in mention.wish.relations
                ]
        for whole in [m for m in self.kept if m.count > 1]:  # of which some are spoken of one by one
            whole.count = max(0, whole.count - sum(m.count for m in self.kept if m.of is whole))

    def _take(self, mention: Mention, before: str, said: str, previous: Mention | None) -> None:
        """Read one noun phrase: as a subject, an object, part of another, or nothing."""
        last = self.kept[-1] if self.kept and previous and self.kept[-1].end == previous.end else None
        begins = _new_clause(before) or (self.subject is None and not self.void)
        if begins and self.subject and lex.fullmatch(rf",? and{_ARTICLE}", before):
            begins = ("between", len(self.kept) - 1) not in self.subject.wish.relations
        if begins and _is_fronted_setting(before, mention, said):
            return
        _read_side(mention, before, self.text)
        known = next((m for m in self.kept if not mention.of and _is_again(before, mention, m)), None)
        if known:
            return self._again(known, before, said, begins)
        apart = _stands_apart(before, mention, said)
        stands = lex.match(_BESIDE_IT, said)  # "a ball with a cube on its left"
        if last and not (apart or stands) and _modifies(before, mention, last, of_subject=last is self.subject):
            last.end, last.phrase = mention.end, self.text[last.start : mention.end]
            if self.caused and self.caused[0] is last:  # "slides a glass of beer to the left"
                return read_said(self.caused[1] + said, last)
        elif not self._is_object(mention, before, said, begins, previous):
            if begins and not self.worn:
                self.doubtful = mention.kind == "?"
                self.void = not (self.doubtful or _goes_on(before, mention))
                self.subject = None if self.doubtful else self.subject
            if self.void:
                return
        elif begins:
            self.doubtful = self.doubtful and not _new_clause(before)
            if self._begin(mention, before) or self.doubtful:
                return  # what is said of it may be said of what was not understood
        elif self.void and lex.search(rf"\b(?:{'|'.join(lex.CAUSING)}){_ARTICLE}$", before):
            self.kept.append(mention)  # "a gust lifts a kite"
            read_said(before + said, mention)
            return
        elif self.void:
            self.left.append(mention.phrase)
            return
        else:
            mention.governed = True
            self._join(mention, before)
            if lex.search(rf"\b({'|'.join(lex.CAUSING)}){_ARTICLE}$", before):  # "kicks a ball to the right"
                read_said(before + said, mention)
                self.caused = mention, before
                if lex.search(_SENDS, before):
                    return  # who throws stays
        relative = lex.match(r",? (?:that|which|who)\b", said)
        if apart and mention not in self.kept:
            return
        if self.subject and not self.doubtful:
            self._refer(said, rf"\b(?:{{}}) {_PRONOUN}\b")
            read_said(_own(said), mention if apart or (relative and mention in self.kept) else self.subject)

    def _is_object(self, mention: Mention, before: str, said: str, begins: bool, previous: Mention | None) -> bool:
        """Whether a noun phrase surely names an object; what may do so is noted as left alone."""
        kind = mention.kind
        owned = _is_owned(before, mention)
        following = lex.fullmatch(rf",?(?: and)?{_ARTICLE}", before)
        self.worn = bool(lex.search(rf"\b(?:wear(?:s|ing)?|dons?|dressed in){_ARTICLE}$", before)) or (
            self.worn and bool(following) and not _does(said)
        )
        if self.worn or lex.search(rf"\b(?:play|tak|mak)(?:e?s|ing|e)? $|\blike{_ARTICLE}$", before):
            return False  # "wears a coat", "plays chess", "shaped like a whale"
        listed = previous and previous.kind == "B" and following
        related = not {"on", "inside", "holding"}.issuperset(_relations(before))
        part = kind == "B" or (mention.head in lex.PARTS and not begins and not _relations(before))
        part = part and not (related or (begins and (mention.opened or mention.start == 0)))
        doubtful = kind == "Y" or (kind == "T" and self.long and _is_bare(mention, before))
        unsure = kind == "?" or (doubtful and not _is_vouched(mention, before, said))
        if unsure or (kind and self._stands_alone(mention, before, said)):
            self.left.append(mention.phrase)
            return False
        if not kind or owned or part or (kind == "B" and listed) or (kind == "N" and not begins):
            return False
        if mention.phrase.istitle() and not ((begins and (kind != "N" or _does(said))) or mention.opened):
            return False  # "over New York", "Kurosawa inspired"
        if not begins and mention.head in lex.AIR and lex.LAMPS.isdisjoint(mention.attributes):
            return False  # "throws orange light"
        if begins and mention.phrase.lower() in lex.STUFF:
            self.left.append(mention.phrase)
            return False
        still = lex.match(
            r" *(?:$|[,.;:]|(?:is|are|was|were|looks?|seems?|feels?|with)\b"
            r"|in the (?:background|distance))",
            said,
        )
        still = still or (self.kept and not _moves(said))  # "The ocean sparkles."
        if begins and kind == "P" and (still or not (mention.opened or _does(said))) and not _relations(before):
            self.settings.append(mention)
            return False
        return begins or not _is_setting(before, mention)

    def _stands_alone(self, mention: Mention, before: str, said: str) -> bool:
        """Whether a noun phrase is one of a list, of which nothing is said: "samurai, katana, rain"."""
        alone = lex.search(r"(?:^|[,.;:]) *(?:and )?$", before) and lex.match(r" *(?:$|[,.;:])", said)
        rest = self.text[mention.end :].lower()
        listed = lex.match(r"(?:, (?:[\w-]+ ){0,2}[\w-]+)*,? and ", rest)  # "red circles, green circles and a cube"
        return not mention.opened and bool(self.tags or (alone and not listed and lex.search("[,;]", self.text)))

    def _again(self, known: Mention, before: str, said: str, begins: bool) -> None:
        if begins:
            self.subject, self.void = known, False
        elif self.subject and known is not self.subject:
            self.subject.wish.relations += [(r, self.kept.index(known)) for r in _relations(before)]
        if self.subject and lex.search(r"\bthen\b", before):
            self._then(said, self.subject)
        if self.subject:
            read_said(_own(said), self.subject)

    def _then(self, said: str, mention: Mention) -> None:
        """A way that is gone after those that were said before, be it of several ("both rise, then the ball falls")."""
        _share_verbs(self.text, self.kept)
        later = replace(mention, wish=Wish())
        read_said(_own(said), later)
        wish, way = mention.wish, later.wish.direction
        if way and wish.direction and way != (wish.direction, *wish.then)[-1]:
            wish.then += (way,)

    def _begin(self, mention: Mention, before: str) -> bool:
        """Take the subject of a clause; True where it only stands ahead of it, in a relation."""
        self.kept.append(mention)
        self.void = False
        if relations := _relations(before):
            self.ahead, mention.governed, self.subject = (relations, mention), True, mention
            return True
        self.subject = mention
        self._refer(before, rf"\b(?:{{}}) {_PRONOUN}(?: [\w-]+)?{_ARTICLE}$")
        read_places(re.sub(r"^.*(?:[,.;:]|\b(?:and|while)\b) ?", "", before), mention.wish)
        if self.ahead:
            mention.wish.relations += [(r, self.kept.index(self.ahead[1])) for r in self.ahead[0]]
            self.ahead = None
        return False

    def _refer(self, said: str, pattern: str) -> None:
        """Relations to what a pronoun speaks of, the subject before: "a fish swims above it", "behind him stands a"."""
        earlier = [k for k, m in enumerate(self.kept) if m is not self.subject and not m.governed]
        held = {relation for relation, _ in self.subject.wish.relations}
        said = lex.pattern(r"\b(?:to|on|at) (?:his|her|its|their) (left|right)\b").sub(r"to the \1 of him", said)
        for name in _STANDING if earlier else ():
            if name not in held and lex.search(pattern.format(lex.RELATIONS[name]), said):
                self.subject.wish.relations.append((name, earlier[-1]))
                return

    def _join(self, mention: Mention, before: str) -> None:
        """Take an object that the clause's verb or preposition governs, with its relation to the subject."""
        subject, last = self.subject, len(self.kept) - 1
        near = self.kept[-1]
        if (
            near.end + len(before) == mention.start
            and near is not self.subject
            and (lex.match(r" (?:parked|\w+ed) ", before) or (near.governed and self._is_what_stands(before)))
        ):
            subject = near  # "waves from a car parked in front of a house", "chops carrots on a board"
        self.kept.append(mention)
        if self.ahead and self.ahead[1] is subject:
            self.subject = mention
            read_places(before, mention.wish)
            mention.wish.relations += [(r, self.kept.index(subject)) for r in self.ahead[0]]
            mention.governed, self.ahead = False, None
            return
        if lex.fullmatch(rf",? and{_ARTICLE}", before) and ("between", last) in subject.wish.relations:
            subject.wish.relations.append(("between", last + 1))
            return
        for relation in _relations(before):
            if relation == "riding" and lex.is_plural(mention.word.lower()):
                mention.count = max(mention.count, subject.count)  # "three girls ride horses"
            if relation == "before":
                mention.wish.relations.append((AFTER, self.kept.index(subject)))
            else:
                subject.wish.relations.append((relation, last + 1))

    def _is_what_stands(self, before: str) -> bool:
        """Whether what was named last, and not who does something to it, has the relation that follows."""
        relation = _relations(before)
        bare = relation and lex.fullmatch(rf" (?:{lex.RELATIONS[relation[0]]}){_ARTICLE}(?:\w+ )?", before)
        mine = {r for r, k in self.subject.wish.relations if k == len(self.kept) - 1}
        return bool(bare) and relation[0] in _STANDING and ATTACHED.keys().isdisjoint(mine)


def _is_clause(words: list[str]) -> bool:
    """Whether a part between commas says more than a name: it has an article, a number or a verb."""
    words = [w.lower() for w in words]
    return any(w in lex.DETERMINERS or w in lex.NUMBERS or (w in lex.VERBS and w != words[0]) for w in words)


def _does(said: str) -> bool:
    """Whether a verb follows: " wears a tie"."""
    first = lex.match(r" ([\w-]+)", said)
    return bool(first) and lex.mostly_verb(first.group(1))


def _is_bare(mention: Mention, before: str) -> bool:
    """Whether a singular has neither article nor the beginning of a sentence before it: "holds court"."""
    return not (mention.opened or lex.is_plural(mention.word.lower()) or lex.search(r"(?:^|[.!?;:]) *$", before))


def _is_vouched(mention: Mention, before: str, said: str) -> bool:
    """Whether what is a thing in some uses of its word is one here: it has a colour, a place or a motion."""
    return bool(lex.COLORS.intersection(mention.attributes) or _moves(said)) or not {"on", "inside"}.issuperset(
        _relations(before)
    )


def _moves(said: str) -> bool:
    return any(map(lex.moves, re.findall(r"[\w-]+", said)[:2]))


def _goes_on(before: str, mention: Mention) -> bool:
    """Whether what begins a clause, and is no object, belongs to the subject before it: "its eyes"."""
    return _is_owned(before, mention) and not lex.search(r"[.;]", before)


def _is_owned(before: str, mention: Mention) -> bool:
    """Whether a noun phrase is a part of what was named before: "its wings", "with red wheels"."""
    part = mention.kind == "B" or mention.head in lex.PARTS
    return part and bool(lex.search(r"\b(?:his|her|its|their|with(?: \w+)?) $", before))


def _read_side(mention: Mention, before: str, text: str) -> None:
    """ "The left ball" has its side in its phrase, and stands there."""
    if side := lex.search(r"\b(?:the|an?) ((?:left|right|top|bottom)(?:most|-hand)?) $", before):
        mention.start -= len(side.group(1)) + 1
        mention.phrase, mention.opened = text[mention.start : mention.end], "the"
        mention.wish.start = next(point for p, point in lex.PLACES.items() if lex.match(p, side.group(1)))


def _own(said: str) -> str:
    """What is said of a noun phrase, without a throw or a lift, which moves another, and without the next clause's
    place: " falls, on the right "."""
    said = re.sub(_SENDS, "", said)
    return re.split(r"[,.;:] (?=(?:on|at|in) the )|,? and (?=(?:on|at|in) the [\w -]+ (?:an?|the) $)", said)[0]


def _is_again(before: str, mention: Mention, earlier: Mention) -> bool:
    """Whether a noun phrase with "the" speaks of one named before: "a glass of milk ... the glass"."""
    words, others = ({lex.singular(w) for w in m.phrase.lower().split()} for m in (mention, earlier))
    bare = not mention.opened and words == others and mention.count == 1
    return (before.endswith("the ") or bare) and mention.head == earlier.head and words <= others


_NEGATION = r"(?i)\b(not|never|neither|nor|\w+n['’]t)\b ((?:[\w'-]+ ?){1,3})"
_PRONOUN = r"(?:it|him|her|them)"
_BESIDE_IT = (
    rf" (?:(?:on|to|at) (?:his|her|its|their) (?:left|right)|(?:above|below|under|behind|in front of) {_PRONOUN})\b"
)
_ARTICLE = r"(?: an?| the| his| her| its)? ?"
_SENDS = rf"\b(?:{'|'.join(lex.SENDING)}){_ARTICLE}$"


def _modifies(before: str, mention: Mention, last: Mention, *, of_subject: bool) -> bool:
    """Whether a noun phrase belongs to the one right before it: "a load of hay", "a girl in a pink sweater"."""
    if lex.fullmatch(rf" of{_ARTICLE}", before):
        return True
    if lex.fullmatch(rf",? and{_ARTICLE}", before) and mention.kind == "B":
        return bool(lex.search(r" (?:in|with|wearing) ", last.phrase))  # "in a red hat and a blue scarf"
    within = lex.fullmatch(rf" (?:in|with|wearing|dressed in){_ARTICLE}", before)
    return bool(within) and of_subject and mention.kind != "P"


def _stands_apart(before: str, mention: Mention, said: str) -> bool:
    """Whether what follows is said of this and not of the subject: "a cabin with smoke rising from it"."""
    if not lex.match(r" (?:\w+ly )?\w+ing\b", said):
        return False
    led = lex.search(rf"([\w-]+){_ARTICLE}$", before)
    done = led and lex.infinitive(led.group(1)) and led.group(1) not in lex.PREPOSITIONS
    if not mention.opened and before.endswith("with "):
        return mention.kind != "B" and mention.head not in lex.PARTS  # "a girl with braids feeding a deer"
    return bool(done) and ATTACHED.keys().isdisjoint(_relations(before))


def _new_clause(before: str) -> bool:
    """Whether the words before a noun phrase begin a clause of its own."""
    placed = rf"(?:[,.;:]|\band) (?:on|at|in) the [a-z -]+{_ARTICLE}$"  # ", on the right a clock"
    sent = rf"(?:(?:to|on) the|(?<!the)) (?:left|right)(?:wards?)?{_ARTICLE}$"  # "going right blue car going left"
    some = r"(?:(?:pair|couple|group|trio|row|stack) of |\w+ )?"
    linked = rf"(?:[,.;:]|\b(?:and|while|as|but|with|whereas|when|then)\b){_ARTICLE}{some}$"
    return bool(lex.search(rf"{placed}|{sent}|{linked}|[.;!?]", before))


def _is_setting(before: str, mention: Mention) -> bool:
    """Whether a noun phrase says where things happen."""
    ground = ("on", "above", AFTER) if mention.kind == "P" else ("on", AFTER)
    relations = [r for r in _relations(before) if r not in ground]
    if mention.kind == "P":
        return not relations or bool(lex.search(r"\bfrom .* to the (?:left|right)(?: side)? of the $", before))
    return bool(lex.search(rf"\b(?:in|during){_ARTICLE}$", before)) and not relations


def _is_fronted_setting(before: str, mention: Mention, said: str) -> bool:
    """Whether a noun phrase is a place or a time that comes first: "in a park, a cat walks"."""
    led = lex.search(rf"(?:^|[.;] )(?:in|at|during|on|inside){_ARTICLE}(?:\w+ )?$", before)
    if not led or not said.startswith(","):
        return False
    return mention.kind == "P" or not lex.search(r"\bon\b|\binside\b", led.group())


def _relations(before: str) -> list[str]:
    """The relation of the subject to a noun phrase, by the words before it."""
    if lex.search(rf"\b{_PRONOUN} (?:[\w-]+ )?(?:an?|the|two|three) $", before):
        return []  # "behind her a dog runs"
    for name, pattern in lex.RELATIONS.items():
        if lex.search(rf"\b(?:{pattern})\b{_ARTICLE}(?:\w+ )?$", before):
            return [name]
    return []


def _share_verbs(text: str, kept: list[Mention]) -> None:
    """ "A ball, a cube and a ring move up": one verb for all."""
    listed = False
    for a, b in zip(reversed(kept[:-1]), reversed(kept), strict=False):
        between = text[a.end : b.start].lower()
        listed = bool(
            lex.fullmatch(r",? ?and (?:an?|the|\w+)? ?" if not listed else r",? (?:and )?(?:an?|the|\w+)? ?", between)
        )
        if listed and not (a.wish.direction or a.governed):
            shared = ("direction", "drift", "then", "enters", "leaves", "row", "pair")
            a.wish = replace(a.wish, **{name: getattr(b.wish, name) for name in shared})
            if not a.wish.relations:  # "a cup and a plate on a table"
                a.wish.relations = [(r, k) for r, k in b.wish.relations if kept[k] is not a]
            if b.wish.row and a.count == b.count == 1:
                b.wish.relations.append(("next to", kept.index(a)))
    for a, b in zip(kept, kept[1:], strict=False):
        if bool(a.wish.pair) != bool(b.wish.pair) and max(a.count, b.count) == 1:  # "a ball swaps places with a cube"
            a.wish.pair = b.wish.pair = a.wish.pair or b.wish.pair
            break


def abstract_scene(text: str, mentions: list[Mention]) -> str:
    """The scene with its objects masked: '<object A> rolls right while <object B> rises'."""
    parts, last = [], 0
    for i, mention in enumerate(mentions):
        parts += [text[last : mention.start], f"<object {chr(65 + i)}>"]
        last = mention.end
    scene = "".join([*parts, text[last:]])
    scene = re.sub(r"\b(?:an?|the) (?=<object)", "", scene, flags=re.IGNORECASE)
    return re.sub(r" (?:on|against|with) an? (?:\w+ ){1,3}background", "", scene)
