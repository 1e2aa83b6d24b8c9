"""What kinds of words English has: nouns of things, of places and of neither, verbs, adjectives; from WordNet 3.0.

`words.txt.gz` has a line for each set of kinds: " Tv : ball ... " (T a thing, P a place, X what cannot be seen; v a
verb, V one more often than a noun; a an adjective, r an adverb), and one for each irregular form: " =n : geese goose ".
It is made by `python -m ttom_cli.planning.rules.wordnet FOLDER` from WordNet's own files.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections import defaultdict
from functools import cache
from importlib import resources
from pathlib import Path

FILE = "words.txt.gz"
NOUN = frozenset("TPX")
# WordNet's files of nouns: act 4, animal 5, artifact 6, attribute 7, body 8, ... (lexnames(5WN))
THINGS = {5, 6, 8, 13, 17, 18, 19, 20, 25, 27, 14}
PLACES = {15}
# Where things happen, by its synonym set's ancestors: streets, fields, rooms, land and water.
PLACE_ROOTS = (
    "way area geological_formation land body_of_water room geographical_area building_complex tract establishment"
    " mercantile_establishment weather atmospheric_phenomenon"
).split()
NOUN_ENDINGS = (
    ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"),
    ("xes", "x"), ("zes", "z"), ("ses", "s"), ("oes", "o"), ("s", ""),
)  # fmt: skip
VERB_ENDINGS = (("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", "e"), ("ed", ""),
                ("ing", "e"), ("ing", ""), ("ying", "ie"))  # fmt: skip


@cache
def _text() -> str:
    return gzip.decompress((resources.files(__package__) / FILE).read_bytes()).decode()


@cache
def kinds(word: str) -> str:
    """The letters of a word as it stands; empty for one that is not known."""
    at = _text().find(f" {word} ") if word.isalpha() else -1
    return "" if at < 0 else _text()[_text().rfind("\n", 0, at) + 1 : at + 1].split()[0].lstrip("=n")


def _irregular(word: str, kind: str) -> str:
    at = _text().find(f"\n={kind} : {word} ")
    return _text()[at:].split(maxsplit=4)[3] if at >= 0 else ""


@cache
def singular(noun: str) -> str:
    """'boxes' -> 'box', 'geese' -> 'goose'; a singular stays as it is."""
    if found := _irregular(noun, "n"):
        return found
    if re.search("(ss|us|is|['’]s)$", noun):
        if not re.search("[^aeiou]is$", noun) or not _noun(noun[:-1]):  # skis
            return noun
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
    if found := _irregular(word, "v"):
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


# ---------------------------------------------------------------- making the file


def build(folder: Path) -> str:
    """The file's text, of WordNet's `data.*`, `*.exc` and `cntlist.rev` in a folder."""
    counts = {}
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, number, count = line.split()
        lemma, sense = key.split("%")
        counts[lemma, sense.split(":")[0], int(number)] = int(count)
    weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, letter, part in (("noun", "", "1"), ("verb", "v", "2"), ("adj", "a", "3"), ("adv", "r", "4")):
        senses = _senses(folder / f"data.{name}")
        kinds_of = _noun_kinds(senses) if name == "noun" else defaultdict(lambda letter=letter: letter)
        for line in (folder / f"index.{name}").read_text().splitlines():
            if re.match("[a-z]+(-[a-z]+)* ", line):
                lemma, _, number, *rest = line.split()
                for rank, offset in enumerate(rest[-int(number) :], start=1):
                    said = counts.get((lemma, part, rank), 0) + counts.get((lemma, "5", rank), 0) * (part == "3")
                    weights[lemma][kinds_of[offset]] += said + 0.5 / rank
    lines = defaultdict(list)
    for lemma, by_kind in weights.items():
        lines[_letters(by_kind)].append(lemma)
    text = ["# WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. See LICENSE-WORDNET."]
    text += [f"{kind} : {' '.join(words)} " for kind, words in sorted(lines.items())]
    for name in ("noun", "verb"):
        for line in (folder / f"{name}.exc").read_text().splitlines():
            form, base, *_ = line.split()
            if form.isalpha() and base in weights:
                text.append(f"={name[0]} : {form} {base} ")
    return "\n".join(text) + "\n"


def _letters(weights: dict[str, float]) -> str:
    """One letter for all nouns of a word: what can be seen where a quarter of their uses can."""
    nouns = {kind: weights.get(kind, 0.0) for kind in "TPX"}
    total, seen = sum(nouns.values()), nouns["T"] + nouns["P"]
    letters = ""
    if total:
        letters = "X" if seen < 0.25 * total else "T" if nouns["T"] >= nouns["P"] else "P"
    if "v" in weights:
        letters += "V" if weights["v"] > total else "v"
    return letters + "".join(kind for kind in "ar" if kind in weights)


def _senses(path: Path) -> dict[str, tuple[int, list[str], list[str]]]:
    """Of each synonym set: WordNet's file of it, its words, and the sets above it."""
    senses = {}
    for line in path.read_text().splitlines():
        if line.startswith(" "):
            continue
        offset, file, _, number, *rest = line.split("|")[0].split()
        words, above = rest[: 2 * int(number, 16) : 2], rest[2 * int(number, 16) + 1 :]
        senses[offset] = int(file), words, [above[i + 1] for i in range(0, len(above), 4) if above[i] in ("@", "@i")]
    return senses


def _noun_kinds(senses: dict) -> dict[str, str]:
    @cache
    def place(offset: str) -> bool:
        _, words, above = senses[offset]
        return not set(PLACE_ROOTS).isdisjoint(words) or any(map(place, above))

    def kind(offset: str) -> str:
        file = senses[offset][0]
        if file in PLACES or (file in THINGS | {19} and place(offset)):
            return "P"
        return "T" if file in THINGS else "X"

    return {offset: kind(offset) for offset in senses}


if __name__ == "__main__":
    target = Path(__file__).with_name(FILE)
    target.write_bytes(gzip.compress(build(Path(sys.argv[1])).encode(), mtime=0))
