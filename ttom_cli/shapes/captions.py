"""Captions for scenes: always what is there, only sometimes where it stands and how it moves.

Where a caption has several objects, half of the time their places and motions are dealt to them at
random. So the words are learnt, and their binding is not: the failure of large models that test-time
optimisation is meant to mend, in a model small enough to ship.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
from PIL import ImageColor

from .world import BACKGROUNDS, COLORS, RADII, Scene, Thing

NOUNS = {
    "circle": ("circle", "ball", "disc", "dot"),
    "square": ("square", "box", "cube", "block"),
    "triangle": ("triangle", "pyramid"),
    "cross": ("cross", "plus"),
}
NUMBERS = {2: "two", 3: "three", 4: "four"}
# (finite, participle, plural) forms; each takes a direction's adverb.
VERBS = (
    ("moves", "moving", "move"),
    ("rolls", "rolling", "roll"),
    ("slides", "sliding", "slide"),
    ("drifts", "drifting", "drift"),
    ("flies", "flying", "fly"),
    ("goes", "going", "go"),
    ("floats", "floating", "float"),
)
ADVERBS = {
    "right": ("right", "to the right", "rightwards", "from left to right"),
    "left": ("left", "to the left", "leftwards", "from right to left"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
# Verbs that say the direction themselves.
RISES = {
    "up": (("rises", "rising", "rise"), ("climbs", "climbing", "climb"), ("ascends", "ascending", "ascend")),
    "down": (("falls", "falling", "fall"), ("sinks", "sinking", "sink"), ("drops", "dropping", "drop")),
}
STILL = ("stands still", "standing still", "stand still")
FILLERS = ("", "", "", "", "", "", "a video of ", "there is ")
Look = tuple[Optional[str], Optional[str]]
"""A colour and a shape, None where it is not said."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    nouns = [w for forms in NOUNS.values() for w in forms]
    verbs = [w for v in (*VERBS, *RISES["up"], *RISES["down"], STILL) for form in v for w in form.split()]
    adverbs = [w for forms in ADVERBS.values() for a in forms for w in a.split()]
    rest = """a an the at in on of and while as with to is are there video background turns turning turn
    changes changing from into small large tiny big top bottom center middle left right above below over
    under side standing one two three four , ."""
    words = [*COLORS, *BACKGROUNDS, *nouns, *map(plural, nouns), *verbs, *adverbs, *rest.split()]
    return sorted(set(words))


def plural(noun: str) -> str:
    """'box' -> 'boxes', 'cross' -> 'crosses', 'plus' -> 'pluses'."""
    return noun + ("es" if noun.endswith(("s", "x")) else "s")


def look_of(phrase: str) -> Look:
    """The (colour, shape) that a phrase names: 'small red boxes' -> ('red', 'square'); None for what it does not."""
    words = phrase.lower().split()
    color = next((w for w in words if w in COLORS), None)
    shape = next((SHAPE_OF[w] for w in words if w in SHAPE_OF), None)
    return color, shape


SHAPE_OF = {word: shape for shape, nouns in NOUNS.items() for noun in nouns for word in (noun, plural(noun))}


def cannot_draw(phrase: str) -> str:
    """What a phrase asks for that the world does not hold, in words; empty if it can be drawn.

    Other words ("a fluffy red ball") are left out of the captions now and then, and do no harm.
    """
    words = [word.strip(",.'\"") for word in phrase.lower().split()]
    if not any(word in SHAPE_OF for word in words):
        return f"it does not know {words[-1]!r}"
    odd = next((word for word in words if word not in COLORS and word in ImageColor.colormap), None)
    return f"it draws nothing {odd}, only {', '.join(COLORS)}" if odd else ""


def caption(scene: Scene, rng: np.random.Generator, *, dense: bool = False) -> str:
    """One of the many captions of a scene; the details may be bound to the wrong objects.

    A `dense` one says all that there is to say, of the right objects.
    """
    return caption_and_spans(scene, rng, dense=dense)[0]


def caption_and_spans(
    scene: Scene, rng: np.random.Generator, *, dense: bool = False
) -> tuple[str, list[list[tuple[int, int]]]]:
    """A caption, and for each group the characters [begin, end) of its colour and of its noun."""
    participle = rng.random() < 0.4
    form = 1 if participle else 0
    subjects = [_subject(group, rng, dense) for group in scene.groups]
    relation = "" if dense else _relation(scene, rng)
    if relation:
        text = f"{subjects[0]} {relation} {subjects[1]}"
    else:
        details = [_details(group, form, rng, dense) for group in scene.groups]
        if rng.random() < 0.5 and not dense:
            details = [details[i] for i in rng.permutation(len(details))]
        parts = [
            " ".join(filter(None, (s, _change(g, form), *d)))
            for s, g, d in zip(subjects, scene.groups, details, strict=True)
        ]
        text = _join(parts, participle, rng)
    text = str(rng.choice(FILLERS)) + text
    if dense or rng.random() < 0.5:
        text += f" on a {scene.background} background"
    spans, end = [], 0
    for subject in subjects:
        end = text.index(subject, end) + len(subject)
        color, noun = subject.split()[-2:]
        middle = end - len(noun)
        spans.append([(middle - 1 - len(color), middle - 1), (middle, end)])
    return text, spans


def _subject(group: tuple[Thing, ...], rng, dense: bool) -> str:
    thing = group[0]
    noun = str(rng.choice(NOUNS[thing.shape])) if rng.random() < 0.5 else thing.shape
    words = [thing.color, noun if len(group) == 1 else plural(noun)]
    if (dense or rng.random() < 0.5) and thing.radius != RADII["medium"]:
        words.insert(0, str(rng.choice(("small", "tiny") if thing.radius == RADII["small"] else ("large", "big"))))
    if rng.random() < 0.06:  # an unknown word, so that such words do no harm
        words.insert(0, "".join(rng.choice(list(LETTERS), size=rng.integers(3, 8))))
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([NUMBERS.get(len(group), article), *words])


def _change(group: tuple[Thing, ...], form: int) -> str:
    """The colour change; truly bound, for it is part of what the thing is."""
    return f"{('turns', 'turning')[form]} {group[0].color_end}" if group[0].color_end else ""


def _details(group: tuple[Thing, ...], form: int, rng, dense: bool) -> tuple[str, str]:
    """(place, motion), each empty about half of the time, unless dense."""
    thing = group[0]
    place = motion = ""
    if len(group) == 1 and (dense or rng.random() < 0.5):
        place = f"at the {_place_name(thing.start)}"
    form = 2 if len(group) > 1 and form == 0 else form
    direction = thing.direction
    if direction and (dense or rng.random() < 0.55):
        if direction in RISES and rng.random() < 0.4:
            options = RISES[direction]
            motion = options[rng.integers(len(options))][form]
        else:
            verb = VERBS[0] if rng.random() < 0.3 else VERBS[rng.integers(len(VERBS))]
            motion = f"{verb[form]} {rng.choice(ADVERBS[direction])}"
        if len(group) == 1 and rng.random() < 0.2:
            motion += f" to the {_place_name(thing.end)}"
    elif not direction and not thing.color_end and rng.random() < 0.15:
        motion = STILL[form]
    return place, motion


def _place_name(center: tuple[float, float]) -> str:
    """The name of the third of the frame that a point is in: 'top left', 'center', 'right', ..."""
    column = ("left", "", "right")[min(int(center[0] * 3), 2)]
    row = ("top", "", "bottom")[min(int(center[1] * 3), 2)]
    return f"{row} {column}".strip() or "center"


def _relation(scene: Scene, rng) -> str:
    """How the first of two standing singles stands to the second; turned round 3 times in 10."""
    if len(scene.groups) != 2 or len(scene.things) != 2 or rng.random() > 0.7:
        return ""
    a, b = scene.things
    if a.direction or b.direction or a.color_end or b.color_end:
        return ""
    dx, dy = a.start[0] - b.start[0], a.start[1] - b.start[1]
    if rng.random() < 0.3:
        dx, dy = -dx, -dy
    if abs(dx) > abs(dy):
        return f"to the {'left' if dx < 0 else 'right'} of"
    return str(rng.choice(("above", "over") if dy < 0 else ("below", "under")))


def _join(parts: list[str], participle: bool, rng) -> str:
    link = " and " if participle or rng.random() < 0.4 else str(rng.choice((" while ", " as ")))
    return ", ".join(parts[:-1]) + link + parts[-1] if len(parts) > 1 else parts[0]
