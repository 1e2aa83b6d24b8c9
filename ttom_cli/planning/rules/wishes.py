"""What is wished of objects, and the paths that answer it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...layout import Keyframe
from ...layout.model import Box

STEPS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
OPPOSITE = {"right": "left", "left": "right", "up": "down", "down": "up"}
# A side of the frame by its name: the direction that goes there.
EDGES = {"left": "left", "right": "right", "top": "up", "above": "up", "bottom": "down", "below": "down"}
PATH = 0.56  # of the frame, the length of a motion; T2V-CompBench rewards long ones
CLOSE = 0.4  # of the frame, the length where several go one behind the other
# Relations that shape a path.
AROUND, TOWARDS, AFTER, OVER, LANDING, OVERTAKING = "around", "towards", "after", "over", "landing on", "overtaking"
# Relations of objects that move as one: where the first is beside the second, in halves of their sides, across and
# down; ahead stands for across in the direction of motion.
ATTACHED = {"riding": (0, -0.7), "holding": (-0.6, 0), "pushing": ("behind", 0), "pulling": ("ahead", 0)}
TOGETHER = ("in front of", "behind", "inside", "on", OVER, LANDING, *ATTACHED)  # relations of objects whose boxes meet
NEARER = 1.6  # how much an object grows that comes nearer


@dataclass
class Wish:
    """What the prompt asks of an object. Places are (x, y) centres, None where free.

    Its representation seeds the search for free places, so that the same wishes get the same layout; a field
    that most prompts leave alone stays out of it (`repr=False`).
    """

    start: tuple[float | None, float | None] | None = None
    end: tuple[float | None, float | None] | None = None
    direction: str | None = None
    drift: str | None = None  # a second one at the same time: up and to the left
    then: tuple[str, ...] = ()  # those that follow
    enters: str | None = None  # the direction of the side that it comes in by, or "somewhere"
    leaves: str | None = None  # of the side that it goes out by
    turn: int = 0  # along a circle: 1 clockwise, -1 against the clock
    nearer: int = 0  # to the camera: 1 comes nearer and grows, -1 goes away and shrinks
    grows: int = 0  # where it is: 1 grows, -1 shrinks
    pair: str | None = None  # what it does with another: swap places, pass, part, meet
    side: str | None = None  # on which it is of that pair
    row: bool = False  # side by side with its like
    stack: bool = field(default=False, repr=False)  # one upon the other
    roams: str = field(default="", repr=False)  # moves a little that way, or in any that is free
    length: float = PATH  # of its path, in frame sides
    size: float = 1.0
    relations: list[tuple[str, int]] = field(default_factory=list)  # (relation, index of the other)

    @property
    def is_free(self) -> bool:
        """Whether nothing is asked of its path."""
        asked = (self.start, self.end, self.direction, self.enters, self.leaves, self.turn, self.nearer, self.grows)
        return not (any(asked) or self.pair or self.row or self.stack or self.relations)


@dataclass(frozen=True)
class Path:
    """Centres at equal times, and the box's side at the first and the last of them."""

    points: tuple[tuple[float, float], ...]
    sides: tuple[float, float]

    def keyframes(self) -> tuple[Keyframe, ...]:
        times = [i / max(len(self.points) - 1, 1) for i in range(len(self.points))]
        return tuple(Keyframe(round(t, 4), self.box(t)) for t in times)

    def box(self, t: float) -> Box:
        spot = t * (len(self.points) - 1)
        i = min(int(spot), max(len(self.points) - 2, 0))
        a, b, w = self.points[i], self.points[min(i + 1, len(self.points) - 1)], spot - i
        x, y = (p + w * (q - p) for p, q in zip(a, b, strict=True))
        half = (self.sides[0] + t * (self.sides[1] - self.sides[0])) / 2
        return tuple(round(v, 4) for v in (x - half, y - half, x + half, y + half))
