"""The memory bank: insert, read, update, delete. `memory_bank/README.md` says what is on disk."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError
from ..files import to_json
from ..layout import Layout
from ..options import shown
from ..text import counted
from . import adapters, keys, manifest
from .adapters import State as Tensors
from .choice import surplus
from .entry import Entry
from .manifest import Aside
from .store import Store

if TYPE_CHECKING:
    from .index import Index


@dataclass(frozen=True)
class Recall:
    """A hit: the entry, its tensors, and how alike the scenes are."""

    entry: Entry
    state: Tensors
    match: keys.Match
    likeness: float
    """The least part of the match that counts."""
    blended: tuple[Recall, ...] = ()
    """Of what its tensors are the mean, the entry's own first; none where they are its own alone."""

    @property
    def parts(self) -> tuple[Recall, ...]:
        """Each entry that is in it, with its own tensors."""
        return self.blended or (self,)


class MemoryBank:
    """Insert, read, update, delete; above `capacity` entries the least worth keeping is evicted (`choice.by_value`).

    A scene is the same as a stored one where every object moves the same way, and the scene's cosine,
    the objects' cosine and the boxes' overlap each reach their threshold (see `keys.Match`).
    `tell` is given a line for each entry that is bad, and set aside.
    """

    def __init__(
        self,
        folder: Path,
        *,
        capacity: int = 256,
        scene: float = 0.7,
        objects: float = 0.9,
        overlap: float = 0.5,
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.folder, self.capacity = Path(folder), capacity
        self.thresholds = keys.Match(scene, objects, overlap)
        self._store = Store(self.folder, tell)
        self._index: Index | None = None

    def prepare(self) -> None:
        """Make the folder. Raises BankError where the bank cannot be written, or is damaged."""
        with self._store.locked():
            pass

    @property
    def read_only(self) -> bool:
        """Whether it can be read and not written, of which is told. Raises BankError as `prepare` does otherwise."""
        return self._store.read_only

    def entries(self) -> list[Entry]:
        """All sound entries, in the order of their making. Raises BankError where the manifest is damaged."""
        return list(self._store.state().entries.values())

    def aside(self) -> list[Aside]:
        """The records that are bad: kept as they are until they are removed, and used for nothing."""
        return list(self._store.state().aside)

    def find(self, prefix: str) -> Entry:
        """The one entry whose id starts with `prefix`. Raises BankError for none or several."""
        return self._one(prefix, self.entries())

    def doomed(self, prefix: str) -> Entry | Aside:
        """As `find`, also of the records that are set aside."""
        return self._one(prefix, [*self.entries(), *(a for a in self.aside() if a.id)])

    def _one(self, prefix: str, among: list):
        found = [e for e in among if e.id.startswith(prefix)]
        if not prefix.strip():
            raise BankError("an empty id names no entry", "see `ttom memory ls`")
        if len(found) != 1:
            several = f"names {len(found)} entries" if found else "names no entry"
            raise BankError(f"{shown(prefix)} {several} of the bank {self.folder}", "see `ttom memory ls`")
        return found[0]

    def index(self) -> Index:
        """The entries of now, to be compared with scenes."""
        from .index import Index

        state = self._store.state()
        if self._index is None or self._index.state is not state:
            self._index = Index(state, self._store.texts, self._store.say)
        return self._index

    # ------------------------------------------------------------ the four operations

    def read(self, layout: Layout, *, model: str, guide: dict, blend: int = 1) -> Recall | None:
        """The best match made with this model and these guide settings, or None. Takes no lock, and counts nothing.

        With `blend` its tensors are the mean of so many of the best, by their likeness. An entry whose adapter cannot
        be used, or is of other layers or sizes than the best one's, is told of, and the next best is taken.
        """
        found: list[Recall] = []
        for entry, match in self.index().matches(layout, model=model, guide=guide, least=self.least(guide)):
            try:
                entry, tensors = self._store.load(entry)
            except BankError as error:
                if entry.id in self._store.state().entries:  # and not removed beside this
                    self._store.say([Aside(entry.id, f"{error.message}; {error.hint}", None)])
                continue
            if found and adapters.shapes(tensors) != adapters.shapes(found[0].state):
                self._store.tell_once(
                    f"the entry {entry.id} of the bank {self.folder} is not blended with {found[0].entry.id}: "
                    "their adapters are of different layers or sizes"
                )
                continue
            likeness = round(match.likeness(objects=not guide.get("any_objects")), 3)  # as a recipe has it
            found.append(Recall(entry, tensors, match, likeness))
            if len(found) == blend:
                break
        return _blended(found) if found else None

    def used(self, recall: Recall, passed: bool | None = None) -> None:
        """Count a use of each entry that is in a hit, once its video is made, and whether that passed its check.

        Where nothing looked at it, that is None. What cannot be written is lost, and told of.
        """
        changes, now = [], _now()
        for id in (part.entry.id for part in recall.parts):
            changes += [{"use": id, "at": now}, *([] if passed is None else [{"led": id, "passed": passed}])]
        self._store.note(changes)

    def least(self, guide: dict) -> keys.Match:
        """The least likeness for a hit under these settings; what was learnt for any objects asks for none of them."""
        return replace(self.thresholds, objects=-1.0) if guide.get("any_objects") else self.thresholds

    def recall(self, likenesses: Iterable[tuple[str, float]]) -> Recall:
        """Entries by their ids, blended by their likenesses, whatever their keys; no use counts. Raises BankError."""
        found = [(self._store.load(self.find(id)), likeness) for id, likeness in likenesses]
        return _blended([Recall(*loaded, keys.Match(1.0, 1.0, 1.0), likeness) for loaded, likeness in found])

    def load(self, entry: Entry) -> Tensors:
        """An entry's tensors, of now where it was updated since.

        Raises BankError where the file is missing, cut short, altered, or holds what is no finite LoRA.
        """
        return self._store.load(entry)[1]

    def insert(self, layout: Layout, state: Tensors, **facts) -> Entry:
        """Store a new adapter; `facts` are the other fields of `Entry`. Evicts down to capacity, and tells of it."""
        text, now = keys.key_text(layout), _now()
        motion = [track.direction for track in layout.objects]
        entry = Entry(
            id=secrets.token_hex(4), prompt=layout.prompt, scene=text, layout_json=to_json(layout.to_json()),
            motion=motion, created=now, last_used=now, **facts,
        )  # fmt: skip
        entry, content = adapters.sealed(entry, state)
        change = manifest.put(entry)
        self._store.texts.row(text)
        for track in layout.objects:
            self._store.texts.row(track.phrase)
        with self._store.locked() as held:
            evicted = surplus(list(held.entries.values()), self.capacity - 1)
            changes = [change, *({"drop": e.id} for e in evicted)]
            self._store.write(held, [(entry, content)], changes, gone=evicted)
            if evicted:
                self._store.tell(f"the bank {self.folder} is full: {counted(len(evicted), 'entry', 'entries')} left it")
            return held.entries[entry.id]

    def take_in(self, foreign: Iterable[tuple[Entry, bytes]]) -> list[Entry]:
        """Add entries of elsewhere with their adapters, whatever the capacity, all or none: those that were not there.

        One is there where the same adapter is kept for the same scene, whatever its id. One that has the id of another
        gets a new one. What `foreign` raises leaves the bank as it was.
        """
        with self._store.locked() as held:
            added: list[Entry] = []
            changes: list[dict] = []
            there, ids = {_what(entry) for entry in held.entries.values()}, set(held.entries)

            def fresh() -> Iterator[tuple[Entry, bytes]]:
                for entry, content in foreign:
                    if _what(entry) not in there:
                        new = replace(entry, id=secrets.token_hex(4)) if entry.id in ids else entry
                        added.append(new)
                        changes.append(manifest.put(new))
                        yield new, content

            self._store.write(held, fresh(), changes, gone=[])
            return added

    def update(self, id: str, state: Tensors | None = None, *, of: Collection[Entry] = (), **facts) -> Entry:
        """Replace an entry's tensors, its facts, or both.

        `of`: what the tensors are made of, this entry too; the others go, and their uses, and what those led to, become
        its own. Raises BankError where one of them has changed since.
        """
        if "scene" in facts:
            self._store.texts.row(facts["scene"])
        content = None
        if state is not None:
            new, content = adapters.sealed(replace(self.find(id), **facts), state)
            facts |= {"bytes": new.bytes, "sha256": new.sha256}
        with self._store.locked() as held:
            old = held.entries.get(id)
            if old is None:
                raise BankError(f"the entry {id} is no longer in the bank {self.folder}")
            now = [held.entries.get(entry.id) for entry in of]
            if [entry and entry.sha256 for entry in now] != [entry.sha256 for entry in of]:
                raise BankError(f"the bank {self.folder} was changed meanwhile", "try again")
            gone = [entry for entry in now if entry.id != id]
            new = replace(old, updates=old.updates + (content is not None), **(_uses_of([old, *gone]) | facts))
            changes = [manifest.put(new), *({"drop": entry.id} for entry in gone)]
            self._store.write(held, [] if content is None else [(new, content)], changes, gone=[old, *gone])
            return held.entries[id]

    def restore(self, entry: Entry) -> None:
        """Put an entry in the place of the record of its id that is set aside."""
        with self._store.locked() as held:
            manifest.commit(self.folder, held, [{"drop": entry.id}, manifest.put(entry)])

    def delete(self, ids: list[str]) -> None:
        """Remove entries, or records that are set aside, and their files; also where the disk is full."""
        wanted = set(ids)
        with self._store.locked() as held:
            self._store.drop(held, [r for r in (*held.entries.values(), *held.aside) if r.id and r.id in wanted])

    def clear(self) -> None:
        """Remove all entries, and all that is set aside."""
        with self._store.locked() as held:
            gone = [*held.entries.values(), *held.aside]
            held.aside = [a for a in held.aside if a.id]
            self._store.drop(held, gone)
            with suppress(OSError):
                manifest.fold(self.folder, held)  # those that have no id are gone with it


def _blended(found: list[Recall]) -> Recall:
    """The first one, with the mean of all their tensors."""
    if len(found) == 1:
        return found[0]
    from .blend import mean

    tensors = mean([recall.state for recall in found], [recall.likeness for recall in found])
    return replace(found[0], state=tensors, blended=tuple(found))


def _uses_of(entries: list[Entry]) -> dict:
    """What is counted of the entries' uses, as of one."""
    counts = {name: sum(getattr(entry, name) for entry in entries) for name in ("uses", "passed", "failed")}
    return counts | {name: max(getattr(entry, name) for entry in entries) for name in ("clock", "last_used")}


def _what(entry: Entry) -> tuple:
    """By which an entry is known again, whatever its id: its adapter, and what that is for."""
    return entry.sha256, entry.model, json.dumps(entry.guide, sort_keys=True), entry.scene, entry.layout_json


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
