"""Ctrl-C and SIGTERM end a run as an error would: what is open is closed, and what is temporary goes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The process is asked to stop. No Exception, so that nothing takes it for a fault that it can go on after."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        self.done = ""
        """What is done by then, in words."""


@contextmanager
def stoppable() -> Iterator[None]:
    """While open, the signals raise Stopped in the main thread; those that the process is to ignore stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    taken = [number for number, handler in earlier.items() if handler != signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, _raise)
        yield
    finally:
        for number in taken:
            signal.signal(number, earlier[number])


def _raise(number: int, frame) -> None:
    raise Stopped(number)
