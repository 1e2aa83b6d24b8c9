"""From JSON or YAML to a validated `Layout`; every fault is a message that names the object and the value."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from pathlib import Path

from ..errors import LayoutError, did_you_mean
from ..files import read_data
from ..options import shown
from ..text import fold, plain, stands_in
from .model import Keyframe, Layout, Track, in_frame

MIN_SIDE, MAX_SIDE = 0.02, 1.5  # of a box, in frame fractions
KINDS = {
    "object": "an object", "array": "a list", "string": "a text", "number": "a number", "integer": "a whole number",
    "boolean": "true or false", "null": "null",
}  # fmt: skip
MAX_FAULTS = 8  # as many are listed


@cache
def layout_schema() -> dict:
    """The JSON schema of a layout (draft 2020-12)."""
    return json.loads((resources.files(__package__) / "schema.json").read_text())


def read_layout(path: Path, prompt: str | None = None) -> Layout:
    """Read a layout from a JSON or YAML file. `prompt` fills in or must equal the file's own."""
    return layout_from_json(read_data(path, "--layout"), prompt=prompt, source=str(path))


def layout_from_json(data: object, *, prompt: str | None = None, source: str = "layout") -> Layout:
    """Check `data` against the schema and against sense.

    Raises LayoutError with all faults found (the first `MAX_FAULTS` of them).
    """
    faults, hint = list(schema_faults(data, layout_schema())), "see `ttom plan --schema` for the format"
    if not faults:
        hint = ""
        layout = _build(data, prompt)
        faults = list(layout_faults(layout))
        if prompt and fold(layout.prompt) != fold(prompt):
            faults.append(f"its prompt {layout.prompt!r} is not the prompt given, {prompt!r}")
    if faults:
        more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        raise LayoutError(faults[:MAX_FAULTS] + more, source, hint)
    return layout


def schema_faults(data: object, schema: dict):
    """Where `data` breaks a JSON schema: one message each, an object's with its phrase.

    A list that is too long is not looked through.
    """
    import jsonschema

    for error in jsonschema.Draft202012Validator(schema).iter_errors(data):
        path = list(error.absolute_path)
        where = ""
        if len(path) >= 2 and path[0] == "objects":
            entry = data["objects"][path[1]]
            phrase = entry.get("phrase") if isinstance(entry, dict) else None
            where = f"object {phrase!r}: " if isinstance(phrase, str) else f"object {path[1]}: "
            path = path[2:]
        spot = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        yield f"{where}{spot or 'it'} {_fault(error)}"
        if error.validator == "maxItems":
            return


def _fault(error) -> str:
    """What a schema finds wrong in a value, in words that go on after its name."""
    value, wanted = error.instance, error.validator_value
    match error.validator:
        case "type":
            kinds = " or ".join(KINDS[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted))
            return f"must be {kinds}, not {shown(value)}"
        case "required":
            return f"has no {plain(error.message).removesuffix(' is a required property')[:80]}"
        case "additionalProperties" if wanted is False:
            odd = next(name for name in value if name not in error.schema["properties"])
            hint = did_you_mean(odd, error.schema["properties"])
            return f"has {shown(odd)}, which is no name of it" + (f" ({hint})" if hint else "")
        case "maxItems" | "maxLength" | "minItems" | "minLength":
            things = "entries" if isinstance(value, list) else "characters"
            return f"has {len(value)} {things}, and {wanted} are the {'most' if 'max' in error.validator else 'least'}"
        case "enum":
            return f"must be one of {', '.join(map(shown, wanted))}, not {shown(value)}"
        case "minimum" | "maximum":
            return f"is {shown(value)}, and {wanted} is the {'most' if error.validator == 'maximum' else 'least'}"
    return f"is not what it must be: {plain(error.message)[:160]}"


def _build(data: dict, prompt: str | None) -> Layout:
    seen: dict[str, int] = {}
    tracks = []
    for entry in data["objects"]:
        phrase = plain(entry["phrase"])
        word = plain(entry.get("word") or phrase.split(" ")[-1])
        seen[word] = seen.get(word, 0) + 1
        tracks.append(
            Track(
                id=plain(entry.get("id") or f"{word}_{seen[word]}"),
                phrase=phrase,
                word=word,
                attributes=tuple(map(plain, entry.get("attributes", ()))),
                boxes=tuple(Keyframe(float(k["t"]), tuple(float(v) for v in k["box"])) for k in entry["boxes"]),
            )
        )
    texts = {k: plain(data.get(k, "")) for k in ("enriched_prompt", "background", "camera", "scene")}
    return Layout(prompt=plain(data.get("prompt") or prompt or ""), objects=tuple(tracks), **texts)


def layout_faults(layout: Layout):
    """What cannot be meant: yields one message for each fault, naming the object and the value."""
    if not layout.text.strip():
        yield "it has no prompt, and none is given"
        return
    ids = [track.id for track in layout.objects]
    for name in sorted({i for i in ids if ids.count(i) > 1}):
        yield f"object id {name!r} is used {ids.count(name)} times"
    for track in layout.objects:
        name = f"object {track.phrase!r}"
        if not any(stands_in(track.phrase, text) for text in (layout.text, layout.prompt)):
            yield f"{name}: the phrase does not stand in the prompt {layout.text!r}"
        elif fold(track.word).lower() not in fold(track.phrase).lower():
            yield f"{name}: the word {track.word!r} is not part of the phrase"
        times = [k.t for k in track.boxes]
        if not all(map(math.isfinite, times)):
            yield f"{name}: times must be numbers from 0 to 1, not {times}"
        elif any(b <= a for a, b in zip(times, times[1:], strict=False)):
            yield f"{name}: times are not in ascending order: {times}"
        for key in track.boxes:
            yield from (f"{name} at t={key.t:g}: {fault}" for fault in _box_faults(key.box))
        if not any(map(in_frame, _on_the_way(track))):
            yield f"{name}: it never touches the frame (0 to 1), its first box is {list(track.boxes[0].box)}"


def _on_the_way(track: Track) -> list[tuple]:
    """Its boxes, and those that it passes between two of them: what crosses the frame may begin and end outside."""
    pairs = zip(track.boxes, track.boxes[1:], strict=False)
    between = [
        tuple(p + i / 16 * (q - p) for p, q in zip(a.box, b.box, strict=True)) for a, b in pairs for i in range(1, 16)
    ]
    return [k.box for k in track.boxes] + between


def _box_faults(box: tuple):
    x0, y0, x1, y1 = box
    shown = [round(v, 4) for v in box]
    if not all(map(math.isfinite, box)):
        yield f"box {shown} holds a number that is not finite"
    elif x1 <= x0 or y1 <= y0:
        yield f"box {shown} is not [left, top, right, bottom]"
    elif x1 - x0 < MIN_SIDE or y1 - y0 < MIN_SIDE:
        yield f"box {shown} is smaller than {MIN_SIDE} of the frame"
    elif x1 - x0 > MAX_SIDE or y1 - y0 > MAX_SIDE:
        yield f"box {shown} is larger than {MAX_SIDE} of the frame"
