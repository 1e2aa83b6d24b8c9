"""Text that comes from a model, a server or a file, and where a phrase stands in it."""

from __future__ import annotations

import html
import re
import unicodedata

_ENTITY = re.compile(r"&(?:amp;)*(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z]\w{1,30});")
_QUOTES = {ord(c): "'" for c in "‘’‚‛ʼ′´`"} | {ord(c): '"' for c in "“”„‟″"} | {ord(c): "-" for c in "‐‑‒–"}
# What goes on with the character before it: vowels and finals of Hangul in parts, marks of half-width kana.
_GOES_ON = re.compile("[\u1160-\u11ff\uff9e\uff9f]")
# Scripts without spaces between words, and Hangul, whose particles stick to them.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u318f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def undecoded(text: str) -> bool:
    """Whether bytes that are no UTF-8 were let through, as Python does on the command line and in some locales."""
    return bool(re.search("[\udc80-\udcff]", text))


def plain(text: str) -> str:
    """On one line, without control characters and terminal escapes."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def counted(count: int, one: str, several: str = "") -> str:
    """'1 fault', '2 faults', '3 entries'."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def slug(text: str) -> str:
    """'A red ball!' -> 'a-red-ball': safe as a file's name on any system; at most 200 bytes."""
    name = re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:80]
    return name.encode()[:200].decode(errors="ignore").rstrip("-") or "video"


def fold(text: str) -> str:
    """Text as it is compared: entities, ligatures, full width, parted accents, curly quotes and spaces made one."""
    return " ".join(_folded(text)[0].split())


def occurrences(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where the phrase stands in the text, in any case and spelling that `fold` makes one: characters (start, end).

    It stands at word borders, in scripts that have spaces between words.
    """
    folded, at = _folded(text)
    pattern = r"\s+".join(map(re.escape, fold(phrase).split()))
    found = re.finditer(pattern, folded, re.IGNORECASE) if pattern else ()
    return [
        (at[m.start()][0], at[m.end() - 1][1])
        for m in found
        if not _one_word(folded, m.start()) and not _one_word(folded, m.end())
    ]


def stands_in(phrase: str, text: str) -> bool:
    """Whether the phrase stands in the text."""
    return bool(occurrences(phrase, text))


def _one_word(text: str, i: int) -> bool:
    """Whether the characters on both sides of position i belong to one word."""
    return 0 < i < len(text) and all(
        (unicodedata.category(c)[0] in "LMN" or c == "_") and not _UNSPACED.match(c) for c in text[i - 1 : i + 1]
    )


def _folded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text made comparable, and for each of its characters the (start, end) of what it comes from."""
    folded, at, i = [], [], 0
    while i < len(text):
        entity = _ENTITY.match(text, i) if text[i] == "&" else None
        j = entity.end() if entity else i + 1
        while j < len(text) and not text[j].isascii() and (unicodedata.combining(text[j]) or _GOES_ON.match(text[j])):
            j += 1
        part = text[i:j]
        for _ in range(3 if entity else 0):
            part = html.unescape(part)
        if part.isascii():
            part = part.replace("`", "'")
        else:
            part = unicodedata.normalize("NFKC", part.translate(_QUOTES)).translate(_QUOTES)
        part = "".join(c if c.isprintable() else " " for c in part)
        folded.append(part)
        at += [(i, j)] * len(part)
        i = j
    return "".join(folded), at
