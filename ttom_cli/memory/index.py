"""The bank's entries as arrays, so that a lookup compares all of them at once.

Entries that can match each other form a group: made for one model and one guide, with as many objects that move
the same ways, in whatever order. N entries of a group, O objects, T times.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import TTOMError
from ..layout import Layout
from ..text import plain
from .entry import Entry, to_tracks
from .keys import SAMPLES, Match, key_text
from .manifest import Aside, State, uncollected
from .texts import Texts

TIMES = [i / (SAMPLES - 1) for i in range(SAMPLES)]
ABSENT = (np.nan,) * 4
WAYS = (None, "right", "left", "up", "down")
FEW = 4  # objects, of which every order is tried
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
        """The sound and trusted entries whose match reaches `least`, the highest in sum, trust counted in, first."""
        self._follow()
        group = self._groups.get(_key(model, guide, [track.direction for track in layout.objects]))
        if group is not None:
            self._tell(group.fill())
            found = [(self.state.entries[id], match) for id, match in group.matches(layout, self.texts, least)]
            for entry, match in sorted(found, key=lambda f: -(f[1].sum + f[0].trust)):
                if entry.trusted and self._sound(entry):
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
        self.ways: list[tuple[int, ...]] = []
        self.boxes_NOT4: np.ndarray | None = None

    def add(self, entry: Entry) -> None:
        self._new.append(entry)

    def remove(self, id: str) -> None:
        self._new = [entry for entry in self._new if entry.id != id]
        if id in self.ids:
            i = self.ids.index(id)
            for column in (self.ids, self.scenes, self.phrases, self.ways):
                column[i] = column[-1]
                column.pop()
            self.boxes_NOT4[i] = self.boxes_NOT4[len(self.ids)]

    def matches(self, layout: Layout, texts: Texts, least: Match):
        """(id, match) of the entries that reach `least`, the highest sum first."""
        if not self.ids:
            return
        scene_N = _cosines(texts, key_text(layout), self.scenes)
        near = np.flatnonzero(scene_N >= least.scene)
        scene_n, own, theirs = scene_N[near], _ways(layout.objects), [self.ways[i] for i in near]
        pairs_nOO = _overlaps(_boxes(layout.objects), self.boxes_NOT4[near])
        if theirs and sorted(own) == sorted(theirs[0]):  # as in all of the group
            pairs_nOO[np.array(own)[:, None] != np.array(theirs)[:, None, :]] = -np.inf
        overlap_n, slots_nO = _assigned(pairs_nOO)
        kept = overlap_n >= least.overlap
        near, scene_n, overlap_n, slots_nO = near[kept], scene_n[kept], overlap_n[kept], slots_nO[kept]
        object_n = np.ones(len(near))
        for o, track in enumerate(layout.objects):
            phrases = [self.phrases[i][slot] for i, slot in zip(near, slots_nO[:, o], strict=True)]
            object_n = np.minimum(object_n, _cosines(texts, track.phrase, phrases))
        found = [
            (self.ids[i], Match(float(scene), float(object), float(overlap)))
            for i, scene, object, overlap in zip(near, scene_n, object_n, overlap_n, strict=True)
            if object >= least.objects
        ]
        yield from sorted(found, key=lambda f: -f[1].sum)

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
            self.ways.append(_ways(tracks))
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
    return model, json.dumps(guide, sort_keys=True), *sorted(way or "" for way in motion)


def _boxes(tracks) -> list:
    """Each object's box at each time, not-a-number where it is not there: (O, T, 4)."""
    return [[track.box_at(t) or ABSENT for t in TIMES] for track in tracks]


def _ways(tracks) -> tuple[int, ...]:
    """Which way each object moves, as numbers."""
    return tuple(WAYS.index(track.direction) for track in tracks)


def _overlaps(new, old_NOT4: np.ndarray) -> np.ndarray:
    """Mean IoU of each new object's boxes with each old one's; two that are both absent agree: (N, O new, O old)."""
    new_O1T4, old_N1OT4 = np.asarray(new, np.float32)[:, None], old_NOT4[:, None]
    sides = np.minimum(new_O1T4[..., 2:], old_N1OT4[..., 2:]) - np.maximum(new_O1T4[..., :2], old_N1OT4[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    union = _area(new_O1T4) + _area(old_N1OT4) - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = np.nan_to_num(shared / union, nan=0.0, posinf=0.0, neginf=0.0)
    gone = np.isnan(old_N1OT4[..., 0]) & np.isnan(new_O1T4[..., 0])
    return np.where(gone, 1.0, iou).mean(axis=-1)


def _assigned(pairs_NOO: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which old object each new one corresponds to, so that the mean of their overlaps is the highest: (N,), (N, O)."""
    count = pairs_NOO.shape[1]
    if count <= FEW:  # all orders of all entries at once
        orders_PO = np.array(list(itertools.permutations(range(count))))
        means_NP = pairs_NOO[:, np.arange(count), orders_PO].mean(axis=-1)
        best = means_NP.argmax(axis=1)
        return means_NP[np.arange(len(best)), best], orders_PO[best]
    slots_NO = np.zeros(pairs_NOO.shape[:2], int)
    for slots_O, pairs_OO in zip(slots_NO, pairs_NOO, strict=True):
        slots_O[:] = linear_sum_assignment(np.maximum(pairs_OO, -1e6), maximize=True)[1]
    return np.take_along_axis(pairs_NOO, slots_NO[..., None], 2)[..., 0].mean(axis=1), slots_NO


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _cosines(texts: Texts, text: str, others: list[str]) -> np.ndarray:
    """Of one text with each of the others; of a text with itself 1."""
    if not others:
        return np.empty(0)
    distinct = list(dict.fromkeys(others))
    cosines = dict(zip(distinct, texts.cosines(text, distinct), strict=True)) | {text: 1.0}
    return np.array([cosines[other] for other in others])
