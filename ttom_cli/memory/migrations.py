"""From each version of the manifest to the next: `MIGRATIONS[n]` makes one of version n + 1 of one of version n."""

from __future__ import annotations

import time

from .entry import ID, MAX_TEXT

SCHEMA_VERSION = 2


def from_1(data: dict) -> dict:
    """Version 1 held the embeddings in its records, and had no journal; its adapters were named by id and updates."""
    records = data["entries"]
    if not isinstance(records, list):
        raise ValueError("its entries are no list")
    embeddings = {}
    for record in records:
        if isinstance(record, dict) and isinstance(record.get("scene"), str) and len(record["scene"]) <= MAX_TEXT:
            embeddings[record["scene"]] = record.get("embedding")
    return {"schema_version": 2, "journal": "none", "since": time.time(), "entries": records, "embeddings": embeddings}


def file_in_1(id, updates) -> str:
    """Where version 1 kept an entry's adapter, or none for what cannot have been one's."""
    plain = isinstance(id, str) and ID.fullmatch(id) and type(updates) is int and 0 <= updates < 2**53
    return f"adapters/{id}-{updates}.safetensors" if plain else ""


MIGRATIONS = {1: from_1}
