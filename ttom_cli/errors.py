"""The one error tree: what the user sees is `message`, and what to do about it is `hint`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class TTOMError(Exception):
    """A fault that the user can mend. The command line prints it in one line and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message, self.hint = message, hint


class UsageError(TTOMError):
    """A command line that cannot be read: a word, an option or its value that is none, or one that is missing."""

    exit_code = 2


class LayoutError(TTOMError):
    """A layout that is malformed or cannot be meant; `faults` are one message each, of which the line has the start."""

    def __init__(self, faults: list[str], source: str = "layout", hint: str = ""):
        super().__init__(
            f"{source}: " + "; ".join(fault[:300] for fault in faults),
            hint,
        )
        self.faults = faults


class PlanningError(TTOMError):
    """No layout could be made from the prompt."""


class ModelError(TTOMError):
    """A model that is unknown, missing, or cannot do what was asked of it."""


class VideoError(TTOMError):
    """A video that came to nothing: numbers that are not finite, or a single flat colour."""


class BankError(TTOMError):
    """A memory bank that cannot be read or written."""


class DamagedError(BankError):
    """A memory bank whose table of contents makes no sense."""


class BusyError(BankError):
    """A memory bank that others change for longer than one waits."""


class ReadOnlyError(BankError):
    """A memory bank that can be read, and not written by this user or in this place."""


def explained(error: Exception) -> tuple[str, str]:
    """(message, hint) of any error; one that ttom does not know of is a fault of its own."""
    if isinstance(error, TTOMError):
        return error.message, error.hint
    if isinstance(error, OSError) and error.strerror:
        if error.filename:
            return f"cannot read or write {str(error.filename)[:200]}: {error.strerror}", ""
        return f"{error.strerror}, on standard output or in a file", ""
    words = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {words}", "this is a fault of ttom's; --debug shows where"


FEW = 6  # names that are listed where none is near


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The one or two known names that are most like `name`, or begin with it, best first."""
    known = list(known)
    begun = [k for k in known if name and k.startswith(name)]
    return list(dict.fromkeys([*begun, *difflib.get_close_matches(name, known, cutoff=0.7)]))[:2]


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest names, or what is said where there is none."""
    near = nearest(name, known)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise


def unknown(
    kind: str, name: str, known: Collection[str], otherwise: str = "", *, of: type[TTOMError] = TTOMError
) -> TTOMError:
    """An unknown name, with the nearest known ones; where none is near with a few known ones, or else `otherwise`."""
    listed = f"known: {', '.join(known)}" if len(known) <= FEW else otherwise
    shown = name if len(name) <= 80 else f"{name[:60]}..."
    return of(f"unknown {kind} {shown!r}", did_you_mean(name, known, listed))
