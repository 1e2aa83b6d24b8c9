"""The one error tree: what the user sees is `message`, and what to do about it is `hint`."""

from __future__ import annotations


class TTOMError(Exception):
    """A fault that the user can mend. The command line prints it in one line and exits with 1."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message, self.hint = message, hint


class LayoutError(TTOMError):
    """A layout that is malformed or cannot be meant; `faults` are one message each."""

    def __init__(self, faults: list[str], source: str = "layout", hint: str = ""):
        super().__init__(f"{source}: " + "; ".join(faults), hint or "see `ttom plan --schema` for the format")
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
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror, ""
    words = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {words}", "this is a fault of ttom's; --debug shows where"


MANY = 12  # names that are listed, if there are no more


def unknown(kind: str, name: str, known) -> TTOMError:
    """An unknown name, with the nearest known one and all of a few, or with the nearest of many."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1 if len(known) <= MANY else 3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
    if len(known) <= MANY:
        hint += f" known: {', '.join(known)}"
    return TTOMError(f"unknown {kind} {name!r}", hint.strip())
