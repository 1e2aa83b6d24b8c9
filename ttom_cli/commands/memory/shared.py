"""What the commands on the bank have in common: the bank that is there, and the entries that are named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ...errors import TTOMError
from ...settings import OPTIONS
from ..inputs import open_bank
from ..parameters import parameter

if TYPE_CHECKING:
    from ...memory import MemoryBank

BankOpt = parameter("bank")
IdsArg = Annotated[Optional[list[str]], typer.Argument(help="Ids, or beginnings of ids.")]
IdArg = Annotated[str, typer.Argument(help="An id, or the beginning of one.")]


def opened(bank: Path | None, *, must: bool = False, **more) -> MemoryBank:
    """The bank, as `open_bank` gives it. Raises TTOMError for one that is not there, but is named, or `must` be.

    What the variable names, as the default one, may come to be with the first video.
    """
    named = bank is not None and str(bank) != os.environ.get(OPTIONS["bank"].env)
    store = open_bank(bank, **more)
    if (named or must) and not store.folder.exists():
        raise TTOMError(f"there is no bank {store.folder}", "see --bank")
    return store


def each_once(find: Callable, ids: list[str]) -> list:
    """What `find` gives for each id, once, however often it is named."""
    return list({found.id: found for found in map(find, ids)}.values())
