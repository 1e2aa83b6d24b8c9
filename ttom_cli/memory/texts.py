"""Sentence embeddings by their text, in memory and in a file that grows: a cache, of which any part may be lost.

The file is a sequence of records of one size, a hash of the text and the vector; it is appended to under the lock.
Damage in it costs the time to embed a text again, and what is no unit vector is not taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import BankError
from . import disk, keys
from .entry import Entry, to_tracks

NAME = "embeddings.bin"
LIMIT = 2**30
KEY = 16  # bytes of a text's hash
RECORD = np.dtype([("key", f"V{KEY}"), ("vector", "<f4", keys.SIZE)])


class Texts:
    """The embeddings that the bank in `folder` knows, as rows of one matrix."""

    def __init__(self, folder: Path):
        self.path, self.end = Path(folder, NAME), 0
        self.rows: dict[bytes, int] = {}
        self._vectors = np.empty((64, keys.SIZE), np.float32)
        self._unsaved: list[bytes] = []

    def refresh(self) -> None:
        """Take in what the file has beyond what is known of it; a file that cannot be read is none."""
        try:
            content, status = disk.read_plain(self.path, LIMIT, self.end)
        except OSError:
            return
        if status.st_size < self.end:  # made anew by another process, which has none that is unknown here
            self.end = status.st_size - status.st_size % RECORD.itemsize
            return
        whole = len(content) - len(content) % RECORD.itemsize
        records = np.frombuffer(content[:whole], RECORD)
        self.end += whole
        sound = np.abs(np.einsum("nd,nd->n", records["vector"], records["vector"]) - 1) < 0.01  # NaN is not
        for key, vector in zip(records["key"][sound].tolist(), records["vector"][sound], strict=True):
            self._add(key, vector)

    def adopt(self, embeddings: dict) -> None:
        """Take in embeddings by text from elsewhere, where they are unit vectors."""
        for text, values in embeddings.items():
            with suppress(TypeError, ValueError):
                vector = np.asarray(values, np.float32)
                if vector.shape == (keys.SIZE,) and abs(float(vector @ vector) - 1) < 0.01:
                    self._unsaved += [key] if self._add(key := _key(text), vector) else []

    def row(self, text: str) -> int:
        """Of the matrix; a text that is not known is embedded."""
        key = _key(text)
        if key not in self.rows:
            self._add(key, np.asarray(keys.embed(text), np.float32))
            self._unsaved.append(key)
        return self.rows[key]

    def vector(self, text: str) -> np.ndarray:
        row = self.row(text)  # first: the matrix may grow
        return self._vectors[row]

    def cosines(self, text: str, others: list[str]) -> np.ndarray:
        """Of the text with each of the others."""
        vector, rows = self.vector(text), [self.row(other) for other in others]
        return self._vectors[rows] @ vector

    def _add(self, key: bytes, vector) -> bool:
        if key in self.rows:
            return False
        if len(self.rows) == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._vectors[len(self.rows)] = vector
        self.rows[key] = len(self.rows)
        return True

    def save(self) -> None:
        """Append what the file does not have yet. Under the lock; raises OSError."""
        if not self._unsaved:
            return
        self.refresh()
        content = self._records(self._unsaved)
        disk.append(self.path, content, self.end, durable=False)
        self.end, self._unsaved = self.end + len(content), []

    def forget_all_but(self, entries: Collection[Entry]) -> None:
        """Write the file anew with these entries' texts alone, where most of it is of others. Under the lock; raises
        OSError."""
        if len(self.rows) <= 16 * len(entries) + 1000:
            return
        self.refresh()
        texts = {text for entry in entries for text in _needed(entry)}
        content = self._records([key for key in map(_key, texts) if key in self.rows])
        disk.replace_file(self.path, content)
        self.end, self._unsaved = len(content), []

    def _records(self, wanted: list[bytes]) -> bytes:
        records = np.zeros(len(wanted), RECORD)
        for record, key in zip(records, wanted, strict=True):
            record["key"], record["vector"] = np.void(key), self._vectors[self.rows[key]]
        return records.tobytes()


def _needed(entry: Entry) -> list[str]:
    """The texts whose embeddings its matches need."""
    with suppress(BankError, ValueError, KeyError, TypeError, AttributeError):
        return [entry.scene, *(track.phrase for track in to_tracks(entry.layout))]
    return [entry.scene]


def _key(text: str) -> bytes:
    return hashlib.sha256(f"{keys.ENCODER}\n{text}".encode(errors="replace")).digest()[:KEY]
