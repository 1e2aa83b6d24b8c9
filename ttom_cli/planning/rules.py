"""The offline planner: reads objects, counts, places, directions and relations out of a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..errors import PlanningError
from ..layout import Layout
from ..text import plain
from . import lexicon as lex
from .compose import AFTER, EDGES, OPPOSITE, Wish, compose

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


class RulesPlanner:
    """Plans without any model; deterministic for a prompt. `tell` hears of doubts."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None):
        self.tell = tell

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt names no object."""
        text, mentions = read(prompt)
        if not mentions:
            raise PlanningError(
                f"the rules planner finds no object in {prompt!r}",
                "name the objects ('a red ball rolls right'), or give a layout with --layout",
            )
        if not lex.is_english(re.findall(r"[\w'-]+", text.lower())):
            self.tell(f"the rules planner knows English alone, and this is none: {text!r}; look at the layout")
        return Layout(
            prompt=plain(prompt),
            enriched_prompt=text if text != plain(prompt) else "",
            objects=compose(mentions),
            background=_background(text),
            camera=_camera(text),
            scene=abstract_scene(text, mentions),
        )


def read(prompt: str) -> tuple[str, list[Mention]]:
    """A prompt with a noun behind each colour, and the objects that it names with what is wished of them."""
    text = _each_with_its_noun(plain(prompt))
    # What the camera does is not done by an object.
    objects_only = re.sub(lex.CAMERA, lambda m: " " * len(m.group()), text, flags=re.IGNORECASE)
    return text, read_wishes(objects_only, find_mentions(objects_only))


def _each_with_its_noun(text: str) -> str:
    """ "red, green and blue circles" -> "red circles, green circles and blue circles", numbers as they are."""
    number = rf"(?:(?:{'|'.join(lex.NUMBERS)}|\d+|an?|one|the) )?"
    color = rf"(?:{'|'.join(lex.COLORS)})"
    more = rf"(?:, {number}{color})*,? and (?P<last>{number}){color}"
    ends = rf"(?= *(?:$|[,.;:]|(?:and|while|{'|'.join(lex.BASE_FORMS)})\b|\w+(?:s|ing)\b))"
    own = r"(?<!\bin )(?<!\bof )(?<!\bwith )(?<!\bwearing )\b"
    pattern = rf"{own}(?P<first>{number}){color}{more} (?P<noun>\w+)\b{ends}"

    one = re.compile("(?:an?|one|the) ", re.IGNORECASE)

    def repeat(match: re.Match) -> str:
        first, last, noun = match.group("first", "last", "noun")
        if bool(first) != bool(last) or match.group().lower().startswith("black and white"):
            return match.group()  # "two red and blue balls", "a red and white lighthouse"
        if not (lex.is_plural(noun) or (one.fullmatch(first or "") and one.fullmatch(last))):
            return match.group()
        return re.sub(
            rf"({number})({color})\b(?! {noun})",
            lambda m: f"{m.group()} {lex.singular(noun) if one.fullmatch(m.group(1)) else noun}",
            match.group(),
            flags=re.IGNORECASE,
        )

    return re.sub(pattern, repeat, text, flags=re.IGNORECASE)


# ---------------------------------------------------------------- noun phrases


def find_mentions(text: str) -> list[Mention]:
    """Noun phrases in order: an optional count or determiner, attributes, and a head noun."""
    tokens = [(m.group().lower(), m.start(), m.end()) for m in WORD.finditer(text)]
    skip = _spoken_for(text)
    mentions, i = [], 0
    while i < len(tokens):
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
        )
        j, verb = first, False
        while j < len(tokens) and not any(a <= tokens[j][1] < b for a, b in skip):
            following = tokens[j + 1][0] if j + 1 < len(tokens) else ""
            so_far = [t[0] for t in tokens[first:j] if t[0] != ","]
            if not _joins_adjectives(tokens[j][0], so_far, following, opened=context.opened) and _stops(
                tokens[j][0], so_far, following, context
            ):
                verb = not (_closed_class(tokens[j][0]) or _articles(tokens[j][0]))
                break
            j += 1
        if j > first:
            words = [t[0] for t in tokens[first:j] if t[0] != ","]
            if words[-1] not in lex.NOT_OBJECTS and not lex.NONE.intersection((before, *opened)):
                span = tokens[first][1], tokens[j - 1][2]
                phrase = text[span[0] : span[1]]
                size = next((lex.SIZES[w] for w in words if w in lex.SIZES), 1.0)
                exact = not lex.VAGUE.intersection(opened)
                mentions.append(
                    Mention(*span, phrase, phrase.split()[-1], tuple(words[:-1]), count, Wish(size=size), exact=exact)
                )
        i = max(j + verb, i + 1)
    return mentions


def _spoken_for(text: str) -> list[tuple[int, int]]:
    """Spans that name a place, a direction, a relation or the background, not an object."""
    patterns = [rf"\b{lex.PLACE_PREFIX}(?:{p}){lex.PLACE_SUFFIX}" for p in lex.PLACES]
    patterns += [rf"\b(?:{p})\b" for p in (*lex.DIRECTION_PHRASES.values(), *lex.RELATIONS.values())]
    patterns += [rf"\b(?:{p})" for p in (lex.ENTERS, lex.LEAVES, lex.SWAPS, lex.IN_A_ROW)]
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
    if word.endswith("ly") and opened and not so_far:
        return False  # "an elderly man"
    articled = _articles(following)
    if _closed_class(word) or (so_far and _articles(word)):
        return True
    if word.endswith("ing"):
        return (word not in lex.ING_NOUNS or articled) and (bool(so_far) or not opened)
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
    if not (named or opened):
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
    return known or (word.endswith("ly") and word not in lex.LY_NOUNS)


# ---------------------------------------------------------------- what is said of them


def read_wishes(text: str, mentions: list[Mention]) -> list[Mention]:
    """Set each mention's wish from the words around it; returns those that are objects.

    A clause's first noun phrase is its subject, to which its places, directions and relations belong; noun
    phrases behind a preposition or the verb are objects too, or settings, which are none.
    """
    kept: list[Mention] = []
    subject: Mention | None = None
    ahead: tuple[list[str], int] | None = None  # "above the sofa hangs a painting": the relation comes first
    for i, mention in enumerate(mentions):
        until = mentions[i + 1].start if i + 1 < len(mentions) else len(text)
        said = text[mention.end : until].lower()
        if i + 1 < len(mentions) and re.search(rf"\b(?:up|down){_ARTICLE}$", said):
            said += mentions[i + 1].phrase.lower()  # "down the street" is not downwards
        before = text[mentions[i - 1].end if i else 0 : mention.start].lower()
        last = kept[-1] if kept and kept[-1] is mentions[i - 1] else None
        begins = subject is None or _new_clause(before)
        known = next((m for m in kept if _is_again(before, mention, m)), None)
        if known:
            if begins:
                subject = known
            elif known is not subject:
                subject.wish.relations += [(r, kept.index(known)) for r in _relations(before)]
            _read(_own(said), subject)
            continue
        if last and _modifies(before, mention, of_subject=last is subject):
            last.end, last.phrase = mention.end, text[last.start : mention.end]
        elif (
            last and re.fullmatch(rf",? and{_ARTICLE}", before) and ("between", len(kept) - 1) in subject.wish.relations
        ):
            kept.append(mention)
            subject.wish.relations.append(("between", len(kept) - 1))
        elif begins and (relations := _relations(before)):
            ahead = relations, len(kept)
            kept.append(mention)
            subject = mention
            continue
        elif begins or ahead:
            subject = mention
            kept.append(mention)
            _read_places(re.sub(r"^.*(?:[,.;:]|\b(?:and|while)\b) ?", "", before), mention.wish)
            if ahead:
                mention.wish.relations += [(r, ahead[1]) for r in ahead[0]]
                ahead = None
        elif not _is_setting(before, mention):
            mention.governed = True
            kept.append(mention)
            for relation in _relations(before):
                subject.wish.relations.append((relation, len(kept) - 1))
            if re.search(rf"\b({'|'.join(lex.CAUSING)}){_ARTICLE}$", before):  # "kicks a ball to the right"
                _read(before + said, mention)
                if re.search(_SENDS, before):
                    continue  # who throws stays
        relative = re.match(r",? (?:that|which|who)\b", said)
        _read(_own(said), mention if relative and mention in kept else subject)
    _share_verbs(text, kept)
    return kept


def _own(said: str) -> str:
    """What is said of a noun phrase, without a throw or a lift, which moves another, and without the next clause's
    place: " falls, on the right "."""
    said = re.sub(_SENDS, "", said)
    return re.split(r"[,.;:] (?=(?:on|at|in) the )", said)[0]


def _is_again(before: str, mention: Mention, earlier: Mention) -> bool:
    """Whether a noun phrase with "the" speaks of one named before: "a table ... the table"."""
    words, others = ({lex.singular(w) for w in m.phrase.lower().split()} for m in (mention, earlier))
    return before.endswith("the ") and singular_head(mention) == singular_head(earlier) and words <= others


_ARTICLE = r"(?: an?| the| his| her| its)? ?"
_SENDS = rf"\b(?:{'|'.join(lex.SENDING)}){_ARTICLE}$"


def _modifies(before: str, mention: Mention, *, of_subject: bool) -> bool:
    """Whether a noun phrase belongs to the one right before it: "a load of hay", "a girl in a pink sweater"."""
    if re.fullmatch(rf" of{_ARTICLE}", before):
        return True
    within = re.fullmatch(rf" (?:in|with|wearing){_ARTICLE}", before)
    return bool(within) and of_subject and singular_head(mention) not in lex.SETTINGS


def singular_head(mention: Mention) -> str:
    return lex.singular(mention.phrase.split()[-1].lower())


def _new_clause(before: str) -> bool:
    """Whether the words before a noun phrase begin a clause of its own."""
    placed = rf"[,.;:] (?:on|at|in) the [a-z -]+{_ARTICLE}$"  # ", on the right a clock"
    linked = rf"(?:[,.;:]|\b(?:and|while|as|but|with|whereas|when|then)\b){_ARTICLE}(?:\w+ )?$"
    return bool(re.search(f"{placed}|{linked}", before))


def _is_setting(before: str, mention: Mention) -> bool:
    """Whether a noun phrase says where things happen."""
    relations = [r for r in _relations(before) if r not in ("on", AFTER)]
    if singular_head(mention) in lex.SETTINGS:
        return not relations
    return bool(re.search(rf"\b(?:in|during){_ARTICLE}$", before)) and not relations


def _relations(before: str) -> list[str]:
    """The relation of the subject to a noun phrase, by the words before it."""
    for name, pattern in lex.RELATIONS.items():
        if re.search(rf"\b(?:{pattern}){_ARTICLE}(?:\w+ )?$", before):
            return [name]
    return []


def _share_verbs(text: str, kept: list[Mention]) -> None:
    """ "A ball and a cube move up": one verb for both."""
    for a, b in zip(reversed(kept[:-1]), reversed(kept), strict=False):
        between = text[a.end : b.start].lower()
        if re.fullmatch(r",? ?(?:and|,) (?:an?|the|\w+)? ?", between) and not (a.wish.direction or a.governed):
            shared = ("direction", "then", "enters", "leaves", "row")
            a.wish = replace(a.wish, **{name: getattr(b.wish, name) for name in shared})
            if b.wish.row and a.count == b.count == 1:
                b.wish.relations.append(("next to", kept.index(a)))
    for a, b in zip(kept, kept[1:], strict=False):
        if bool(a.wish.swaps) != bool(b.wish.swaps):  # "a ball swaps places with a cube"
            (b if a.wish.swaps else a).wish.swaps = "left"
            break


def _read(said: str, mention: Mention) -> None:
    """Set what `said` asks of an object, where nothing before it did."""
    wish = mention.wish
    said, _, later = said.partition(" then ")
    _read_crossings(said, wish)
    said = re.sub(rf"\b(?:{lex.ENTERS}|{lex.LEAVES})", " ", said)
    _read_places(said, wish)
    verbs = [w for w in re.findall(r"[\w-]+", said) if w in lex.MOVING]
    mention.moving = mention.moving or bool(verbs)
    wish.direction = wish.direction or _direction(said, verbs)
    if later and wish.direction:
        back = OPPOSITE[wish.direction] if re.search(r"\b(?:back|returns?|returning)\b", later) else None
        wish.then = wish.then or back or _direction(later, lex.MOVING.intersection(later.split()) or verbs)
    _read_curves(said, wish, going=not lex.SPINNING.issuperset(verbs))
    if re.search(rf"\b(?:{lex.SWAPS})", said):
        wish.swaps = "right"
    wish.row = wish.row or bool(re.search(rf"\b(?:{lex.IN_A_ROW})\b", said))


def _direction(said: str, verbs) -> str | None:
    """The direction of motion; `verbs` are those of motion that it may go with."""
    for direction, pattern in lex.DIRECTION_PHRASES.items():
        found = re.search(rf"\b(?:{pattern})\b", said)
        if found and (verbs or found.group() not in ("up", "down")):  # not "sits down"
            return direction
    if not verbs:
        return None
    bare = [d for d, p in lex.BARE.items() if re.search(rf"\b(?<!the )(?:{p})\b", said)]
    words = {*re.findall(r"[\w-]+", said)}.intersection(verbs)
    rises = [d for d, group in (("up", lex.RISING), ("down", lex.FALLING)) if not group.isdisjoint(words)]
    return next(iter(bare + rises), None)


def _read_crossings(said: str, wish: Wish) -> None:
    """By which side it comes into the frame and goes out of it, and which way that is."""
    for pattern, name in ((lex.ENTERS, "enters"), (lex.LEAVES, "leaves")):
        if found := re.search(rf"\b(?:{pattern})", said):
            side = re.search(rf"\b({'|'.join(EDGES)})\b", found.group())
            setattr(wish, name, EDGES[side.group()] if side else "somewhere")
    if wish.enters in OPPOSITE:
        wish.direction = wish.direction or OPPOSITE[wish.enters]
    if wish.leaves in OPPOSITE:
        if wish.direction and wish.direction != wish.leaves:
            wish.then = wish.leaves
        wish.direction = wish.direction or wish.leaves


def _read_places(said: str, wish: Wish) -> None:
    """Where it begins ("at the top left", "from the top left to") and ends ("to the top", "ends at the top")."""
    for name, point in lex.PLACES.items():
        two_words = "[ -]" in name
        if re.search(rf"\b{lex.ENDS}{lex.PLACE_PREFIX}(?:{name}){lex.PLACE_SUFFIX}", said) or (
            two_words and re.search(rf"\bto the (?:{name}){lex.PLACE_SUFFIX}", said)
        ):
            wish.end = wish.end or point
        elif re.search(rf"\b{lex.PLACE_PREFIX}(?:{name}){lex.PLACE_SUFFIX}", said) or (
            two_words and re.search(rf"\bfrom the (?:{name})\b", said)
        ):
            wish.start = wish.start or point


def _read_curves(said: str, wish: Wish, *, going: bool) -> None:
    """Circles, and motion to the camera or away from it; `going` says that it does not only turn on the spot."""
    clock = re.search(rf"\b(?:{lex.CLOCKWISE}|{lex.AGAINST})\b", said)
    if re.search(rf"\b(?:{lex.CIRCLES})\b", said) or (going and (clock or re.search(r"\baround (?:an?|the) ", said))):
        wish.turn = wish.turn or 1
    if wish.turn and clock:
        wish.turn = -1 if re.search(rf"\b{lex.AGAINST}\b", said) else 1
    if re.search(rf"\b(?:{lex.NEARER})", said):
        wish.nearer = 1
    elif re.search(rf"\b(?:{lex.FARTHER})\b", said) or (going and re.search(r"\baway\b(?! from)", said)):
        wish.nearer = -1
    wish.grows = bool(re.search(rf"\b(?:{lex.LARGER})", said)) - bool(re.search(rf"\b(?:{lex.SMALLER})\b", said))


def _background(text: str) -> str:
    found = re.search(r"\b(?:on|against|with) an? ((?:\w+ ){1,3}background)", text, re.IGNORECASE)
    return found.group(1) if found else ""


def _camera(text: str) -> str:
    found = re.search(rf"\b{lex.CAMERA}", text, re.IGNORECASE)
    return re.sub(r"^(?:(?:the|a) )?camera:? *", "", found.group(), flags=re.IGNORECASE).strip() if found else ""


def abstract_scene(text: str, mentions: list[Mention]) -> str:
    """The scene with its objects masked: '<object A> rolls right while <object B> rises'."""
    parts, last = [], 0
    for i, mention in enumerate(mentions):
        parts += [text[last : mention.start], f"<object {chr(65 + i)}>"]
        last = mention.end
    scene = "".join([*parts, text[last:]])
    scene = re.sub(r"\b(?:an?|the) (?=<object)", "", scene, flags=re.IGNORECASE)
    return re.sub(r" (?:on|against|with) an? (?:\w+ ){1,3}background", "", scene)
