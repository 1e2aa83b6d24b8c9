"""The memory bank: insert, read, update, delete. `memory_bank/README.md` says what is on disk.

An adapter is written before the manifest names it, and is named no more before it is removed, so that
a crash leaves at worst a file that nothing names. All that changes, changes under one lock; who reads takes none.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError, BusyError, ReadOnlyError
from ..files import to_json
from ..layout import Layout
from . import adapters, disk, keys, manifest
from .adapters import State as Tensors
from .choice import surplus
from .entry import Entry
from .manifest import Aside, State
from .migrations import SCHEMA_VERSION, file_in_1

if TYPE_CHECKING:
    from .index import Index
    from .texts import Texts

PATIENCE = 60.0  # seconds that a change waits for another's
USE_PATIENCE = 1.0  # seconds that the count of a use does
TOLD = 5  # bad entries that are named
FULL = (ENOSPC, EDQUOT, EFBIG)
FORBIDDEN = (EACCES, EPERM, EROFS)


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
        self.folder, self.capacity, self.tell = Path(folder), capacity, tell
        self.thresholds = keys.Match(scene, objects, overlap)
        self._state: State | None = None
        self._swept = False
        self._told: set[str] = set()
        self._read_only: bool | None = None
        self._index: Index | None = None
        self._known: Texts | None = None

    def prepare(self) -> None:
        """Make the folder. Raises BankError where the bank cannot be written, or is damaged."""
        with self._locked():
            pass

    @property
    def read_only(self) -> bool:
        """Whether it can be read and not written, of which is told. Raises BankError as `prepare` does otherwise."""
        if self._read_only is None:
            try:
                self.prepare()
                self._read_only = False
            except ReadOnlyError as error:
                self._forbid(error)
        return self._read_only

    def entries(self) -> list[Entry]:
        """All sound entries, in the order of their making. Raises BankError where the manifest is damaged."""
        return list(self._refresh().entries.values())

    def aside(self) -> list[Aside]:
        """The records that are bad: kept as they are until they are removed, and used for nothing."""
        return list(self._refresh().aside)

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
            raise BankError(f"{prefix!r} {several} of the bank {self.folder}", "see `ttom memory ls`")
        return found[0]

    def index(self) -> Index:
        """The entries of now, to be compared with scenes."""
        from .index import Index

        state = self._refresh()
        if self._index is None or self._index.state is not state:
            self._index = Index(state, self._texts(), self._say)
        return self._index

    # ------------------------------------------------------------ the four operations

    def read(self, layout: Layout, *, model: str, guide: dict, blend: int = 1) -> Recall | None:
        """The best match made with this model and these guide settings, or None. Counts as a use, if it can.

        With `blend` its tensors are the mean of so many of the best, by their likeness; those are of use too. An entry
        whose adapter cannot be used is told of, and the next best is taken.
        """
        found: list[Recall] = []
        bad: set[str] = set()
        while len(found) < blend:
            done = bad | {recall.entry.id for recall in found}
            matches = self.index().matches(layout, model=model, guide=guide, least=self.least(guide))
            entry, match = next((match for match in matches if match[0].id not in done), (None, None))
            if entry is None:
                break
            try:
                entry, tensors = self._loaded(entry)
            except BankError as error:
                if entry.id in self._refresh().entries:  # and not removed beside this
                    self._say([Aside(entry.id, f"{error.message}; {error.hint}", None)])
                bad.add(entry.id)
                continue
            likeness = round(match.likeness(objects=not guide.get("any_objects")), 3)  # as a recipe has it
            found.append(Recall(self._count_use(entry), tensors, match, likeness))
        return _blended(found) if found else None

    def least(self, guide: dict) -> keys.Match:
        """The least likeness for a hit under these settings; what was learnt for any objects asks for none of them."""
        return replace(self.thresholds, objects=-1.0) if guide.get("any_objects") else self.thresholds

    def recall(self, likenesses: Iterable[tuple[str, float]]) -> Recall:
        """Entries by their ids, blended by their likenesses, whatever their keys; no use counts. Raises BankError."""
        found = [(self._loaded(self.find(id)), likeness) for id, likeness in likenesses]
        return _blended([Recall(*loaded, keys.Match(1.0, 1.0, 1.0), likeness) for loaded, likeness in found])

    def load(self, entry: Entry) -> Tensors:
        """An entry's tensors, of now where it was updated since.

        Raises BankError where the file is missing, cut short, altered, or holds what is no finite LoRA.
        """
        return self._loaded(entry)[1]

    def insert(self, layout: Layout, state: Tensors, **facts) -> Entry:
        """Store a new adapter; `facts` are the other fields of `Entry`. Evicts down to capacity."""
        text, now = keys.key_text(layout), _now()
        motion = [track.direction for track in layout.objects]
        entry = Entry(
            id=secrets.token_hex(4), prompt=layout.prompt, scene=text, layout_json=to_json(layout.to_json()),
            motion=motion, created=now, last_used=now, **facts,
        )  # fmt: skip
        entry, content = adapters.sealed(entry, state)
        change = manifest.put(entry)
        self._texts().row(text)
        for track in layout.objects:
            self._texts().row(track.phrase)
        with self._locked() as held:
            evicted = surplus(list(held.entries.values()), self.capacity - 1)
            changes = [change, *({"drop": e.id} for e in evicted)]
            self._store(held, [(entry, content)], changes, gone=evicted)
            return held.entries[entry.id]

    def take_in(self, foreign: Iterable[tuple[Entry, bytes]]) -> list[Entry]:
        """Add entries of elsewhere with their adapters, whatever the capacity, all or none: those that were not there.

        One that has the id of another gets a new one. What `foreign` raises leaves the bank as it was.
        """
        with self._locked() as held:
            added: list[Entry] = []
            changes: list[dict] = []

            def fresh() -> Iterator[tuple[Entry, bytes]]:
                for entry, content in foreign:
                    same = held.entries.get(entry.id)
                    if same is None or same.sha256 != entry.sha256:
                        new = replace(entry, id=secrets.token_hex(4)) if same else entry
                        added.append(new)
                        changes.append(manifest.put(new))
                        yield new, content

            self._store(held, fresh(), changes, gone=[])
            return added

    def update(self, id: str, state: Tensors | None = None, *, of: Collection[Entry] = (), **facts) -> Entry:
        """Replace an entry's tensors, its facts, or both.

        `of`: what the tensors are made of, this entry too; the others go, and their uses become its own. Raises
        BankError where one of them has changed since.
        """
        if "scene" in facts:
            self._texts().row(facts["scene"])
        content = None
        if state is not None:
            new, content = adapters.sealed(replace(self.find(id), **facts), state)
            facts |= {"bytes": new.bytes, "sha256": new.sha256}
        with self._locked() as held:
            old = held.entries.get(id)
            if old is None:
                raise BankError(f"the entry {id} is no longer in the bank {self.folder}")
            now = [held.entries.get(entry.id) for entry in of]
            if [entry and entry.sha256 for entry in now] != [entry.sha256 for entry in of]:
                raise BankError(f"the bank {self.folder} was changed meanwhile", "try again")
            gone = [entry for entry in now if entry.id != id]
            uses = old.uses + sum(entry.uses for entry in gone)
            new = replace(old, **facts, uses=uses, updates=old.updates + (content is not None))
            changes = [manifest.put(new), *({"drop": entry.id} for entry in gone)]
            self._store(held, [] if content is None else [(new, content)], changes, gone=[old, *gone])
            return held.entries[id]

    def restore(self, entry: Entry) -> None:
        """Put an entry in the place of the record of its id that is set aside."""
        with self._locked() as held:
            manifest.commit(self.folder, held, [{"drop": entry.id}, manifest.put(entry)])

    def delete(self, ids: list[str]) -> None:
        """Remove entries, or records that are set aside, and their files; also where the disk is full."""
        wanted = set(ids)
        with self._locked() as held:
            self._drop(held, [r for r in (*held.entries.values(), *held.aside) if r.id and r.id in wanted])

    def clear(self) -> None:
        """Remove all entries, and all that is set aside."""
        with self._locked() as held:
            gone = [*held.entries.values(), *held.aside]
            held.aside = [a for a in held.aside if a.id]
            self._drop(held, gone)
            with suppress(OSError):
                manifest.fold(self.folder, held)  # those that have no id are gone with it

    # ------------------------------------------------------------ what they share

    def _refresh(self) -> State:
        self._state = manifest.read_state(self.folder, self._state)
        self._say(self._state.aside)
        return self._state

    def _say(self, aside: list[Aside]) -> None:
        """Tell of what is set aside, once, and not of all where it is many."""
        where = f"of the bank {self.folder} is set aside"
        lines = [f"{f'the entry {bad.id}' if bad.id else 'an entry'} {where}: {bad.reason}" for bad in aside]
        new = [line for line in dict.fromkeys(lines) if line not in self._told]
        for line in new[:TOLD]:
            self._tell_once(line)
        self._told.update(new)
        if len(new) > TOLD:
            self.tell(f"and {len(new) - TOLD} more entries of the bank {self.folder} are set aside")

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def _texts(self) -> Texts:
        from .texts import Texts

        if self._known is None:
            self._known = Texts(self.folder)
            self._known.refresh()
            self._known.adopt(self._refresh().embeddings)
        return self._known

    def _loaded(self, entry: Entry) -> tuple[Entry, Tensors]:
        """The entry and its tensors as of now: an update beside this may have replaced the file that it named."""
        for _ in range(10):
            with suppress(FileNotFoundError):
                return entry, adapters.read(self.folder, entry)[1]
            now = self._refresh().entries.get(entry.id)
            if now is None:
                raise BankError(f"the entry {entry.id} is no longer in the bank {self.folder}")
            if now.sha256 == entry.sha256:
                break
            entry = now
        else:
            with self._locked() as held, suppress(FileNotFoundError):  # nobody updates it now
                entry = held.entries.get(entry.id, entry)
                return entry, adapters.read(self.folder, entry)[1]
        hint = f"remove the entry: ttom memory rm {entry.id} --bank {self.folder}"
        raise BankError(f"cannot read the adapter {self.folder / entry.file}: it is missing", hint)

    def judge(self, id: str, passed: bool) -> None:
        """Count what a use led to: whether its video passed its check."""
        self._count({"led": id, "passed": passed})

    def _count_use(self, entry: Entry) -> Entry:
        """The entry with one use more."""
        now = _now()
        self._count({"use": entry.id, "at": now})
        return replace(entry, uses=entry.uses + 1, last_used=now)

    def _count(self, change: dict) -> None:
        """Where it cannot be written, nothing is lost but the count."""
        try:
            with self._locked(USE_PATIENCE) as held:
                manifest.commit(self.folder, held, [change], durable=False)
                self._save_texts()
        except BusyError:
            pass  # it is not worth a longer wait, nor a line
        except ReadOnlyError as error:
            self._forbid(error)
        except BankError as error:
            self._tell_once(f"{error.message}: the use of an entry is not counted")

    def _forbid(self, error: ReadOnlyError) -> None:
        self._read_only = True
        self._tell_once(f"{error.message}; what is learnt is not kept, and uses are not counted")

    def _store(
        self, held: State, written: Iterable[tuple[Entry, bytes]], changes: list[dict], gone: list[Entry]
    ) -> None:
        """Write adapters, then, once all are written, the changes that name them and no more those that are `gone`."""
        hashes = []
        try:
            for entry, content in written:
                hashes.append(entry.sha256)
                adapters.write(self.folder, entry, content)
            manifest.commit(self.folder, held, changes)
        except BaseException:
            with suppress(BankError):
                self._remove_unnamed(manifest.read_state(self.folder), hashes)
            raise
        self._remove_unnamed(held, [e.sha256 for e in gone])
        self._save_texts()
        with suppress(OSError):
            self._texts().forget_all_but(held.entries.values())

    def _drop(self, held: State, gone: list[Entry | Aside]) -> None:
        hashes = [record.sha256 for record in gone if record.sha256]
        changes = [{"drop": record.id} for record in gone if record.id]
        try:
            manifest.commit(self.folder, held, changes)
        except OSError as error:
            if error.errno not in FULL:
                raise
            after = replace(held, entries=dict(held.entries), aside=list(held.aside), touched=set())
            for change in changes:
                after.apply(change)
            self._remove_unnamed(after, hashes)  # makes room for the manifest without them
            manifest.commit(self.folder, held, changes)
        self._remove_unnamed(held, hashes)

    def _remove_unnamed(self, state: State, hashes: list[str]) -> None:
        """Two entries may have the same adapter: a file goes with the last that names it."""
        adapters.remove(self.folder, set(hashes) - _named(state))

    def _save_texts(self) -> None:
        """They can be made again, so that nothing fails for them."""
        with suppress(OSError):
            self._texts().save()

    @contextmanager
    def _locked(self, patience: float = PATIENCE) -> Iterator[State]:
        """The bank's state, to be changed. Raises BankError where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with disk.lock(self.folder, patience):
                state = self._refresh()
                self._tidy(state)
                try:
                    yield state
                except BaseException:
                    self._state = None  # to be read anew
                    raise
        except OSError as error:
            forbidden = error.errno in FORBIDDEN and (self.folder / manifest.NAME).is_file()
            kind = ReadOnlyError if forbidden else BusyError if isinstance(error, TimeoutError) else BankError
            raise kind(f"cannot write to the bank {self.folder}: {error.strerror}", "see --bank") from None

    def _tidy(self, state: State) -> None:
        """Bring an older bank up to date, and once a process, sweep what crashes left."""
        old: list[str] = []
        if state.version < SCHEMA_VERSION:
            texts = self._texts()
            old = [Path(file_in_1(e.id, e.updates)).name for e in state.entries.values()]
            adapters.adopt(self.folder, state.entries.values())
            texts.save()
            manifest.fold(self.folder, state)
        if not self._swept or old:
            if state.token:  # without a manifest, what is here is not this bank's
                kept = {f"{sha256}.safetensors" for sha256 in _named(state)} | {state.journal}
                # What is set aside may have named any of the adapters.
                adapters.sweep(self.folder, kept, inf if state.aside else state.since, old)
            self._swept = True


def _blended(found: list[Recall]) -> Recall:
    """The first one, with the mean of all their tensors."""
    if len(found) == 1:
        return found[0]
    from .blend import mean

    tensors = mean([recall.state for recall in found], [recall.likeness for recall in found])
    return replace(found[0], state=tensors, blended=tuple(found))


def _named(state: State) -> set[str]:
    """The hashes of the adapters that are named, also by what is set aside."""
    return {e.sha256 for e in state.entries.values()} | {a.sha256 for a in state.aside if a.sha256}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
