"""The layout's values. Boxes are fractions of the frame (x0, y0, x1, y1), origin top left, and may
reach beyond it; times are fractions of the video's duration."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Keyframe:
    """Where an object is at time t."""

    t: float
    box: Box


@dataclass(frozen=True, kw_only=True)
class Track:
    """One instance of an object and its path; "three dogs" are three tracks with one phrase."""

    id: str
    phrase: str  # as it stands in the prompt that is used
    word: str  # the head noun within the phrase
    attributes: tuple[str, ...] = ()
    boxes: tuple[Keyframe, ...]

    def box_at(self, t: float) -> Box | None:
        """Box at time t, linear between keyframes; None before the first and after the last.

        A single keyframe holds for the whole video.
        """
        frames = self.boxes
        if len(frames) == 1:
            return frames[0].box
        if not frames[0].t - 1e-9 <= t <= frames[-1].t + 1e-9:
            return None
        for a, b in zip(frames, frames[1:], strict=False):
            if t <= b.t + 1e-9:
                w = (t - a.t) / (b.t - a.t)
                return tuple(p + w * (q - p) for p, q in zip(a.box, b.box, strict=True))
        return frames[-1].box

    @property
    def displacement(self) -> tuple[float, float]:
        """Movement of the centre from the first keyframe to the last."""
        first, last = center(self.boxes[0].box), center(self.boxes[-1].box)
        return last[0] - first[0], last[1] - first[1]

    @property
    def direction(self) -> str | None:
        """right, left, up or down, or None where the centre moves less than 0.05 of the frame."""
        dx, dy = self.displacement
        if max(abs(dx), abs(dy)) < 0.05:
            return None
        if abs(dx) >= abs(dy):
            return "right" if dx > 0 else "left"
        return "down" if dy > 0 else "up"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is where, and when. `enriched_prompt` is the text that the video model is given."""

    prompt: str
    enriched_prompt: str = ""
    objects: tuple[Track, ...]
    background: str = ""
    camera: str = ""
    scene: str = ""  # abstracted: "<object A> moves right while <object B> moves up"

    @property
    def text(self) -> str:
        """The prompt that the video model is given."""
        return self.enriched_prompt or self.prompt

    def to_json(self) -> dict:
        """The layout as the documented JSON object."""
        return {
            "prompt": self.prompt,
            "enriched_prompt": self.enriched_prompt,
            "objects": [
                {
                    "id": track.id,
                    "phrase": track.phrase,
                    "word": track.word,
                    "attributes": list(track.attributes),
                    "boxes": [{"t": k.t, "box": list(k.box)} for k in track.boxes],
                }
                for track in self.objects
            ],
            "background": self.background,
            "camera": self.camera,
            "scene": self.scene,
        }


def center(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def in_frame(box: Box) -> bool:
    """Whether any of a box is within the frame."""
    return box[2] > 0 and box[3] > 0 and box[0] < 1 and box[1] < 1


def area_in_frame(box: Box) -> float:
    """Of the part of a box that is within the frame."""
    x0, y0, x1, y1 = box
    return max(0.0, min(x1, 1) - max(x0, 0)) * max(0.0, min(y1, 1) - max(y0, 0))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area - shared)
