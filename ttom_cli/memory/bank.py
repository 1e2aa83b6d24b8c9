"""The bank on disk: `adapters/*.safetensors` and `manifest.json`, changed under one lock.

An adapter is written before the manifest names it, and is named no more before it is removed, so that
a crash leaves at worst a file that nothing names.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError, LayoutError
from ..layout import Layout, layout_from_json
from . import keys
from .manifest import Entry, read_manifest, replace_file, write_manifest

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
PREFIX = "transformer."  # of the tensors' names, so that `pipe.load_lora_weights` knows them


@dataclass(frozen=True)
class Recall:
    """A hit: the entry, its tensors, and how alike the scenes are."""

    entry: Entry
    state: State
    match: keys.Match


class MemoryBank:
    """Insert, read, update, delete; above `capacity` entries the least frequently used is evicted.

    A scene is the same as a stored one where every object moves the same way, and the scene's cosine,
    the objects' cosine and the boxes' overlap each reach their threshold (see `keys.Match`).
    """

    def __init__(
        self, folder: Path, *, capacity: int = 256, scene: float = 0.7, objects: float = 0.9, overlap: float = 0.5
    ):
        self.folder, self.capacity = Path(folder), capacity
        self.thresholds = keys.Match(scene, objects, overlap)

    def prepare(self) -> None:
        """Make the folder. Raises BankError where the bank cannot be written, or is damaged."""
        with self._locked():
            self.entries()

    def entries(self) -> list[Entry]:
        """All entries as the manifest lists them. Raises BankError where it is damaged."""
        return read_manifest(self.folder)

    def find(self, prefix: str) -> Entry:
        """The one entry whose id starts with `prefix`. Raises BankError for none or several."""
        found = [e for e in self.entries() if e.id.startswith(prefix)]
        if len(found) != 1:
            several = f"names {len(found)} entries" if found else "names no entry"
            raise BankError(f"{prefix!r} {several} of the bank {self.folder}", "see `ttom memory ls`")
        return found[0]

    # ------------------------------------------------------------ the four operations

    def read(self, layout: Layout, *, model: str, guide: dict) -> Recall | None:
        """The best match made with this model and these guide settings, or None. Counts as a use."""
        best: tuple[float, Entry, keys.Match] | None = None
        for entry in self.entries():
            if entry.model != model or entry.guide != guide:
                continue
            try:
                old = layout_from_json(entry.layout, source=f"bank entry {entry.id}")
            except LayoutError as error:
                raise BankError(error.message, f"remove it: ttom memory rm {entry.id}") from None
            if not keys.same_motion(layout, old):
                continue
            match = keys.match(layout, old, entry.embedding)
            score = match.scene + match.objects + match.overlap
            if self._passes(match) and (best is None or score > best[0]):
                best = score, entry, match
        if best is None:
            return None
        _, entry, match = best
        state = self.load(entry)
        entry = self._change(entry.id, uses=entry.uses + 1, last_used=_now())
        return Recall(entry, state, match)

    def _passes(self, match: keys.Match) -> bool:
        need = self.thresholds
        return match.scene >= need.scene and match.objects >= need.objects and match.overlap >= need.overlap

    def insert(self, layout: Layout, state: State, **facts) -> Entry:
        """Store a new adapter; `facts` are the other fields of `Entry`. Evicts down to capacity."""
        text = keys.key_text(layout)
        entry = Entry(
            id=secrets.token_hex(4), prompt=layout.prompt, scene=text, embedding=list(keys.embed(text)),
            layout=layout.to_json(), created=_now(), last_used=_now(), **facts,
        )  # fmt: skip
        entry = self._store(entry, state)
        with self._locked():
            entries = [*self.entries(), entry]
            keep = sorted(entries[:-1], key=lambda e: (e.uses, e.last_used), reverse=True)
            keep = {e.id for e in keep[: max(0, self.capacity - 1)]} | {entry.id}
            write_manifest(self.folder, [e for e in entries if e.id in keep])
            for evicted in entries:
                if evicted.id not in keep:
                    (self.folder / evicted.file).unlink(missing_ok=True)
        return entry

    def update(self, id: str, state: State | None = None, **facts) -> Entry:
        """Replace an entry's tensors, its facts, or both; a new `scene` is embedded anew."""
        if "scene" in facts:
            facts["embedding"] = list(keys.embed(facts["scene"]))
        if state is None:
            return self._change(id, **facts)
        old = self.find(id)
        new = self._store(replace(old, updates=old.updates + 1), state)
        facts |= {"bytes": new.bytes, "sha256": new.sha256, "updates": new.updates}
        changed = self._change(id, **facts)
        (self.folder / old.file).unlink(missing_ok=True)
        return changed

    def delete(self, ids: list[str]) -> None:
        """Remove entries and their files."""
        with self._locked():
            entries = self.entries()
            write_manifest(self.folder, [e for e in entries if e.id not in ids])
            for entry in entries:
                if entry.id in ids:
                    (self.folder / entry.file).unlink(missing_ok=True)

    def load(self, entry: Entry) -> State:
        """An entry's tensors. Raises BankError where the file is missing, cut short or altered, or not finite."""
        import safetensors.torch

        path = self.folder / entry.file
        hint = f"remove the entry: ttom memory rm {entry.id} --bank {self.folder}"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BankError(f"cannot read the adapter {path}: {error.strerror}", hint) from None
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BankError(f"the adapter {path} is not what was stored (cut short or altered)", hint)
        state = {name.removeprefix(PREFIX): t for name, t in safetensors.torch.load(content).items()}
        if odd := _not_finite(state):
            raise BankError(f"the adapter {path} holds numbers that are not finite ({odd})", hint)
        return state

    # ------------------------------------------------------------ files

    def _store(self, entry: Entry, state: State) -> Entry:
        """Write the adapter's file; returns the entry with its size and digest."""
        import safetensors.torch

        if odd := _not_finite(state):
            raise BankError(f"the adapter is not finite ({odd}), and is not kept", "lower --lr, or try --dtype float32")
        rank = next(t.shape[0] for name, t in state.items() if "lora_A" in name)
        targets = sorted({name.split(".lora_")[0] for name in state})
        config = {"r": rank, "lora_alpha": rank, "target_modules": targets}
        metadata = {
            "format": "pt",
            "lora_adapter_metadata": json.dumps({PREFIX + k: v for k, v in config.items()}),
            "ttom": json.dumps({"prompt": entry.prompt, "scene": entry.scene, "model": entry.model}),
        }
        tensors = {PREFIX + name: tensor.contiguous() for name, tensor in state.items()}
        content = safetensors.torch.save(tensors, metadata)
        try:
            (self.folder / "adapters").mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / entry.file, content)
        except OSError as error:
            raise BankError(f"cannot write to the bank {self.folder}: {error.strerror}", "see --bank") from None
        return replace(entry, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def _change(self, id: str, **facts) -> Entry:
        with self._locked():
            entries = self.entries()
            if id not in {e.id for e in entries}:
                raise BankError(f"the entry {id} is no longer in the bank {self.folder}")
            changed = [replace(e, **facts) if e.id == id else e for e in entries]
            write_manifest(self.folder, changed)
            return next(e for e in changed if e.id == id)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=60)
            with lock:
                yield
        except OSError as error:
            raise BankError(f"cannot write to the bank {self.folder}: {error.strerror}", "see --bank") from None


def _not_finite(state: State) -> str:
    """The first tensor that holds NaN or infinity, or none."""
    return next((name for name, tensor in state.items() if not tensor.isfinite().all()), "")


def default_folder() -> Path:
    """`memory_bank/` in a checkout of ttom, else a folder in the user's data directory."""
    import platformdirs

    here = Path.cwd()
    if (here / "memory_bank").is_dir() and (here / "ttom_cli").is_dir():
        return here / "memory_bank"
    return Path(platformdirs.user_data_dir("ttom")) / "memory_bank"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
