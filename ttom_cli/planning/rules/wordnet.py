"""What kinds of words English has: nouns of things, of places and of neither, verbs, adjectives; from WordNet 3.0.

`words.txt.gz` has a line for each set of kinds, "Tv : ball ..." (T a thing, Y what is a thing in some of its uses, P
a place, B what is worn or part of the body, X what cannot be seen; v a verb, V one more often than a noun; a an
adjective, A one more often than a noun, r an adverb), and one for each irregular form, "=n : geese goose". It is made
by `make_words` from WordNet's own files.
"""

from __future__ import annotations

import gzip
import re
from functools import cache
from importlib import resources

FILE = "words.txt.gz"
NOUN = frozenset("TYPBX")
NOUN_ENDINGS = (
    ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"),
    ("xes", "x"), ("zes", "z"), ("ses", "s"), ("oes", "o"), ("s", ""),
)  # fmt: skip
VERB_ENDINGS = (("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", "e"), ("ed", ""),
                ("ing", "e"), ("ing", ""), ("ying", "ie"))  # fmt: skip


@cache
def _words() -> dict[str, dict[str, str]]:
    """Of all words their kinds, and of irregular forms their base: of nouns ("=n") and of verbs ("=v")."""
    words: dict[str, dict[str, str]] = {"": {}, "=n": {}, "=v": {}}
    for line in gzip.decompress((resources.files(__package__) / FILE).read_bytes()).decode().splitlines()[1:]:
        kind, _, *found = line.split()
        if kind in words:
            words[kind][found[0]] = found[1]
        else:
            words[""].update(dict.fromkeys(found, kind))
    return words


def kinds(word: str) -> str:
    """The letters of a word as it stands; empty for one that is not known."""
    return _words()[""].get(word, "")


@cache
def singular(noun: str) -> str:
    """'boxes' -> 'box', 'geese' -> 'goose'; a singular stays as it is."""
    if found := {"people": "person"}.get(noun) or _words()["=n"].get(noun):
        return found
    if re.search("(ss|us|is|['’]s)$", noun):
        return noun[:-1] if re.search("..[ui]s$", noun) and _noun(noun[:-1]) else noun  # skis, menus
    for ending, instead in NOUN_ENDINGS:
        stem = noun.removesuffix(ending) + instead
        if noun.endswith(ending) and len(stem) > 2 and _noun(stem):
            return stem
    unknown = not kinds(noun) and len(noun) > 3 and re.search("[^s]s$", noun)
    return noun[:-1] if unknown and not re.search("(us|is)$", noun) else noun


def _noun(word: str) -> bool:
    return not NOUN.isdisjoint(kinds(word))


@cache
def infinitive(word: str) -> str:
    """'rolling' -> 'roll', 'ran' -> 'run'; empty for what is no form of a verb."""
    if found := _words()["=v"].get(word):
        return found
    if "v" in kinds(word).lower():
        return word
    for ending, instead in VERB_ENDINGS:
        stem = word.removesuffix(ending)
        if word.endswith(ending) and len(stem) > 1:
            if "v" in kinds(stem + instead).lower():
                return stem + instead
            if stem[-1] == stem[-2] and not instead and "v" in kinds(stem[:-1]).lower():
                return stem[:-1]
    return ""
