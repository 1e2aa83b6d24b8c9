"""Reads objects, counts, places, directions and relations out of a prompt."""

from __future__ import annotations

import re
from dataclasses import replace

from ...text import plain
from . import lexicon as lex
from .clean import each_with_its_noun, objects_only
from .compose import AFTER
from .nouns import Mention, find_mentions
from .said import read_places, read_said


def read(prompt: str) -> tuple[str, list[Mention]]:
    """A prompt with a noun behind each colour, and the objects that it names with what is wished of them."""
    text = each_with_its_noun(plain(prompt))
    readable = objects_only(text)
    return text, read_wishes(readable, find_mentions(readable))


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
        if begins and _is_fronted_setting(before, mention, said):
            continue
        if side := re.search(r"\b(?:the|an?) ((?:left|right|top|bottom)(?:most|-hand)?) $", before):
            mention.start -= len(side.group(1)) + 1
            mention.phrase = text[mention.start : mention.end]
            mention.wish.start = next(point for p, point in lex.PLACES.items() if side.group(1).startswith(p))
        known = next((m for m in kept if _is_again(before, mention, m)), None)
        if known:
            if begins:
                subject = known
            elif known is not subject:
                subject.wish.relations += [(r, kept.index(known)) for r in _relations(before)]
            read_said(_own(said), subject)
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
            mention.governed = True
            subject = mention
            continue
        elif begins or ahead:
            subject = mention
            kept.append(mention)
            read_places(re.sub(r"^.*(?:[,.;:]|\b(?:and|while)\b) ?", "", before), mention.wish)
            if ahead:
                mention.wish.relations += [(r, ahead[1]) for r in ahead[0]]
                ahead = None
        elif not _is_setting(before, mention):
            mention.governed = True
            kept.append(mention)
            for relation in _relations(before):
                if relation == "riding" and lex.is_plural(mention.word.lower()):
                    mention.count = max(mention.count, subject.count)  # "three girls ride horses"
                if relation == "before":
                    mention.wish.relations.append((AFTER, kept.index(subject)))
                else:
                    subject.wish.relations.append((relation, len(kept) - 1))
            if re.search(rf"\b({'|'.join(lex.CAUSING)}){_ARTICLE}$", before):  # "kicks a ball to the right"
                read_said(before + said, mention)
                if re.search(_SENDS, before):
                    continue  # who throws stays
        relative = re.match(r",? (?:that|which|who)\b", said)
        read_said(_own(said), mention if relative and mention in kept else subject)
    _share_verbs(text, kept)
    for mention in kept:
        if mention.of:  # "two birds fly up, one on the left"
            mention.wish.direction = mention.wish.direction or mention.of.wish.direction
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
        return not relations or bool(re.search(r"\bfrom .* to the (?:left|right)(?: side)? of the $", before))
    return bool(re.search(rf"\b(?:in|during){_ARTICLE}$", before)) and not relations


def _is_fronted_setting(before: str, mention: Mention, said: str) -> bool:
    """Whether a noun phrase is a place or a time that comes first: "in a park, a cat walks"."""
    led = re.search(rf"(?:^|[.;] )(?:in|at|during|on|inside){_ARTICLE}(?:\w+ )?$", before)
    if not led or not said.startswith(","):
        return False
    return singular_head(mention) in lex.SETTINGS or not re.search(r"\bon\b|\binside\b", led.group())


def _relations(before: str) -> list[str]:
    """The relation of the subject to a noun phrase, by the words before it."""
    for name, pattern in lex.RELATIONS.items():
        if re.search(rf"\b(?:{pattern})\b{_ARTICLE}(?:\w+ )?$", before):
            return [name]
    return []


def _share_verbs(text: str, kept: list[Mention]) -> None:
    """ "A ball and a cube move up": one verb for both."""
    for a, b in zip(reversed(kept[:-1]), reversed(kept), strict=False):
        between = text[a.end : b.start].lower()
        if re.fullmatch(r",? ?(?:and|,) (?:an?|the|\w+)? ?", between) and not (a.wish.direction or a.governed):
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
