"""The shapes world: one seeded scene description from which the video and its true layout follow.

Lengths are fractions of the frame's side, times are fractions of the video's duration; x grows to
the right and y grows downwards. Frames are F x H x W x 3 (uint8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

SIZE = 64  # pixels a side
FRAMES = 13  # 1 + 3 groups of 4, as the Wan VAE compresses time
FPS = 8

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (222, 40, 40),
    "orange": (246, 138, 22),
    "yellow": (242, 216, 44),
    "green": (36, 164, 72),
    "blue": (40, 88, 224),
    "purple": (148, 56, 190),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (248, 248, 248),
    "gray": (136, 136, 136),
    "black": (10, 10, 10),
}
SHAPES = ("circle", "square", "triangle", "cross")
DIRECTIONS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
}

# Half width and half height of each shape's bounding box, as multiples of its radius.
EXTENT = {"circle": (1.0, 1.0), "square": (0.9, 0.9), "triangle": (1.08, 0.98), "cross": (1.05, 1.05)}
RADII = {"small": 0.13, "medium": 0.165, "large": 0.21}
SIZES_FOR = {1: tuple(RADII), 2: tuple(RADII), 3: ("small", "medium"), 4: ("small",)}  # by the number of things
# Places and paths are whole steps of this: half of a latent cell. So there are few patterns to learn.
GRID = 1 / 16
PATHS = (6 * GRID, 9 * GRID)  # lengths of a motion; in four frames (a latent frame) one cell, or one and a half
GAP = 0.03  # least distance between two things, and between a thing and the frame's edge
MANY = 0  # stands in a plan for a number from two to four
Plans = dict[tuple[int, ...], float]
"""How often a scene has groups of so many things."""
PLANS: Plans = {(1,): 0.28, (1, 1): 0.38, (1, 1, 1): 0.1, (MANY,): 0.18, (2, 1): 0.06}


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object: what it is, and a straight path from `start` to `end` (centres, frame fractions)."""

    color: str
    shape: str
    radius: float
    start: tuple[float, float]
    end: tuple[float, float]
    color_end: str | None = None

    def centers(self, times: np.ndarray) -> np.ndarray:
        """Centre at each time: (T,) in [0, 1] -> (T, 2)."""
        start, end = np.asarray(self.start), np.asarray(self.end)
        return start + times[:, None] * (end - start)

    def box(self, t: float) -> tuple[float, float, float, float]:
        """Bounding box (x0, y0, x1, y1) at time t."""
        (x, y), (ex, ey) = self.centers(np.array([t]))[0], EXTENT[self.shape]
        return (
            x - ex * self.radius,
            y - ey * self.radius,
            x + ex * self.radius,
            y + ey * self.radius,
        )

    @property
    def direction(self) -> str | None:
        """The named direction that the thing moves in, or None if it stands."""
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        if max(abs(dx), abs(dy)) < 0.02:
            return None
        if abs(dx) > abs(dy):
            return "right" if dx > 0 else "left"
        return "down" if dy > 0 else "up"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Groups of like things on a plain background; a group of one is a single object."""

    groups: tuple[tuple[Thing, ...], ...]
    background: str

    @property
    def things(self) -> tuple[Thing, ...]:
        return tuple(thing for group in self.groups for thing in group)


def frame_times(frames: int = FRAMES) -> np.ndarray:
    """Time of each frame: (F,) from 0 to 1."""
    return np.linspace(0.0, 1.0, frames)


# ---------------------------------------------------------------- rendering


def render(scene: Scene, *, size: int = SIZE, frames: int = FRAMES) -> np.ndarray:
    """Draw the scene with anti-aliased edges: (F, H, W, 3) uint8."""
    times = frame_times(frames)
    video_FHWC = np.empty((frames, size, size, 3), np.float32)
    video_FHWC[:] = BACKGROUNDS[scene.background]
    for thing in scene.things:
        alpha_FHW1 = _alpha(thing, times, size)[..., None]
        video_FHWC += alpha_FHW1 * (_colors(thing, times)[:, None, None, :] - video_FHWC)
    return np.rint(video_FHWC).astype(np.uint8)


def _alpha(thing: Thing, times: np.ndarray, size: int) -> np.ndarray:
    """How much of each pixel a thing covers: (F, size, size) in [0, 1]."""
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size
    centers = thing.centers(times).astype(np.float32)
    dx_F1W = grid[None, None, :] - centers[:, 0, None, None]
    dy_FH1 = grid[None, :, None] - centers[:, 1, None, None]
    return np.clip(0.5 - signed_distance(thing.shape, dx_F1W, dy_FH1, thing.radius) * size, 0, 1)


def _colors(thing: Thing, times: np.ndarray) -> np.ndarray:
    """Colour of a thing at each time; a change happens over the middle third: (F, 3)."""
    first = np.array(COLORS[thing.color], np.float32)
    last = np.array(COLORS[thing.color_end or thing.color], np.float32)
    blend = np.clip((times - 1 / 3) * 3, 0, 1).astype(np.float32)[:, None]
    return first + blend * (last - first)


def signed_distance(shape: str, dx, dy, r: float) -> np.ndarray:
    """Distance to the shape's edge, negative inside; dx and dy broadcast to (F, H, W)."""
    if shape == "circle":
        return np.sqrt(dx * dx + dy * dy) - r
    ex, ey = (e * r for e in EXTENT[shape])
    if shape == "square":
        return np.maximum(abs(dx) - ex, abs(dy) - ey)
    if shape == "triangle":  # apex up: base at +ey, two slanted sides
        slope = np.hypot(ex, 2 * ey)
        return np.maximum(dy - ey, (2 * ey * abs(dx) - ex * (dy + ey)) / slope)
    arm = 0.36 * r
    across = np.maximum(abs(dx) - ex, abs(dy) - arm)
    return np.minimum(across, np.maximum(abs(dx) - arm, abs(dy) - ey))


# ---------------------------------------------------------------- sampling


def sample_scene(rng: np.random.Generator, crossing: float = 0.0, *, plans: Plans = PLANS) -> Scene:
    """Draw a scene: by default one to three singles, or a group of two to four alike, perhaps with a single.

    `crossing` is the chance that things keep clear of each other at their first and last moment alone, so that
    one may pass before another on the way; otherwise they never touch.
    """
    many = int(rng.integers(2, 5))
    counts = tuple(many if n == MANY else n for n in list(plans)[rng.choice(len(plans), p=list(plans.values()))])
    apart = frame_times(2) if crossing and rng.random() < crossing else frame_times()
    groups = None
    while groups is None:
        groups = _place_groups(rng, counts, apart)
    return Scene(groups=groups, background=str(rng.choice(list(BACKGROUNDS))))


def held_out(scene: Scene) -> bool:
    """Whether two groups of different colours make one of the pairs of looks, about one in six, that no denoiser sees.

    The denoiser's training skips such scenes: they are for reporting alone, on pairs that cannot have been
    learnt by heart. (The VAE, which knows no words, sees them all.)
    """
    looks = [(group[0].color, group[0].shape) for group in scene.groups]
    return any(kept_out(*pair) for pair in combinations(looks, 2))


def kept_out(a: tuple[str, str], b: tuple[str, str]) -> bool:
    """Whether two looks (colour, shape) are such a pair."""
    (c1, s1), (c2, s2) = [(list(COLORS).index(color), SHAPES.index(shape)) for color, shape in (a, b)]
    return c1 != c2 and (c1 + c2 + 2 * (s1 + s2) + s1 * s2) % 6 == 0


def _place_groups(rng, counts: tuple[int, ...], apart: np.ndarray) -> tuple[tuple[Thing, ...], ...] | None:
    """Things of distinct looks that do not touch at the times `apart`, or None if the tries ran out."""
    placed: list[Thing] = []
    groups = []
    colors = rng.choice(list(COLORS), size=len(counts) + 1, replace=rng.random() < 0.15)
    for i, count in enumerate(counts):
        shape, radius = str(rng.choice(SHAPES)), RADII[str(rng.choice(SIZES_FOR[sum(counts)]))]
        heading = str(rng.choice(list(DIRECTIONS))) if rng.random() < 0.7 else None
        look = dict(color=str(colors[i]), shape=shape, radius=radius)
        if any((t.color, t.shape) == (look["color"], shape) for t in placed):
            return None
        if count == 1 and heading is None and rng.random() < 0.25 and colors[-1] != colors[i]:
            look["color_end"] = str(colors[-1])
        group = []
        for _ in range(count):
            thing = _place(rng, look, heading, placed, apart)
            if thing is None:
                return None
            placed.append(thing)
            group.append(thing)
        groups.append(tuple(group))
    return tuple(groups)


def _place(
    rng, look: dict, heading: str | None, placed: list[Thing], apart: np.ndarray, tries: int = 24
) -> Thing | None:
    """A path inside the frame that keeps clear of `placed` at the times `apart`."""
    dx, dy = DIRECTIONS.get(heading, (0, 0))
    margin = look["radius"] * 1.08 + GAP / 2
    for _ in range(tries):
        fitting = [p for p in PATHS if p < 1 - 2 * margin - GRID]
        step = np.array([dx, dy]) * (rng.choice(fitting) if heading else 0.0)
        # The start is drawn so that both ends of the path lie inside the frame.
        low, high = margin + np.maximum(-step, 0), 1 - margin - np.maximum(step, 0)
        start = rng.integers(np.ceil(low / GRID), np.floor(high / GRID) + 1) * GRID
        thing = Thing(**look, start=tuple(map(float, start)), end=tuple(map(float, start + step)))
        if all(clear(thing, other, apart) for other in placed):
            return thing
    return None


def clear(a: Thing, b: Thing, times: np.ndarray | None = None) -> bool:
    """Whether two things keep their distance at these times, by default at all."""
    times = frame_times() if times is None else times
    distance = np.linalg.norm(a.centers(times) - b.centers(times), axis=1)
    return bool(distance.min() > 1.1 * (a.radius + b.radius) + GAP)


def still(thing: Thing) -> Thing:
    """The same thing, standing at its start."""
    return replace(thing, end=thing.start)
