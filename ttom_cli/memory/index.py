"""The bank's entries as arrays, so that a lookup compares all of them at once.

Entries that can match each other form a group: made for one model and one guide, with as many objects that move
the same ways. N entries of a group, O objects, T times.
"""

from __future__ import annotations

import json

import numpy as np

from ..errors import LayoutError
from ..layout import Keyframe, Layout, Track, layout_from_json
from .entry import Entry, is_number
from .keys import SAMPLES, Match, key_text
from .manifest import Aside, State
from .texts import Texts

TIMES = [i / (SAMPLES - 1) for i in range(SAMPLES)]
ABSENT = (np.nan,) * 4


class Index:
    """Follows a state of the bank. What is no layout in it is told by `aside`, and found by nothing."""

    def __init__(self, state: State, texts: Texts):
        self.state, self.texts = state, texts
        self.aside: list[Aside] = []
        self._groups: dict[tuple, Group] = {}
        self._group_of: dict[str, tuple] = {}
        self._seen: dict[str, Entry] = {}
        self._take(list(state.entries))
        state.touched.clear()

    def best(self, layout: Layout, *, model: str, guide: dict, least: Match, without: set[str]) -> tuple | None:
        """(entry, match) of the sound entry whose match reaches `least` and is the highest in sum, or None."""
        self._take(list(self.state.touched))
        self.state.touched.clear()
        group = self._groups.get(_key(model, guide, layout.objects))
        if group is None:
            return None
        for id, match in group.matches(layout, self.texts, least):
            entry = self.state.entries[id]
            if id not in without and self._sound(entry):
                return entry, match
        return None

    def _sound(self, entry: Entry) -> bool:
        try:
            layout_from_json(entry.layout, source=f"the layout of {entry.id}")
        except LayoutError as error:
            self.aside.append(Aside(entry.id, error.message, None))
            return False
        return True

    def _take(self, ids: list[str]) -> None:
        """Follow the entries that changed; a use of one changes nothing here."""
        for id in ids:
            new, old = self.state.entries.get(id), self._seen.get(id)
            if new and old and (new.layout, new.scene, new.model) == (old.layout, old.scene, old.model):
                continue
            if old and (key := self._group_of.pop(id, None)):
                self._groups[key].remove(id)
            self._seen.pop(id, None)
            if new:
                self._seen[id] = new
                self._insert(new)

    def _insert(self, entry: Entry) -> None:
        try:
            tracks = [_track(item) for item in entry.layout["objects"]]
            if not 1 <= len(tracks) <= 16:
                raise ValueError
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            self.aside.append(Aside(entry.id, "its layout is none", None))
            return
        key = _key(entry.model, entry.guide, tracks)
        self._group_of[entry.id] = key
        self._groups.setdefault(key, Group()).add(entry, tracks)


class Group:
    """Entries that differ in scene, objects and boxes alone; the arrays are made when first asked for."""

    def __init__(self):
        self._new: list[tuple] = []
        self.ids: list[str] = []
        self.scenes: list[str] = []
        self.phrases: list[tuple[str, ...]] = []
        self.boxes_NOT4: np.ndarray | None = None

    def add(self, entry: Entry, tracks: list[Track]) -> None:
        self._new.append((entry.id, entry.scene, tracks))

    def remove(self, id: str) -> None:
        self._new = [item for item in self._new if item[0] != id]
        if id in self.ids:
            i = self.ids.index(id)
            for column in (self.ids, self.scenes, self.phrases):
                column[i] = column[-1]
                column.pop()
            self.boxes_NOT4[i] = self.boxes_NOT4[len(self.ids)]

    def matches(self, layout: Layout, texts: Texts, least: Match):
        """(id, match) of the entries that reach `least`, the highest sum first."""
        self._fill()
        overlap_N = _overlaps(_boxes(layout.objects), self.boxes_NOT4[: len(self.ids)])
        near = np.flatnonzero(overlap_N >= least.overlap)
        scene_n = _cosines(texts, key_text(layout), [self.scenes[i] for i in near])
        near, scene_n = near[scene_n >= least.scene], scene_n[scene_n >= least.scene]
        object_n = np.ones(len(near))
        for o, track in enumerate(layout.objects):
            phrases = [self.phrases[i][o] for i in near]
            object_n = np.minimum(object_n, _cosines(texts, track.phrase, phrases))
        found = [
            (self.ids[i], Match(float(scene), float(object), float(overlap_N[i])))
            for i, scene, object in zip(near, scene_n, object_n, strict=True)
            if object >= least.objects
        ]
        yield from sorted(found, key=lambda f: -(f[1].scene + f[1].objects + f[1].overlap))

    def _fill(self) -> None:
        """Put the entries that are new into the arrays, which grow by half."""
        if not self._new:
            return
        start, count = len(self.ids), len(self.ids) + len(self._new)
        for id, scene, tracks in self._new:
            self.ids.append(id)
            self.scenes.append(scene)
            self.phrases.append(tuple(track.phrase for track in tracks))
        fresh = np.array([_boxes(tracks) for _, _, tracks in self._new], np.float32)
        if self.boxes_NOT4 is None or len(self.boxes_NOT4) < count:
            grown = np.empty((count + count // 2 + 8, *fresh.shape[1:]), np.float32)
            if start:
                grown[:start] = self.boxes_NOT4[:start]
            self.boxes_NOT4 = grown
        self.boxes_NOT4[start:count] = fresh
        self._new = []


def _key(model: str, guide: dict, tracks) -> tuple:
    return model, json.dumps(guide, sort_keys=True), *(track.direction for track in tracks)


def _track(item: dict) -> Track:
    """As much of an object as is compared. Raises ValueError, KeyError or TypeError for what is none."""
    phrase, frames = item["phrase"], []
    if type(phrase) is not str or not 1 <= len(phrase) <= 200 or not 1 <= len(item["boxes"]) <= 64:
        raise ValueError
    for key in item["boxes"]:
        t, box = key["t"], key["box"]
        if not all(map(is_number, (t, *box))) or len(box) != 4 or (frames and t <= frames[-1].t):
            raise ValueError
        frames.append(Keyframe(t, tuple(box)))
    return Track(id="", phrase=phrase, word="", boxes=tuple(frames))


def _boxes(tracks) -> list:
    """Each object's box at each time, not-a-number where it is not there: (O, T, 4)."""
    return [[track.box_at(t) or ABSENT for t in TIMES] for track in tracks]


def _overlaps(new, old_NOT4: np.ndarray) -> np.ndarray:
    """Mean IoU of corresponding boxes; two that are both absent agree: (N,)."""
    new_OT4 = np.asarray(new, np.float32)
    sides_NOT2 = np.minimum(new_OT4[..., 2:], old_NOT4[..., 2:]) - np.maximum(new_OT4[..., :2], old_NOT4[..., :2])
    shared_NOT = np.prod(np.maximum(sides_NOT2, 0), axis=-1)
    union_NOT = _area(new_OT4) + _area(old_NOT4) - shared_NOT
    with np.errstate(divide="ignore", invalid="ignore"):
        iou_NOT = np.nan_to_num(shared_NOT / union_NOT, nan=0.0, posinf=0.0, neginf=0.0)
    gone_NOT = np.isnan(old_NOT4[..., 0]) & np.isnan(new_OT4[..., 0])
    return np.where(gone_NOT, 1.0, iou_NOT).mean(axis=(1, 2))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _cosines(texts: Texts, text: str, others: list[str]) -> np.ndarray:
    """Of one text with each of the others; of a text with itself 1."""
    if not others:
        return np.empty(0)
    place = {other: texts.row(other) for other in dict.fromkeys(others)}
    cosines = texts.cosines(text)
    return np.array([1.0 if other == text else cosines[place[other]] for other in others])
