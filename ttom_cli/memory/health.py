"""What is wrong in a bank, and what of it can be mended.

A damaged manifest is kept beside the new one, a record that is mended loses only what can be made up, and an entry is
removed only where its adapter cannot be used, its record kept in a file.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError, DamagedError, TTOMError
from ..text import counted
from . import adapters, disk, manifest
from .entry import Entry, mended
from .manifest import Aside, State
from .migrations import file_in_1

if TYPE_CHECKING:
    from .bank import MemoryBank

REMOVED = "removed-{}.jsonl"
_RECORD = re.compile(r'\{\s*"id"\s*:')
_JOURNAL = re.compile(manifest.JOURNAL.format(r"([\w-]{1,64})"), re.ASCII)
_TOKEN = re.compile(r'"journal"\s*:\s*"([\w-]{1,64})"', re.ASCII)


@dataclass(frozen=True)
class Fault:
    """Something that is wrong."""

    kind: str
    """manifest, record, layout or adapter."""
    id: str
    """Of the entry, or none."""
    reason: str


@dataclass(frozen=True)
class Report:
    """What was found."""

    sound: int
    faults: list[Fault]
    strays: list[str]
    """Adapters that no entry names: of a manifest that was moved away, or left by a crash."""


def examine(bank: MemoryBank) -> Report:
    """Look at every record, layout and adapter. Raises BankError for a bank that is unreadable, or of later version."""
    try:
        entries, aside = bank.entries(), bank.aside()
    except DamagedError as error:
        return Report(0, [Fault("manifest", "", error.message)], [])
    faults = [Fault("record", record.id, record.reason) for record in aside]
    for entry in entries:
        faults += _faults_of(bank, entry)
    named = {entry.file for entry in entries} | {file_in_1(entry.id, entry.updates) for entry in entries}
    named |= {f"adapters/{record.sha256}.safetensors" for record in aside}
    found = {f"adapters/{name}" for name in _names(bank.folder / adapters.FOLDER) if name.endswith(".safetensors")}
    bad = {fault.id for fault in faults if fault.kind != "record"}
    return Report(len(entries) - len(bad), faults, sorted(found - named))


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _faults_of(bank: MemoryBank, entry: Entry) -> Iterator[Fault]:
    for kind, look in (("layout", entry.checked_layout), ("adapter", lambda: bank.load(entry))):
        try:
            look()
        except TTOMError as error:
            yield Fault(kind, entry.id, error.message)


def repair(bank: MemoryBank, report: Report) -> Iterator[str]:
    """Mend what can be mended; a line for each thing that was done. Raises BankError where it cannot be written."""
    if any(fault.kind == "manifest" for fault in report.faults):
        yield _rescue(bank.folder)
        report = examine(bank)
    for record in bank.aside():
        entry = mended(record.record)
        if record.id and entry and _is_there(bank.folder, entry):
            bank.restore(entry)
            yield f"the entry {record.id} is mended ({record.reason})"
    suspects = {fault.id for fault in report.faults if fault.kind == "adapter"}
    gone = [record for record in bank.aside() if record.id and not _has_adapter(bank.folder, record)]
    gone += [e for e in bank.entries() if e.id in suspects and _is_there(bank.folder, e) is False]
    if gone:
        kept = bank.folder / REMOVED.format(secrets.token_hex(4))
        lines = [json.dumps(r.record) if isinstance(r, Aside) else r.to_line() for r in gone]
        _keep(kept, "".join(f"{line}\n" for line in lines).encode())
        bank.delete([record.id for record in gone])
        yield from (f"the entry {record.id} is removed, for its adapter is missing or damaged" for record in gone)
        yield f"the records of those are kept in {kept}"


def _is_there(folder: Path, entry: Entry) -> bool | None:
    """Whether an entry's adapter is what was stored; None where that cannot be told, for it cannot be read."""
    try:
        adapters.opened(adapters.raw(folder, entry), entry)
    except (FileNotFoundError, ValueError):
        return False
    except OSError:
        return None
    return True


def _has_adapter(folder: Path, record: Aside) -> bool:
    return bool(record.sha256) and (folder / adapters.FOLDER / f"{record.sha256}.safetensors").is_file()


def _keep(path: Path, content: bytes) -> None:
    try:
        disk.replace_file(path, content)
    except OSError as error:
        raise BankError(f"cannot write {path}: {error.strerror}", "nothing was removed") from None


def _rescue(folder: Path) -> str:
    """Make a new manifest of the whole records that stand in a damaged or missing one, of its journal, and of adapters
    that no record names.

    Where it names no journal any more, it is the one that is there.
    """
    damaged = folder / f"manifest-damaged-{secrets.token_hex(4)}.json"
    try:
        with disk.lock(folder, 60):
            content = b""
            with suppress(FileNotFoundError):
                content = disk.read_plain(folder / manifest.NAME, manifest.LIMIT)[0]
                _keep(damaged, content)
            state = State(since=time.time() + 1)  # so that no adapter that is there now is ever swept
            text = content.decode(errors="replace")
            for record in _records(text):
                state.put(record, new=True)
            journals = [_JOURNAL.fullmatch(name) for name in sorted(_names(folder))]
            if tokens := _TOKEN.findall(text)[:1] or [found[1] for found in journals if found]:
                state.token = tokens[0]
                manifest.replay(folder, state)
            named = {entry.sha256 for entry in state.entries.values()}
            for record in _of_adapters(folder / adapters.FOLDER):
                if record["sha256"] not in named:
                    state.put(record, new=True)
            state.aside.clear()
            manifest.fold(folder, state)
    except OSError as error:
        raise BankError(f"cannot mend the manifest in {folder}: {error.strerror}") from None
    made = f"the manifest is made anew of {counted(len(state.entries), 'entry', 'entries')}"
    return f"{made}; the damaged one is kept as {damaged}" if damaged.exists() else made


def _of_adapters(folder: Path) -> Iterator[dict]:
    """The records in the headers of adapters that are whole."""
    for name in sorted(_names(folder)):
        with suppress(OSError, ValueError):
            yield adapters.record_of(folder / name)


def _records(text: str) -> Iterator[dict]:
    """The JSON objects in a text that look like records, whatever stands around them."""
    decoder, at = json.JSONDecoder(), 0
    while found := _RECORD.search(text, at):
        at = found.end()
        with suppress(ValueError, RecursionError):
            record, end = decoder.raw_decode(text, found.start())
            if {"layout", "sha256"} <= record.keys():
                yield record
                at = end
