"""The bank's folder as one state: who reads it takes no lock, and all that changes, changes under one.

An adapter is written before the manifest names it (the first after there is a manifest), and is named no more before it
is removed, so that a crash leaves at worst a file that nothing names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import EACCES, EDQUOT, EFBIG, ENOSPC, EPERM, EROFS
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError, BusyError, ReadOnlyError
from . import adapters, disk, manifest
from .adapters import State as Tensors
from .entry import Entry
from .manifest import Aside, State
from .migrations import SCHEMA_VERSION, file_in_1

if TYPE_CHECKING:
    from .texts import Texts

PATIENCE = 60.0  # seconds that a change waits for another's
NOTE_PATIENCE = 1.0  # seconds that the count of a use does
TOLD = 5  # bad entries that are named
FULL = (ENOSPC, EDQUOT, EFBIG)
FORBIDDEN = (EACCES, EPERM, EROFS)


class Store:
    """The manifest, the adapters and the embeddings of a folder; `tell` is given a line for each entry that is bad."""

    def __init__(self, folder: Path, tell: Callable[[str], None]):
        self.folder, self.tell = folder, tell
        self._state: State | None = None
        self._swept = False
        self._told: set[str] = set()
        self._read_only: bool | None = None
        self._known: Texts | None = None

    @property
    def read_only(self) -> bool:
        """Whether it can be read and not written, of which is told. Raises BankError as `locked` does otherwise."""
        if self._read_only is None:
            try:
                with self.locked():
                    self._read_only = False
            except ReadOnlyError as error:
                self._forbid(error)
        return self._read_only

    def state(self) -> State:
        """As of now; of what is set aside is told. Raises BankError where the manifest is damaged."""
        self._state = manifest.read_state(self.folder, self._state)
        self.say(self._state.aside)
        return self._state

    def say(self, aside: list[Aside]) -> None:
        """Tell of what is set aside, once, and not of all where it is many."""
        where = f"of the bank {self.folder} is set aside"
        lines = [f"{f'the entry {bad.id}' if bad.id else 'an entry'} {where}: {bad.reason}" for bad in aside]
        new = [line for line in dict.fromkeys(lines) if line not in self._told]
        for line in new[:TOLD]:
            self.tell_once(line)
        self._told.update(new)
        if len(new) > TOLD:
            self.tell(f"and {len(new) - TOLD} more entries of the bank {self.folder} are set aside")

    def tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    @property
    def texts(self) -> Texts:
        """The embeddings that are known."""
        from .texts import Texts

        if self._known is None:
            self._known = Texts(self.folder)
            self._known.refresh()
            self._known.adopt(self.state().embeddings)
        return self._known

    def load(self, entry: Entry) -> tuple[Entry, Tensors]:
        """The entry and its tensors as of now: an update beside this may have replaced the file that it named.

        Raises BankError where the file is missing, cut short, altered, or holds what is no finite LoRA.
        """
        for _ in range(10):
            with suppress(FileNotFoundError):
                return entry, adapters.read(self.folder, entry)[1]
            now = self.state().entries.get(entry.id)
            if now is None:
                raise BankError(f"the entry {entry.id} is no longer in the bank {self.folder}")
            if now.sha256 == entry.sha256:
                break
            entry = now
        else:
            with self.locked() as held, suppress(FileNotFoundError):  # nobody updates it now
                entry = held.entries.get(entry.id, entry)
                return entry, adapters.read(self.folder, entry)[1]
        hint = f"remove the entry: ttom memory rm {entry.id} --bank {self.folder}"
        raise BankError(f"cannot read the adapter {self.folder / entry.file}: it is missing", hint)

    @contextmanager
    def locked(self, patience: float = PATIENCE) -> Iterator[State]:
        """The bank's state, to be changed. Raises BankError where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with disk.lock(self.folder, patience):
                state = self.state()
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

    def write(
        self, held: State, written: Iterable[tuple[Entry, bytes]], changes: list[dict], gone: list[Entry]
    ) -> None:
        """Write adapters, then, once all are written, the changes that name them and no more those that are `gone`."""
        hashes = []
        try:
            if not held.token:
                manifest.fold(self.folder, held)  # else a crash here would look like a manifest that is lost
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
            self.texts.forget_all_but(held.entries.values())

    def drop(self, held: State, gone: list[Entry | Aside]) -> None:
        """Name these no more, then remove their adapters; on a full disk the other way round."""
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
            self.texts.save()

    def note(self, changes: list[dict]) -> None:
        """Make changes that are worth little: where they cannot be written, nothing is lost but them."""
        try:
            with self.locked(NOTE_PATIENCE) as held:
                manifest.commit(self.folder, held, changes, durable=False)
                self._save_texts()
        except BusyError:
            pass  # it is not worth a longer wait, nor a line
        except ReadOnlyError as error:
            self._forbid(error)
        except BankError as error:
            self.tell_once(f"{error.message}: the use of an entry is not counted")

    def _forbid(self, error: ReadOnlyError) -> None:
        self._read_only = True
        self.tell_once(f"{error.message}; what is learnt is not kept, and uses are not counted")

    def _tidy(self, state: State) -> None:
        """Bring an older bank up to date, and once a process, sweep what crashes left."""
        old: list[str] = []
        if state.version < SCHEMA_VERSION:
            old = [Path(file_in_1(e.id, e.updates)).name for e in state.entries.values()]
            adapters.adopt(self.folder, state.entries.values())
            self.texts.save()
            manifest.fold(self.folder, state)
        if not self._swept or old:
            if state.token:  # without a manifest, what is here is not this bank's
                kept = {f"{sha256}.safetensors" for sha256 in _named(state)} | {state.journal}
                # What is set aside may have named any of the adapters.
                adapters.sweep(self.folder, kept, inf if state.aside else state.since, old)
            self._swept = True


def _named(state: State) -> set[str]:
    """The hashes of the adapters that are named, also by what is set aside."""
    return {e.sha256 for e in state.entries.values()} | {a.sha256 for a in state.aside if a.sha256}
