"""The adapters' files, each named by its content's SHA-256: LoRA tensors as `pipe.load_lora_weights` takes them, and
moves of the latents (`guidance.steering.latents`), as far as a way to steer learns them.

A name is made of digits that were checked, never of what a record says otherwise, and no two contents share one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError
from . import disk
from .entry import MAX_BYTES, Entry
from .migrations import file_in_1

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
FOLDER = "adapters"
PREFIX = "transformer."  # of the tensors' names, so that `pipe.load_lora_weights` knows them
_OWN = re.compile(r"[0-9a-f]{64}\.safetensors|journal-\w+\.jsonl", re.ASCII)
_CUT_OFF = re.compile(
    rf"(?:{_OWN.pattern}|[\w-]+-\d+\.safetensors|manifest\.json|embeddings\.bin)(?:\.[0-9a-f]{{8}})?\.partial", re.ASCII
)
_LORA = re.compile(r"[\w.-]{1,300}\.lora_[AB]\.weight", re.ASCII)
_MOVE = re.compile(r"moves\.\d{1,4}", re.ASCII)
MAX_TENSORS = 20_000
LASTING = (  # of an entry's record: what is known of the learning
    "model", "prompt", "scene", "motion", "guide", "seed", "losses", "consolidated", "check", "seconds", "created",
)  # fmt: skip


def sealed(entry: Entry, state: State, more: dict[str, str] | None = None) -> tuple[Entry, bytes]:
    """The content of an adapter's file, and the entry as it names that. `more` goes into the file's header.

    So does what of the entry's record lasts, of which one can be made where the manifest is lost.

    Raises BankError for numbers that are not finite.
    """
    import safetensors.torch

    if odd := _not_finite(state):
        raise BankError(f"the adapter is not finite ({odd}), and is not kept", "lower --lr, or try --dtype float32")
    lasting = {name: getattr(entry, name) for name in LASTING} | {"layout": entry.layout}
    metadata = {"ttom": json.dumps(lasting)}
    tensors = {name if is_move(name) else PREFIX + name: tensor.contiguous() for name, tensor in state.items()}
    if ranks := [tensor.shape[0] for name, tensor in state.items() if "lora_A" in name]:
        targets = sorted({name.split(".lora_")[0] for name in state if not is_move(name)})
        config = {"r": ranks[0], "lora_alpha": ranks[0], "target_modules": targets}
        metadata["lora_adapter_metadata"] = json.dumps({PREFIX + k: v for k, v in config.items()})
    metadata["format"] = "pt"
    content = _in_order(safetensors.torch.save(tensors, metadata | (more or {})))
    if len(content) > MAX_BYTES:
        raise BankError(f"the adapter has {len(content) / 1e6:.0f} MB, {MAX_BYTES / 1e6:.0f} are the most")
    return replace(entry, bytes=len(content), sha256=_digest(content)), content


def _in_order(content: bytes) -> bytes:
    """The same with its header's facts sorted: safetensors writes them in any order, and the content gives the name."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # what follows is aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def is_move(name: str) -> bool:
    """Whether a tensor is a move of the latents, and no part of a LoRA."""
    return bool(_MOVE.fullmatch(name))


def shapes(state: State) -> dict[str, tuple[int, ...]]:
    """Of which layers and sizes an adapter is."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(folder: Path, entry: Entry) -> tuple[bytes, State]:
    """The content of an entry's file, and its tensors.

    Raises FileNotFoundError, and BankError for a file that is not what was stored.
    """
    path = folder / entry.file
    hint = f"remove the entry: ttom memory rm {entry.id} --bank {folder}"
    try:
        content = raw(folder, entry)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BankError(f"cannot read the adapter {path}: {error.strerror}", hint) from None
    try:
        return content, opened(content, entry)
    except ValueError as error:
        raise BankError(f"the adapter {path} {error}", hint) from None


def record_of(path: Path) -> dict:
    """The record of an entry for an adapter's file, as its header has it. Raises OSError, and ValueError for none."""
    content = disk.read_plain(path, MAX_BYTES)[0]
    sha256 = _digest(content)
    try:
        lasting = json.loads(header_of(content)["ttom"])
        record = {name: lasting[name] for name in (*LASTING, "layout")}
    except (KeyError, TypeError, RecursionError):
        raise ValueError("it says of no entry") from None
    if path.name != f"{sha256}.safetensors":
        raise ValueError("it is not what was stored")
    return record | {"id": sha256[:16], "bytes": len(content), "sha256": sha256}


def header_of(content: bytes) -> dict:
    """The facts in the header of a safetensors file. Raises ValueError, KeyError or TypeError for what is none."""
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


def opened(content: bytes, entry: Entry) -> State:
    """The tensors of the content of an entry's file. Raises ValueError, which says what is wrong with it."""
    if _digest(content) != entry.sha256:
        raise ValueError("is not what was stored (cut short or altered)")
    return decode(content)


def raw(folder: Path, entry: Entry) -> bytes:
    """The content of an entry's file, whatever it is. Raises OSError."""
    if disk.is_folder(folder) and not disk.is_folder(folder / FOLDER) and (folder / FOLDER).exists():
        raise OSError(0, "its folder is none, or a link")
    try:
        return disk.read_plain(folder / entry.file, entry.bytes)[0]
    except FileNotFoundError:
        return disk.read_plain(folder / file_in_1(entry.id, entry.updates), entry.bytes)[0]


def decode(content: bytes) -> State:
    """The tensors of a file's content. Raises ValueError for what is no LoRA, and no moves, of finite numbers."""
    import safetensors.torch

    try:
        loaded = safetensors.torch.load(content)
    except Exception as error:  # safetensors has its own, KeyErrors for types among them
        raise ValueError(f"holds no tensors ({' '.join(str(error).split())[:120]})") from None
    state = {name.removeprefix(PREFIX): tensor for name, tensor in loaded.items()}
    if not state or len(state) > MAX_TENSORS:
        raise ValueError(f"holds {len(state)} tensors")
    for name, tensor in state.items():
        sound = 1 <= tensor.ndim <= 4 if is_move(name) else _LORA.fullmatch(name) and tensor.ndim == 2
        if not sound or tensor.is_complex() or tensor.element_size() < 2:
            raise ValueError(f"holds what is no part of an adapter ({name[:80]})")
    halves = [
        {name.removesuffix(half): tensor.shape[side] for name, tensor in state.items() if name.endswith(half)}
        for half, side in ((".lora_A.weight", 0), (".lora_B.weight", 1))
    ]
    if odd := dict(halves[0].items() ^ halves[1].items()):
        raise ValueError(f"holds no whole LoRA on {min(odd)[:80]}")
    if odd := _not_finite(state):
        raise ValueError(f"holds numbers that are not finite ({odd})")
    return state


def _not_finite(state: State) -> str:
    """The first tensor that holds NaN or infinity, or none."""
    return next((name for name, tensor in state.items() if not tensor.isfinite().all()), "")


# ---------------------------------------------------------------- under the lock


def write(folder: Path, entry: Entry, content: bytes) -> None:
    """Write an entry's adapter, to last. Raises OSError."""
    place = folder / FOLDER
    if not disk.is_folder(place):
        place.mkdir()  # where a link or a file has the name, this says so
        disk.sync_folder(folder)
    disk.replace_file(folder / entry.file, content)


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove adapters by the hashes that they are named by."""
    if disk.is_folder(folder / FOLDER):
        for sha256 in names:
            disk.remove(folder / FOLDER / f"{sha256}.safetensors")


def adopt(folder: Path, entries: Iterable[Entry]) -> None:
    """Give the adapters of a bank of version 1 their new names beside the old ones. Raises OSError."""
    if not disk.is_folder(folder / FOLDER):
        return
    for entry in entries:
        old, new = folder / file_in_1(entry.id, entry.updates), folder / entry.file
        with suppress(FileNotFoundError, FileExistsError):
            try:
                os.link(old, new, follow_symlinks=False)
            except PermissionError:  # a file system without such links
                disk.replace_file(new, disk.read_plain(old, entry.bytes)[0])
    disk.sync_folder(folder / FOLDER)


def sweep(folder: Path, kept: set[str], since: float, old: Iterable[str] = ()) -> None:
    """Remove what nothing names: what was being written, and other files of the bank's that are not in `kept`.

    Those older than `since` are of a bank that was there before, and stay, but for the `old` ones.
    """
    for place in (folder, folder / FOLDER):
        if not disk.is_folder(place):
            continue
        with os.scandir(place) as found:
            items = [item for item in found if item.name not in kept]
        for item in items:
            with suppress(OSError):
                of_this = item.stat(follow_symlinks=False).st_mtime >= since - 1
                if (_OWN.fullmatch(item.name) and of_this) or item.name in old or _CUT_OFF.fullmatch(item.name):
                    disk.remove(Path(item.path))
