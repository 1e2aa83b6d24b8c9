"""A bank's entries as one file, out and in again: an archive of many, or one LoRA for other tools.

An archive is a zip of `manifest.json` and `adapters/SHA256.safetensors`, as the bank has them. A LoRA is a safetensors
file that carries the entry's record in its header, its tensors named as diffusers or as ComfyUI has them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BankError, TTOMError
from ..files import put_whole, to_json
from ..text import plain
from . import adapters, disk, manifest
from .entry import MAX_BYTES, Entry, to_entry
from .names import from_comfyui, to_comfyui

if TYPE_CHECKING:
    from .adapters import State
    from .bank import MemoryBank

KEY = "ttom_entry"  # of the header of a LoRA's file
MAX_ENTRIES = 100_000


# ---------------------------------------------------------------- out


def export(bank: MemoryBank, entries: list[Entry], path: Path, names: str = "diffusers") -> None:
    """Write entries to a `.zip`, or one to a `.safetensors`. Raises BankError; what was at `path` stays then."""
    if path.suffix == ".zip":
        _write(path, lambda partial: _archive(bank, entries, partial))
    elif path.suffix == ".safetensors" and len(entries) == 1:
        state = bank.load(entries[0])
        content = lora(entries[0], state, names)
        _write(path, lambda partial: partial.write_bytes(content))
    elif path.suffix == ".safetensors":
        raise BankError(f"a .safetensors holds one entry, and these are {len(entries)}", "name one, or a .zip for all")
    else:
        raise BankError(f"cannot export to {path}", "name a .zip, or for one entry a .safetensors")


def lora(entry: Entry, state: State, names: str) -> bytes:
    """The content of a LoRA's file, the entry's record in its header. Raises BankError for what is more than a LoRA."""
    import safetensors.torch

    if any(map(adapters.is_move, state)):
        raise BankError(
            f"the entry {entry.id} holds moves of the latents, which no other tool takes",
            "export it to a .zip, for another bank",
        )

    record = {KEY: to_json(entry.to_record())}
    if names == "diffusers":
        return adapters.sealed(entry, state, record)[1]
    tensors = {name: tensor.contiguous() for name, tensor in to_comfyui(state).items()}
    return safetensors.torch.save(tensors, {"format": "pt", **record})


def _archive(bank: MemoryBank, entries: list[Entry], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        state = manifest.State(entries={entry.id: entry for entry in entries}, token="none")
        archive.writestr(manifest.NAME, manifest.to_bytes(state))
        for entry in {entry.sha256: entry for entry in entries}.values():
            try:
                archive.writestr(entry.file, adapters.read(bank.folder, entry)[0])
            except FileNotFoundError:
                missing = f"cannot export: {bank.folder / entry.file} is missing"
                raise BankError(missing, "see `ttom memory verify`") from None


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        put_whole(path, write, overwrite=True)
    except OSError as error:
        raise BankError(f"cannot write {path}: {error.strerror}", "choose another place") from None


# ---------------------------------------------------------------- in


def take_in(bank: MemoryBank, path: Path) -> tuple[list[Entry], int]:
    """Add a file's entries to the bank: those that are new, and how many the file has.

    Raises BankError with the reason where anything in it is not sound; none is added then.
    """
    with _opened(path) as (entries, content_of):
        for entry in entries:
            try:
                entry.checked_layout()
            except TTOMError as error:
                raise _refused(path, error.message) from None
        return bank.take_in((entry, content_of(entry)) for entry in entries), len(entries)


@contextmanager
def _opened(path: Path):
    """(entries, what reads an entry's adapter) of a file."""
    try:
        with open(disk.open_plain(path), "rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    yield _entries(path, archive), lambda entry: _adapter(path, archive, entry)
            else:
                entry, content = _from_lora(path, file)
                yield [entry], lambda entry: content
    except OSError as error:
        raise BankError(f"cannot read {path}: {error.strerror}") from None
    except zipfile.BadZipFile as error:
        raise _refused(path, f"its archive is damaged ({plain(str(error))[:80]})") from None


def _refused(path: Path, reason: str) -> BankError:
    return BankError(f"{path} is refused, and nothing of it was taken: {reason}")


def _entries(path: Path, archive: zipfile.ZipFile) -> list[Entry]:
    state = manifest.from_bytes(_member(path, archive, manifest.NAME, manifest.LIMIT), f"the manifest in {path}")
    if state.aside:
        raise _refused(path, f"the entry {state.aside[0].id or '?'}: {state.aside[0].reason}")
    if not 0 < len(state.entries) <= MAX_ENTRIES:
        raise _refused(path, f"it has {len(state.entries)} entries")
    return list(state.entries.values())


def _adapter(path: Path, archive: zipfile.ZipFile, entry: Entry) -> bytes:
    content = _member(path, archive, entry.file, entry.bytes)
    try:
        adapters.opened(content, entry)
    except ValueError as error:
        raise _refused(path, f"the adapter of the entry {entry.id} {error}") from None
    return content


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A file of an archive, of `limit` bytes at most: none is compressed, so that it has no more than the archive."""
    try:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _refused(path, f"its {name} is compressed or locked, as no export is")
        with archive.open(info) as file:
            content = file.read(limit + 1)
    except KeyError:
        raise _refused(path, f"it has no {name}") from None
    except EOFError:
        raise _refused(path, f"its {name} is cut short") from None
    if len(content) > limit:
        raise _refused(path, f"its {name} is larger than it may be")
    return content


def _from_lora(path: Path, file) -> tuple[Entry, bytes]:
    """The entry of a LoRA's file that was exported, and its adapter as the bank has it."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > MAX_BYTES:
        raise _refused(path, f"it has {size / 1e6:.0f} MB, {MAX_BYTES / 1e6:.0f} are the most")
    content = file.read()
    try:
        record = json.loads(adapters.header_of(content)[KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused(
            path, "it is neither an archive nor a LoRA that ttom exported, and so has no scene and no layout"
        ) from None
    try:
        return adapters.sealed(to_entry(record), from_comfyui(adapters.decode(content)))
    except ValueError as error:
        raise _refused(path, f"it {error}") from None
