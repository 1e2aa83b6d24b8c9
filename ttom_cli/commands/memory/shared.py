"""What the commands on the bank have in common: the bank that is there, and the entries that are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ...errors import TTOMError
from ..inputs import open_bank
from ..parameters import parameter

if TYPE_CHECKING:
    from ...memory import MemoryBank

BankOpt = parameter("bank")
IdsArg = Annotated[Optional[list[str]], typer.Argument(help="Ids, or beginnings of ids.")]
IdArg = Annotated[str, typer.Argument(help="An id, or the beginning of one.")]
OverwriteOpt = Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")]


def opened(bank: Path | None, **more) -> MemoryBank:
    """The bank, as `open_bank` gives it. Raises TTOMError for one that is named and not there."""
    if bank is not None and not bank.exists():
        raise TTOMError(f"there is no bank {bank}", "see --bank")
    return open_bank(bank, **more)


def each_once(find: Callable, ids: list[str]) -> list:
    """What `find` gives for each id, once, however often it is named."""
    return list({found.id: found for found in map(find, ids)}.values())
