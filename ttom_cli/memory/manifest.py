"""The bank's table of contents: one JSON file, replaced whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import BankError
from ..files import to_json

SCHEMA_VERSION = 1
NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored adapter and all that is known of it."""

    id: str
    model: str
    """Name or path of the model that it was made for."""
    prompt: str
    scene: str
    """The abstracted scene whose embedding is the key."""
    embedding: list[float]
    layout: dict
    """The layout that it was optimised for, as JSON."""
    guide: dict
    """The guide's settings that shape the adapter and its use."""
    seed: int
    losses: list[float]
    """First and last loss of the optimisation."""
    consolidated: int = 0
    """Iterations of consolidation; 0: it holds for its own noise alone."""
    check: dict | None = None
    """Of the video that it was learnt on: passed, score and iou; None where nothing looked."""
    uses: int = 0
    """How often it was recalled; the least used is evicted first."""
    updates: int = 0
    created: str = ""
    last_used: str = ""
    bytes: int = 0
    sha256: str = ""

    @property
    def file(self) -> str:
        """A new name for each update, so that the old file stands until the manifest names the new."""
        return f"adapters/{self.id}-{self.updates}.safetensors"


def read_manifest(folder: Path) -> list[Entry]:
    """All entries; none where the bank does not exist yet. Raises BankError for a manifest that is damaged."""
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema_version"] > SCHEMA_VERSION:
            raise BankError(
                f"{path} has schema version {data['schema_version']}, this ttom reads {SCHEMA_VERSION}",
                "update ttom",
            )
        known = {f.name for f in fields(Entry)}
        entries = [Entry(**{k: v for k, v in e.items() if k in known}) for e in data["entries"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BankError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())[:160]
        raise BankError(
            f"the bank's manifest {path} is damaged ({what})",
            "mend it, or move it away to start a new bank; the adapters beside it are not touched",
        ) from None
    if not all(_plain_id(e.id) for e in entries):
        raise BankError(f"the bank's manifest {path} holds an id that is no plain name", "mend it by hand")
    return entries


def _plain_id(name) -> bool:
    return isinstance(name, str) and name.replace("-", "").replace("_", "").isalnum()


def write_manifest(folder: Path, entries: list[Entry]) -> None:
    """Replace the manifest: written beside it, flushed to disk, then renamed over it."""
    data = {"schema_version": SCHEMA_VERSION, "entries": [asdict(e) for e in entries]}
    replace_file(folder / NAME, to_json(data, indent=1).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it is the old one or the new one, never half of either."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
