"""Text that comes from a model, a server or a file."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """On one line, without control characters and terminal escapes."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def slug(text: str) -> str:
    """'A red ball!' -> 'a-red-ball': safe as a file's name on any system; at most 200 bytes."""
    name = re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:80]
    return name.encode()[:200].decode(errors="ignore").rstrip("-") or "video"
