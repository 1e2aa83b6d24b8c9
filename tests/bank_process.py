"""What the tests of the bank run as a process of its own: it forks writers and readers, kills them, and looks after.

Sentence embeddings are made up here, for they take no part in what is tested, and their model takes seconds to load.
Each scenario prints one JSON object on what it saw, of a bank whose manifest is replaced and of one with a journal.
"""

import contextlib
import ctypes
import gc
import hashlib
import itertools
import json
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ttom_cli.errors import BankError
from ttom_cli.layout import layout_from_json
from ttom_cli.memory import MemoryBank, keys, manifest

FACTS = {"model": "toy", "guide": {"rank": 2}, "seed": 1, "losses": [0.4, 0.1]}
A, B = "blocks.0.attn2.to_q.lora_A.weight", "blocks.0.attn2.to_q.lora_B.weight"
LAYOUT = layout_from_json(
    {
        "prompt": "a red ball rolls right",
        "scene": "<object A> rolls right",
        "objects": [
            {"phrase": "red ball", "boxes": [{"t": 0, "box": [0, 0, 0.4, 0.4]}, {"t": 1, "box": [0.6, 0, 1, 0.4]}]}
        ],
    }
)
SIZES = {"manifest": manifest.SMALL, "journal": 0}
"""Of a manifest that is replaced at each change; of one whose changes all go to the journal, folded in every few of
them."""
PLACES = ("open", "pwrite", "fsync", "replace", "unlink", "ftruncate", "link")


def made_up(text: str) -> tuple[float, ...]:
    seed = int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8], "little")
    vector = np.random.default_rng(seed).normal(size=keys.SIZE)
    return tuple(map(float, vector / np.linalg.norm(vector)))


def state(value: float, size: int = 8) -> dict:
    return {A: torch.full((2, size), float(value)), B: torch.zeros(size, 2)}


def named(name: str):
    """A layout whose scene has a name of its own."""
    return replace(LAYOUT, scene=f"<object A> rolls right, {name}")


def value(tensors: dict) -> float:
    return float(tensors[A][0, 0])


@contextlib.contextmanager
def read_only(folder: Path):
    """Nothing in the folder can be written by this process, also where it is root's: it lays down that right of root's
    for as long. (CAP_DAC_OVERRIDE is 1, CAP_DAC_READ_SEARCH 2; a header of version 3 and process 0, this one.)"""
    call, header = ctypes.CDLL(None, use_errno=True), struct.pack("Ii", 0x20080522, 0)
    had = ctypes.create_string_buffer(24)  # effective, permitted and inheritable, twice
    assert call.capget(header, had) == 0
    effective, *others = struct.unpack("6I", had.raw)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    assert call.capset(header, struct.pack("6I", effective & ~0b110, *others)) == 0
    try:
        yield
    finally:
        assert call.capset(header, had.raw) == 0
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


def forked(work, *arguments) -> int:
    """The process that does the work, and ends with 0 where it raises nothing."""
    process = os.fork()
    if process:
        return process
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def acknowledged(path: Path, *what) -> None:
    """Note, for good, that something has been done."""
    with open(path, "a") as file:
        file.write(json.dumps(what) + "\n")


def noted(path: Path) -> list:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# ---------------------------------------------------------------- many at once


def many(folder: Path, notes: Path, writers: int = 8, readers: int = 4, rounds: int = 4) -> dict:
    shared = MemoryBank(folder, capacity=10_000).insert(named("shared"), state(-1), **FACTS).id

    def write(n: int) -> None:
        bank = MemoryBank(folder, capacity=10_000)
        for i in range(rounds):
            entry = bank.insert(named(f"{n} {i}"), state(n * 1000 + i), **FACTS)
            acknowledged(notes / f"{n}", "insert", entry.id, n * 1000 + i)
            bank.update(shared, state(n * 1000 + i))
            acknowledged(notes / f"{n}", "update", n * 1000 + i)
            if i % 3 == 2:
                bank.delete([entry.id])
                acknowledged(notes / f"{n}", "delete", entry.id)

    def read(n: int) -> None:
        told = []
        bank = MemoryBank(folder, tell=told.append)
        while not (notes / "done").exists():
            hit = bank.read(named("shared"), model="toy", guide={"rank": 2})
            assert hit and hit.entry.id == shared, hit
            bank.used(hit)
            bank.load(bank.find(shared))
            assert bank.entries()
            acknowledged(notes / f"reader {n}", value(hit.state))
        assert not told, told

    working = [forked(write, n) for n in range(writers)]
    reading = [forked(read, n) for n in range(readers)]
    codes = [os.waitpid(process, 0)[1] for process in working]
    (notes / "done").touch()
    codes += [os.waitpid(process, 0)[1] for process in reading]
    bank, done = MemoryBank(folder), [note for n in range(writers) for note in noted(notes / f"{n}")]
    gone = {note[1] for note in done if note[0] == "delete"}
    wanted = {note[1]: note[2] for note in done if note[0] == "insert" and note[1] not in gone}
    held = {e.id: value(bank.load(e)) for e in bank.entries()}
    return {
        "codes": codes,
        "lost": [id for id, v in wanted.items() if held.get(id) != v],
        "back": [id for id in gone if id in held],
        "updates": bank.find(shared).updates,
        "acknowledged": sum(note[0] == "update" for note in done),
        "reads": [len(noted(notes / f"reader {n}")) for n in range(readers)],
        "stray": stray(folder),
    }


def stray(folder: Path) -> list[str]:
    """What lies in the bank and is named by nothing, once a process has swept it."""
    bank = MemoryBank(folder)
    bank.prepare()
    wanted = {e.file for e in bank.entries()} | {"manifest.json", ".lock", "embeddings.bin"}
    wanted.add(manifest.read_state(folder).journal)
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    return sorted(found - wanted)


# ---------------------------------------------------------------- kill -9


def on_touch(act) -> None:
    """From now on `act` is told of each call that touches a file, before it is made: its name, how many of that name
    came before, the function, and the arguments."""

    def wrap(name, real, count):
        def call(*arguments, **more):
            act(name, next(count), real, arguments)
            return real(*arguments, **more)

        return call

    for name in PLACES:
        setattr(os, name, wrap(name, getattr(os, name), itertools.count()))


def kill_at(name: str, number: int, share: float, notes: Path) -> None:
    """The process dies before such a call, or once a share of what it writes is written."""

    def act(called, count, real, arguments):
        if (called, count) == (name, number):
            acknowledged(notes, "killed", name)
            if share:
                file, content, at = arguments
                real(file, content[: max(1, int(share * len(content)))], at)
            os.kill(os.getpid(), signal.SIGKILL)

    on_touch(act)


def changes(folder: Path, notes: Path, prepare=lambda: None) -> None:
    """A life of a bank: each change is noted before and after."""
    prepare()
    bank = MemoryBank(folder, capacity=10_000)
    shared = next(e.id for e in bank.entries() if e.scene.endswith("shared"))
    note = time.time()
    for i in range(2):
        acknowledged(notes, "will update", note + i)
        bank.update(shared, state(note + i))
        acknowledged(notes, "did update", note + i)
        entry = bank.insert(named(f"{notes.name} {i}"), state(note), **FACTS)
        acknowledged(notes, "did insert", entry.id, note)
        bank.used(bank.read(named("shared"), model="toy", guide={"rank": 2}), passed=True)
        if i:
            acknowledged(notes, "will delete", entry.id)
            bank.delete([entry.id])
            acknowledged(notes, "did delete", entry.id)


def touches(folder: Path, notes: Path) -> list[tuple[str, int]]:
    """The calls of one life that touch a file: their names, and how many of the name came before."""
    prepare = partial(on_touch, lambda *call: acknowledged(notes / "touches", *call[:2]))
    os.waitpid(forked(changes, folder, notes / "whole", prepare), 0)
    return [tuple(note) for note in noted(notes / "touches")]


def kills(folder: Path, notes: Path) -> dict:
    """Kill a process before each call that touches a file, and within each write, two at once: one dies early in its
    life, and one late. All are forked from this one, which has loaded what they need."""
    MemoryBank(folder, capacity=10_000).insert(named("shared"), state(-1), **FACTS)
    changes(folder, notes / "warm")
    gc.freeze()
    points = []
    for name, number in touches(folder, notes):
        points += [(name, number, share) for share in ((0, 0.001, 0.5, 0.999) if name == "pwrite" else (0,))]
    killed, faults = Counter(), []
    for turn in range(len(points) // 2):
        pair = points[turn], points[-1 - turn]
        told = [notes / f"{turn} early", notes / f"{turn} late"]
        lives = [forked(changes, folder, t, partial(kill_at, *p, t)) for t, p in zip(told, pair, strict=True)]
        codes = [os.waitpid(process, 0)[1] for process in lives]
        faults += [f"at {pair}: {fault}" for fault in look_after(folder, told, codes)]
        killed.update(note[1] for path in told for note in noted(path) if note[0] == "killed")
    return {"killed": killed, "faults": faults, "stray": stray(folder)}


def look_after(folder: Path, paths: list[Path], codes: list[int]):
    """Yields what is wrong with the bank, by what was acknowledged."""
    if not set(codes) <= {0, signal.SIGKILL}:
        yield f"it ended with {codes}"
    told = []
    bank = MemoryBank(folder, tell=told.append)
    held = {e.id: value(bank.load(e)) for e in bank.entries()}
    notes = [note for path in paths for note in noted(path)]
    going, gone = ({n[1] for n in notes if n[0] == f"{word} delete"} for word in ("will", "did"))
    for note in notes:
        if note[0] == "did insert" and note[1] not in going and held.get(note[1]) != np.float32(note[2]):
            yield f"the entry {note[1]} is lost"
    if back := gone & held.keys():
        yield f"deleted entries are back: {back}"
    shared = next(e for e in bank.entries() if e.scene.endswith("shared"))
    possible = {np.float32(n[1]) for n in notes if n[0] == "will update"}
    if any(n[0] == "did update" for n in notes) and np.float32(held[shared.id]) not in possible:
        yield f"an update is lost: {held[shared.id]} is none of {possible}"
    if told:
        yield f"told {told}"
    bank.delete([id for id in held if id != shared.id])


# ---------------------------------------------------------------- a disk that is full


def full(folder: Path, notes: Path) -> dict:
    bank = MemoryBank(folder, capacity=10_000)
    ids = [bank.insert(named(f"{n}"), state(n), **FACTS).id for n in range(12)]
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    seen = {"largest": max(sizes)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - 200, resource.RLIM_INFINITY))
    with contextlib.suppress(BankError):
        bank.insert(named("too large"), state(0, size=100_000), **FACTS)
        seen["inserted"] = True
    seen["kept"] = [e.id for e in MemoryBank(folder).entries()] == ids
    bank.delete(ids[:2])
    seen["deleted"] = [e.id for e in MemoryBank(folder).entries()] == ids[2:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    hit = MemoryBank(folder).read(named("5"), model="toy", guide={"rank": 2})
    seen["read"] = bool(hit) and value(hit.state) == 5
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return seen | {"stray": stray(folder)}


if __name__ == "__main__":
    keys.embed = made_up
    torch.set_num_threads(1)  # threads are not there after a fork
    scenario, place = {"many": many, "kills": kills, "full": full}[sys.argv[1]], Path(sys.argv[2])
    seen = {}
    for name, manifest.SMALL in SIZES.items():
        (place / name / "notes").mkdir(parents=True)
        seen[name] = scenario(place / name / "bank", place / name / "notes")
    print(json.dumps(seen))
