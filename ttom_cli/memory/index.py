"""The bank's entries as arrays, so that a lookup compares all of them at once.

Entries that can match each other form a group: made for one model and one guide, with as many objects that move
the same ways. N entries of a group, O objects, T times.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import TTOMError
from ..layout import Layout
from ..text import plain
from .entry import Entry, to_tracks
from .keys import SAMPLES, Match, key_text
from .manifest import Aside, State, uncollected
from .texts import Texts

TIMES = [i / (SAMPLES - 1) for i in range(SAMPLES)]
ABSENT = (np.nan,) * 4
COMPARED = ("model", "guide", "motion", "scene", "layout_json")


class Index:
    """Follows a state of the bank. `tell` is given what is no layout in it, and found by nothing."""

    @uncollected()
    def __init__(self, state: State, texts: Texts, tell: Callable[[list[Aside]], None]):
        self.state, self.texts, self._tell = state, texts, tell
        self._groups: dict[tuple, Group] = {}
        self._seen: dict[str, Entry] = {}
        self._checked: set[str] = set()
        self.state.touched.update(state.entries)
        self._follow()

    def matches(self, layout: Layout, *, model: str, guide: dict, least: Match) -> Iterator[tuple[Entry, Match]]:
        """The sound entries whose match reaches `least`, the highest in sum first."""
        self._follow()
        group = self._groups.get(_key(model, guide, [track.direction for track in layout.objects]))
        if group is not None:
            self._tell(group.fill())
            for id, match in group.matches(layout, self.texts, least):
                if self._sound(entry := self.state.entries[id]):
                    yield entry, match

    def _follow(self) -> None:
        self._take(list(self.state.touched))
        self.state.touched.clear()

    def groups(self) -> list[Group]:
        """All groups that hold entries."""
        self._follow()
        for group in self._groups.values():
            self._tell(group.fill())
        return [group for group in self._groups.values() if group.ids]

    def _sound(self, entry: Entry) -> bool:
        """Whether its layout is one; what is sound is not looked at twice."""
        if entry.id not in self._checked:
            try:
                entry.checked_layout()
            except TTOMError as error:
                self._tell([Aside(entry.id, error.message, None)])
                return False
            self._checked.add(entry.id)
        return True

    def _take(self, ids: list[str]) -> None:
        """Follow the entries that changed; a use of one changes nothing here."""
        for id in ids:
            new, old = self.state.entries.get(id), self._seen.get(id)
            if new and old and all(getattr(new, name) == getattr(old, name) for name in COMPARED):
                continue
            if old:
                self._groups[_key(old.model, old.guide, old.motion)].remove(id)
                self._checked.discard(id)
                del self._seen[id]
            if new:
                self._seen[id] = new
                self._groups.setdefault(_key(new.model, new.guide, new.motion), Group()).add(new)


class Group:
    """Entries that differ in scene, objects and boxes alone; the arrays are made when first asked for."""

    def __init__(self):
        self._new: list[Entry] = []
        self.ids: list[str] = []
        self.scenes: list[str] = []
        self.phrases: list[tuple[str, ...]] = []
        self.boxes_NOT4: np.ndarray | None = None

    def add(self, entry: Entry) -> None:
        self._new.append(entry)

    def remove(self, id: str) -> None:
        self._new = [entry for entry in self._new if entry.id != id]
        if id in self.ids:
            i = self.ids.index(id)
            for column in (self.ids, self.scenes, self.phrases):
                column[i] = column[-1]
                column.pop()
            self.boxes_NOT4[i] = self.boxes_NOT4[len(self.ids)]

    def matches(self, layout: Layout, texts: Texts, least: Match):
        """(id, match) of the entries that reach `least`, the highest sum first."""
        if not self.ids:
            return
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

    def cosines(self, scene: str, texts: Texts) -> np.ndarray:
        """Of a scene with each of the group's: (N,)."""
        return _cosines(texts, scene, self.scenes)

    @uncollected()
    def fill(self) -> list[Aside]:
        """Put the entries that are new into the arrays, which grow by half; those whose layout is none come back."""
        boxes, aside, start = [], [], len(self.ids)
        for entry in self._new:
            try:
                tracks = to_tracks(json.loads(entry.layout_json))
                if [track.direction for track in tracks] != entry.motion:
                    raise ValueError("its objects do not move as it says")
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
                aside.append(Aside(entry.id, f"its layout is none ({plain(str(error))[:80]})", None))
                continue
            self.ids.append(entry.id)
            self.scenes.append(entry.scene)
            self.phrases.append(tuple(track.phrase for track in tracks))
            boxes.append(_boxes(tracks))
        self._new = []
        if boxes:
            fresh_NOT4 = np.array(boxes, np.float32)
            if self.boxes_NOT4 is None:
                self.boxes_NOT4 = fresh_NOT4
            elif len(self.boxes_NOT4) < len(self.ids):
                room = np.empty((len(self.ids) + len(self.ids) // 2, *fresh_NOT4.shape[1:]), np.float32)
                room[:start] = self.boxes_NOT4[:start]
                self.boxes_NOT4 = room
            self.boxes_NOT4[start : len(self.ids)] = fresh_NOT4
        return aside


def _key(model: str, guide: dict, motion: list) -> tuple:
    return model, json.dumps(guide, sort_keys=True), *motion


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
    distinct = list(dict.fromkeys(others))
    cosines = dict(zip(distinct, texts.cosines(text, distinct), strict=True)) | {text: 1.0}
    return np.array([cosines[other] for other in others])
