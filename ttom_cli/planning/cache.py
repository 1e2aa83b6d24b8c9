"""Plans that were paid for: a directory of JSON files, one for each request."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import platformdirs

from ..errors import TTOMError
from ..files import put_text


def default_folder() -> Path:
    """`TTOM_CACHE`, or the user's cache directory."""
    return Path(os.environ.get("TTOM_CACHE") or platformdirs.user_cache_dir("ttom")) / "plans"


class PlanCache:
    """Maps a request (JSON) to the layout (JSON) that answered it."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or default_folder()

    def path(self, request: dict) -> Path:
        text = json.dumps(request, sort_keys=True, ensure_ascii=False)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def read(self, request: dict) -> dict | None:
        """The layout, or None; a file that cannot be read counts as none."""
        try:
            kept = json.loads(self.path(request).read_text(encoding="utf-8"))
            return kept["layout"] if kept["request"] == request else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, request: dict, layout: dict) -> None:
        """Raises TTOMError where the folder cannot be written."""
        text = json.dumps({"request": request, "layout": layout}, indent=1)
        try:
            put_text(self.path(request), text, overwrite=True)
        except OSError as error:
            raise TTOMError(
                f"cannot write the cache of plans {self.folder}: {error.strerror}", "use --no-cache, or set TTOM_CACHE"
            ) from None
