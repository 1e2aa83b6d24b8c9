"""Layouts from the caches that the TTOM reference code publishes: pixel boxes in six frames at 2 a second.

Schema A has an enriched prompt and phrases; schema B (numeracy) names only, and its prompt is the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import LayoutError, TTOMError
from ..files import read_data
from .model import Layout
from .parse import layout_from_json

CANVASES = ((720, 480), (832, 480))  # pixels; the reference says 720 wide, its numeracy cache is 832 wide


@dataclass(frozen=True)
class Imported:
    """The layouts by their keys, and what was wrong with the others."""

    layouts: dict[str, Layout]
    faults: dict[str, str]


def import_cache(path: Path) -> Imported:
    """Read a cache of the reference code. Raises TTOMError for a file that is none."""
    data = read_data(path, "--import")
    if not isinstance(data, dict) or not all(isinstance(v, dict) for v in data.values()) or not data:
        raise TTOMError(f"{path} is no layout cache: it must map numbers to entries")
    width, height = _canvas(data)
    layouts, faults = {}, {}
    for key, entry in data.items():
        try:
            layouts[key] = layout_from_json(_convert(entry, width, height), source=f"entry {key}")
        except LayoutError as error:
            faults[key] = "; ".join(error.faults)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            faults[key] = f"malformed: {type(error).__name__} {error}"
    return Imported(layouts, faults)


def _canvas(data: dict) -> tuple[int, int]:
    """The narrower canvas, unless most boxes that end right of it fit the wider one."""
    ends = []
    for entry in data.values():
        try:
            ends += [b["box"][0] + b["box"][2] for boxes in entry["layout"]["frames"].values() for b in boxes]
        except (KeyError, TypeError, AttributeError, IndexError):
            continue  # reported with the entry
    (narrow, height), (wide, _) = CANVASES
    beyond = sum(narrow < e <= wide for e in ends)
    return (wide, height) if beyond > 0.02 * max(len(ends), 1) and beyond > sum(e > wide for e in ends) else CANVASES[0]


def _convert(entry: dict, width: int, height: int) -> dict:
    """An entry in the layout's own JSON; a box [x, y, w, h] in pixels becomes relative corners."""
    frames = {int(k): v for k, v in entry["layout"]["frames"].items()}
    last = max(frames)
    first = min(frames)
    prompt = entry.get("original_prompt") or entry["prompt"]
    text = entry.get("enriched_prompt") or prompt
    paths: dict[tuple, list] = {}
    for number in sorted(frames):
        t = (number - first) / (last - first) if last > first else 0.0
        repeats: dict[tuple, int] = {}
        for item in frames[number]:
            name = (item.get("id"), item["name"])
            repeats[name] = repeats.get(name, 0) + 1
            x, y, w, h = (float(v) for v in item["box"])
            box = [x / width, y / height, (x + w) / width, (y + h) / height]
            paths.setdefault((*name, repeats[name]), []).append({"t": t, "box": [round(v, 4) for v in box]})
    objects = [{"phrase": _phrase(entry, key[0], key[1], text), "boxes": _thin(boxes)} for key, boxes in paths.items()]
    return {
        "prompt": prompt,
        "enriched_prompt": entry.get("enriched_prompt", ""),
        "objects": objects,
        "background": entry["layout"].get("background", ""),
    }


def _phrase(entry: dict, number, name: str, text: str) -> str:
    """The phrase that stands in the text: the entry's own, or its object's name, or that without a number."""
    known = entry.get("objects") or {}
    own = known.get(str(number)) or next((o for o in known.values() if name in (o.get("object"), o.get("name"))), {})
    base = name.rsplit("_", 1)[0] if name.rsplit("_", 1)[-1].isdigit() else name
    candidates = [*own.get("object_phrases", ()), *own.get("object_words", ()), name, base, f"{base}s"]
    lowered = text.lower()
    return next((c for c in candidates if isinstance(c, str) and c and c.lower() in lowered), name)


def _thin(boxes: list[dict]) -> list[dict]:
    """One keyframe for an object that never moves."""
    return boxes[:1] if all(b["box"] == boxes[0]["box"] for b in boxes) and boxes[0]["t"] == 0 else boxes
