"""Layouts as pictures: boxes over frames, and previews without a video."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import TTOMError
from ..files import put_whole
from .model import Layout, center

PALETTE = ("#ff2d55", "#00a7ff", "#00c853", "#ff9100", "#aa00ff", "#00bfa5", "#ffd600", "#795548")


def draw_boxes(frames: np.ndarray, layout: Layout, *, scale: int = 1, title: str = "") -> np.ndarray:
    """Frames (F, H, W, 3), enlarged, with each object's box and id at that time: (F, H*scale, W*scale, 3) uint8.

    A `title` stands on a band of its own above them.
    """
    out = []
    for i, frame in enumerate(frames):
        t = i / max(len(frames) - 1, 1)
        size = frame.shape[1] * scale, frame.shape[0] * scale
        image = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for k, track in enumerate(layout.objects):
            box = track.box_at(t)
            if box is None:
                continue
            color = PALETTE[k % len(PALETTE)]
            x0, y0, x1, y1 = (v * s for v, s in zip(box, size * 2, strict=True))
            draw.rectangle((x0, y0, x1, y1), outline=color, width=max(1, size[1] // 160))
            _label(draw, track.id, (x0, y0), size, color)
        out.append(np.asarray(image))
    drawn = np.stack(out)
    return np.concatenate([_band(title, drawn.shape), drawn], axis=1) if title else drawn


def _font(height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(max(10, height // 24))


def _label(draw: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], size: tuple[int, int], color: str):
    """An id in white on its colour, at its box's corner, or as near to that as the frame allows."""
    font = _font(size[1])
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    x, y = (min(max(c, 0), s - e) for c, s, e in zip(corner, size, (width + 4, height + 2), strict=True))
    draw.rectangle((x, y, x + width + 4, y + height + 2), fill=color)
    draw.text((x + 2, y), text, fill="white", font=font)


def _band(title: str, shape: tuple[int, ...]) -> np.ndarray:
    """A band with a title, for frames of `shape`: (F, h, W, 3) uint8."""
    frames, height, width, _ = shape
    font = _font(height)
    image = Image.new("RGB", (width, font.size + 8), "white")
    ImageDraw.Draw(image).text((4, 2), title, fill="black", font=font)
    return np.broadcast_to(np.asarray(image), (frames, font.size + 8, width, 3))


def preview(layout: Layout, path: Path, *, size: tuple[int, int] = (416, 240), frames: int = 25, fps: int = 12) -> None:
    """Draw the layout alone: a GIF or MP4 that moves, or a PNG with the whole paths.

    Raises TTOMError for another suffix or a place that cannot be written.
    """
    blank = np.full((frames, size[1], size[0], 3), 250, np.uint8)
    drawn = draw_boxes(blank, layout)
    kind = preview_kind(path)
    if kind == ".mp4":
        from ..video import write_video

        recipe = {"prompt": layout.prompt, "layout": layout.to_json()}
        write_video(path, drawn, fps=fps, recipe=recipe, overwrite=True)
        return
    if kind == ".png":
        # The darker of all frames: every stage of the paths at once.
        few = drawn[np.linspace(0, frames - 1, 5).astype(int)]
        first, more = Image.fromarray(few.min(0)), {}
        _draw_paths(first, layout)
    else:
        first, *others = [Image.fromarray(f) for f in drawn]
        more = dict(save_all=True, append_images=others, duration=1000 // fps, loop=0)
    try:
        put_whole(path, lambda partial: first.save(partial, **more), overwrite=True)
    except OSError as error:
        raise TTOMError(f"cannot write {path}: {error.strerror}", "choose another place") from None


def preview_kind(path: Path) -> str:
    """The kind of picture that a file's name asks for. Raises TTOMError for none that can be drawn."""
    kind = path.suffix.lower()
    if kind not in (".png", ".gif", ".mp4"):
        raise TTOMError(f"cannot draw a preview as {path.name!r}", "use .png, .gif or .mp4")
    return kind


def _draw_paths(image: Image.Image, layout: Layout) -> None:
    """A line along the centre of each box that moves, with an arrow's head at its end."""
    draw = ImageDraw.Draw(image)
    for k, track in enumerate(layout.objects):
        first, last = track.boxes[0].t, track.boxes[-1].t
        boxes = [track.box_at(first + (last - first) * i / 24) for i in range(25)]
        points = [tuple(c * s for c, s in zip(center(box), image.size, strict=True)) for box in boxes]
        (ax, ay), (bx, by) = points[-4], points[-1]
        length = math.hypot(bx - ax, by - ay)
        if length < 2:
            continue
        color = PALETTE[k % len(PALETTE)]
        draw.line(points, fill=color, width=2)
        ux, uy = 9 * (bx - ax) / length, 9 * (by - ay) / length
        draw.polygon([(bx, by), (bx - ux - uy / 2, by - uy + ux / 2), (bx - ux + uy / 2, by - uy - ux / 2)], fill=color)


def side_by_side(videos: list[np.ndarray], gap: int = 4) -> np.ndarray:
    """Videos of one size next to each other, with a white gap: (F, H, sum of W, 3)."""
    spacer = np.full((*videos[0].shape[:2], gap, 3), 255, np.uint8)
    parts = [part for video in videos for part in (video, spacer)][:-1]
    return np.concatenate(parts, axis=2)
