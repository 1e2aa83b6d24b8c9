"""Which tokens of the prompt speak of which object."""

from __future__ import annotations

from ..errors import LayoutError
from ..layout import Layout
from ..text import fold, occurrences

Span = tuple[int, int]  # characters (start, end)


def phrase_spans(layout: Layout, text: str, offsets: list[Span]) -> list[tuple[int, ...]]:
    """Token indices of each object's phrase in `text`, by the tokens' characters (start, end) in it.

    Where a phrase stands as often as objects have it ("a red ball ... a red ball"), each object takes
    its own occurrence in order; else every object takes all of them that are read. What stands within the longer
    phrase of another object is that one's: of "a ball and a red ball" the first "ball" alone. Where the phrase
    stands in the original prompt alone, its head noun is taken. Raises LayoutError for a phrase that does not
    stand in the text, or only beyond its tokens.
    """
    phrases = [fold(track.phrase).lower() for track in layout.objects]
    places = [occurrences(track.phrase, text) or occurrences(track.word, text) for track in layout.objects]
    spans, faults = [], []
    for i, track in enumerate(layout.objects):
        others = [span for k, found in enumerate(places) if phrases[k] != phrases[i] for span in found]
        own = [span for span in places[i] if not any(_within(span, other) for other in others)] or places[i]
        found = [_tokens(span, offsets) for span in own]
        mine = phrases[:i].count(phrases[i])
        if not own:
            faults.append(f"object {track.phrase!r}: the phrase does not stand in the prompt {text!r}")
        elif not any(found):
            faults.append(
                f"object {track.phrase!r}: the phrase stands beyond the {len(offsets)} tokens that the model reads"
            )
        elif len(found) == phrases.count(phrases[i]) and found[mine]:
            spans.append(found[mine])
        else:
            spans.append(tuple(sorted({t for span in found for t in span})))
    if faults:
        raise LayoutError(faults)
    return spans


def _within(span: Span, other: Span) -> bool:
    return other[0] <= span[0] and span[1] <= other[1] and span != other


def _tokens(span: Span, offsets: list[Span]) -> tuple[int, ...]:
    """Tokens whose characters overlap the span."""
    start, end = span
    return tuple(i for i, (a, b) in enumerate(offsets) if a < end and b > start)
