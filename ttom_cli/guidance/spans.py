"""Which tokens of the prompt speak of which object."""

from __future__ import annotations

import re

from ..errors import LayoutError
from ..layout import Layout


def phrase_spans(layout: Layout, text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Token indices of each object's phrase in `text`, by the tokens' characters (start, end) in it.

    Where a phrase stands as often as objects have it ("a red ball ... a red ball"), each object takes
    its own occurrence in order; else every object takes all of them. Raises LayoutError for a phrase
    that does not stand in the text, or stands beyond its tokens.
    """
    phrases = [track.phrase.lower() for track in layout.objects]
    spans, faults = [], []
    for i, track in enumerate(layout.objects):
        phrase = phrases[i]
        found = [_tokens(m.span(), offsets) for m in _occurrences(phrase, text)]
        if not found:
            faults.append(f"object {track.phrase!r}: the phrase does not stand in the prompt {text!r}")
        elif not all(found):
            faults.append(
                f"object {track.phrase!r}: the phrase stands beyond the {len(offsets)} tokens that the model reads"
            )
        elif len(found) == phrases.count(phrase):
            spans.append(found[phrases[:i].count(phrase)])
        else:
            spans.append(tuple(sorted({t for span in found for t in span})))
    if faults:
        raise LayoutError(faults)
    return spans


def _occurrences(phrase: str, text: str):
    return re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE)


def _tokens(span: tuple[int, int], offsets) -> tuple[int, ...]:
    """Tokens whose characters overlap the span."""
    start, end = span
    return tuple(i for i, (a, b) in enumerate(offsets) if a < end and b > start)
