"""Makes `words.txt.gz` (see `wordnet`) of a folder of WordNet's own files, when it is run with that folder."""

from __future__ import annotations

import gzip
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

from .wordnet import FILE

# WordNet's files of nouns: act 4, animal 5, artifact 6, attribute 7, body 8, ... (lexnames(5WN))
THINGS = {5, 6, 8, 13, 17, 18, 19, 20, 25, 27, 14}
PLACES = {15}
# Where things happen, by its synonym set's ancestors: streets, fields, rooms, land and water.
PLACE_ROOTS = tuple(
    (
        "way area geological_formation land body_of_water room geographical_area building_complex tract establishment"
        " mercantile_establishment weather atmospheric_phenomenon"
    ).split()
)
TOPS = ("person", "animal", "plant", "artifact", "food")
WORN_ROOTS = ("clothing", "hair", "footwear", "jewelry", "headdress", "eyeglasses")


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
                    weights[lemma][kinds_of[offset]] += said + 1 / rank
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
    """One letter for all nouns of a word, by the share of their uses that can be seen."""
    nouns = {kind: weights.get(kind, 0.0) for kind in "TPBX"}
    total = sum(nouns.values())
    letters = ""
    if total:
        letters = max("TPB", key=lambda kind: nouns[kind] / (1 + 2 * (kind == "B")))
        if nouns["X"] > 0.85 * total:
            letters = "X"
        elif letters == "T" and nouns["X"] > 0.4 * total:
            letters = "Y"
    if "v" in weights:
        letters += "V" if weights["v"] > total else "v"
    if "a" in weights:
        letters += "A" if weights["a"] > total else "a"
    return letters + "r" * ("r" in weights)


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
    def below(offset: str, roots: tuple[str, ...]) -> bool:
        _, words, above = senses[offset]
        return not set(roots).isdisjoint(words) or any(below(o, roots) for o in above)

    def kind(offset: str) -> str:
        file = senses[offset][0]
        if file in PLACES or (file in THINGS and below(offset, PLACE_ROOTS)):
            return "P"
        if file == 3 and not set(senses[offset][1]).isdisjoint(TOPS):
            return "T"
        if file == 8 or below(offset, WORN_ROOTS):
            return "B"
        return "T" if file in THINGS else "X"

    return {offset: kind(offset) for offset in senses}


if __name__ == "__main__":
    target = Path(__file__).with_name(FILE)
    target.write_bytes(gzip.compress(build(Path(sys.argv[1])).encode(), mtime=0))
