"""The bank's table of contents: a JSON file, one line an entry, and a journal of what changed since.

A small bank's manifest is replaced whole at each change, so that it says all but the latest uses. A large one's
changes are lines of its journal, which it names, until they are folded in: a new manifest names a new journal.
Who reads needs no lock: the manifest and the journal that it names are one state, and a line counts once it ends.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import BankError, DamagedError
from ..files import to_json
from ..text import plain
from . import disk
from .entry import BEFORE_LAYOUT, ID, SHA256, TIME, Entry, is_number, to_entry
from .migrations import MIGRATIONS, SCHEMA_VERSION

NAME = "manifest.json"
SMALL = 2**17  # bytes of a manifest that is replaced at each change
LIMIT = 2**28  # bytes of a manifest, and of a journal
JOURNAL = "journal-{}.jsonl"


@dataclass(frozen=True)
class Aside:
    """A record that cannot be believed: kept as it is, and used for nothing."""

    id: str
    """Its id, if it has one that no entry has."""
    reason: str
    record: object

    @property
    def sha256(self) -> str:
        """Of the adapter that it names, if any."""
        value = self.record.get("sha256") if isinstance(self.record, dict) else None
        return value if isinstance(value, str) and SHA256.fullmatch(value) else ""


@dataclass
class State:
    """What the manifest and its journal say at one time."""

    entries: dict[str, Entry] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)
    version: int = SCHEMA_VERSION
    token: str = ""
    """Of the journal's name."""
    since: float = field(default_factory=time.time)
    """When this manifest was begun: adapters that are older are none of its business."""
    clock: int = 0
    """Of the entry that was made or used last."""
    embeddings: dict = field(default_factory=dict)
    """Those that a bank of version 1 has in its manifest, by text."""
    mark: tuple | None = None
    """By which the manifest's file is known again; None where there is none yet."""
    size: int = 0
    """Bytes of the manifest."""
    end: int = 0
    """Bytes of the journal that are in this state."""
    touched: set[str] = field(default_factory=set)
    """Ids whose entries changed since who wants to know last emptied it."""

    @property
    def journal(self) -> str:
        return JOURNAL.format(self.token)

    def apply(self, change: dict) -> None:
        """Make one change; what is no change is set aside."""
        if "put" in change:
            self.put(change["put"])
        elif "drop" in change:
            self.touched.add(change["drop"])
            self.entries.pop(change["drop"], None)
            self.aside = [a for a in self.aside if a.id != change["drop"]]
        elif entry := self.entries.get(change.get("use")):
            self.touched.add(entry.id)
            self.clock += 1
            self.entries[entry.id] = replace(entry, uses=entry.uses + 1, last_used=change["at"], clock=self.clock)
        elif entry := self.entries.get(change.get("led")):
            name = "passed" if change["passed"] else "failed"
            self.touched.add(entry.id)
            self.entries[entry.id] = replace(entry, **{name: getattr(entry, name) + 1})

    def put(self, record, layout_json: str | None = None, *, new: bool = False) -> None:
        """Take a record in, its layout apart from it or not, or set it aside."""
        try:
            entry = to_entry(record, layout_json)
            if new and entry.id in self.entries:
                raise ValueError(f"its id {entry.id} is that of another")
        except (ValueError, TypeError, RecursionError) as error:
            id = record.get("id") if isinstance(record, dict) else None
            known = isinstance(id, str) and ID.fullmatch(id) and id not in self.entries
            if layout_json is not None and isinstance(record, dict):
                record.pop("layout_json", None)
                record["layout"] = _loaded(layout_json)
            self.aside.append(Aside(id if known else "", str(error), record))
        else:
            self.touched.add(entry.id)
            self.clock = max(self.clock + (not entry.clock), entry.clock)
            self.entries[entry.id] = entry if entry.clock else replace(entry, clock=self.clock)


def put(entry: Entry) -> dict:
    """The change that adds or replaces an entry. Raises BankError for one that could not be read again."""
    try:
        return {"put": to_entry(json.loads(to_json(entry.to_record()))).to_record()}
    except (ValueError, TypeError) as error:
        raise BankError(f"the entry {entry.id} cannot be kept: {plain(str(error))[:160]}") from None


# ---------------------------------------------------------------- reading


def read_state(folder: Path, old: State | None = None) -> State:
    """What the bank holds; `old`, brought up to date, where the manifest is still the same.

    Raises BankError for a manifest that is damaged.
    """
    for _ in range(1000):
        try:
            mark = _mark(folder)
            state = old if old and old.mark == mark else _read_manifest(folder)
            if replay(folder, state) or _mark(folder) == state.mark:
                return state
        except OSError as error:
            raise BankError(f"cannot read {error.filename or folder / NAME}: {error.strerror}") from None
        old = None
    raise BankError(f"the bank {folder} changes faster than it can be read")


def _mark(folder: Path) -> tuple | None:
    """The manifest's inode, size and time, and its beginning, which names the journal."""
    try:
        number = disk.open_plain(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _mark_of(os.fstat(number), os.pread(number, 128, 0))
    finally:
        os.close(number)


def _mark_of(status: os.stat_result, content: bytes) -> tuple:
    return status.st_ino, status.st_size, status.st_mtime_ns, content[:128]


@contextmanager
def uncollected():
    """Without the collector of garbage, which would go through many new objects again and again, none of them any."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_manifest(folder: Path) -> State:
    path = folder / NAME
    try:
        content, status = disk.read_plain(path, LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        if any(folder.glob("adapters/*.safetensors")):  # the first is written after a manifest
            hint = f"ttom memory verify --repair --bank {folder} makes it anew of those"
            raise DamagedError(f"the bank's manifest {path} is missing, and there are adapters", hint) from None
        return State()
    state = from_bytes(
        content, f"the bank's manifest {path}",
        f"ttom memory verify --repair --bank {folder} makes it anew of what is whole in it and beside, and keeps it",
    )  # fmt: skip
    state.size, state.mark = len(content), _mark_of(status, content)
    return state


@uncollected()
def from_bytes(content: bytes, source: str, hint: str = "") -> State:
    """What a manifest says. Raises DamagedError for one that is damaged, BankError for one of a later version."""
    try:
        data = _parse(content)
        version = data["schema_version"]
        if type(version) is not int or version < 1:
            raise ValueError("its schema_version is no number from 1")
        if version > SCHEMA_VERSION:
            raise BankError(f"{source} has schema version {version}, this ttom reads {SCHEMA_VERSION}", "update ttom")
        for number in range(version, SCHEMA_VERSION):
            data = MIGRATIONS[number](data)
        state = _state(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else plain(str(error))[:160]
        raise DamagedError(f"{source} is damaged ({reason})", hint) from None
    state.version = version
    return state


def _state(data: dict) -> State:
    """Of a manifest of the present version."""
    token, since, records = data["journal"], data["since"], data["entries"]
    if not isinstance(token, str) or not ID.fullmatch(token):
        raise ValueError("its journal is no plain name")
    if not is_number(since) or not isinstance(records, list):
        raise ValueError("its entries are no list" if is_number(since) else "its since is no time")
    state = State(token=token, since=since, embeddings=data.get("embeddings", {}))
    for record in records:
        if isinstance(record, tuple):
            state.put(*record, new=True)
        else:
            state.put(record, new=True)
    return state


def _parse(content: bytes) -> dict:
    """A manifest's JSON. In one that has not been edited a record's layout is left as text, and the record is
    (record, text): to parse them all takes the most time, and few are asked for."""
    head, *lines = content.split(b"\n")
    by_line = head.endswith(b'"entries": [') and lines[-2:] == [b"]}", b""]
    if by_line:
        with suppress(ValueError, RecursionError):
            return json.loads(head + b"]}") | {"entries": _parse_lines(lines[:-2])}
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        if not by_line:
            raise
        whole = json.loads(head + b"]}")  # a line that is damaged costs no other
        return whole | {"entries": [_loaded(line.decode(errors="replace").removesuffix(",")) for line in lines[:-2]]}


def _loaded(text: str):
    """The JSON of a text, or the text where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _parse_lines(lines: list[bytes]) -> list[tuple[dict, str]]:
    """The records and their layouts as text, the records as one text, which is faster. Raises ValueError."""
    heads, layouts = [], []
    for line in lines:
        head, _, layout_json = line.decode().removesuffix(",").partition(BEFORE_LAYOUT)
        if BEFORE_LAYOUT in layout_json or not layout_json.endswith("}}"):
            raise ValueError
        heads.append(head + "}")
        layouts.append(layout_json[:-1])
    return list(zip(json.loads(f"[{','.join(heads)}]"), layouts, strict=True))


def replay(folder: Path, state: State) -> bool:
    """Apply the lines of the journal that are new; whether there is one. Raises OSError."""
    if not state.token:
        return False
    try:
        content, status = disk.read_plain(folder / state.journal, LIMIT, state.end)
    except FileNotFoundError:
        if state.end:
            state.mark = ("its journal went",)  # what was read of it holds no more
        return False
    if status.st_size < state.end:
        state.mark = ("its journal was cut",)
        return False
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.splitlines():
        try:
            change = json.loads(line)
            _check_change(change)
        except (ValueError, RecursionError):
            state.aside.append(Aside("", "a line of its journal is no change", line.decode(errors="replace")))
            continue
        state.apply(change)
    state.end += len(whole)
    return True


def _check_change(change) -> None:
    """Raises ValueError for what is none."""
    kind = next(iter(change), None) if isinstance(change, dict) else None
    named = kind in ("drop", "use", "led") and isinstance(change[kind], str) and ID.fullmatch(change[kind])
    timed = kind != "use" or (isinstance(change.get("at"), str) and TIME.fullmatch(change["at"]))
    judged = kind != "led" or type(change.get("passed")) is bool
    if not (kind == "put" or (named and timed and judged)):
        raise ValueError("it is no change")


# ---------------------------------------------------------------- writing, under the lock


def commit(folder: Path, state: State, changes: list[dict], *, durable: bool = True) -> None:
    """Make the changes, on disk and in the state. Raises OSError, and none is made then.

    What is not durable costs no wait for the disk; a crash of the process loses none of it.
    """
    if not state.token or (durable and state.size < SMALL):
        try:
            return fold(folder, state, changes)
        except OSError:
            if not state.token or _mark(folder) != state.mark:
                raise  # no journal to turn to
    lines = "".join(to_json(change) + "\n" for change in changes).encode()
    disk.append(folder / state.journal, lines, state.end, durable=durable)
    state.end += len(lines)
    for change in changes:
        state.apply(change)
    if state.end > SMALL + state.size // 4:
        with suppress(OSError):
            fold(folder, state)


def fold(folder: Path, state: State, changes: list[dict] | tuple = ()) -> None:
    """Replace the manifest by one that holds all, and whose journal is empty."""
    after = replace(state, entries=dict(state.entries), aside=list(state.aside), touched=set(state.touched))
    for change in changes:
        after.apply(change)
    after.token, after.end, after.version, after.embeddings = secrets.token_hex(4), 0, SCHEMA_VERSION, {}
    content = to_bytes(after)
    disk.replace_file(folder / NAME, content)
    after.size, after.mark = len(content), _mark(folder)
    if state.token:
        disk.remove(folder / state.journal)
    state.__dict__.update(after.__dict__)


def to_bytes(state: State) -> bytes:
    """A manifest that says all of a state."""
    head = {"schema_version": SCHEMA_VERSION, "journal": state.token, "since": round(state.since, 3)}
    records = [entry.to_line() for entry in state.entries.values()]
    records += [json.dumps(aside.record) for aside in state.aside]  # as it was, also where it holds NaN
    return (to_json(head)[:-1] + ', "entries": [\n' + ",\n".join(records) + "\n]}\n").encode()
