"""What a run has made so far: which of how many is shown in the display, and what is done to who stops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import console
from ..stop import Stopped


@dataclass
class Tally:
    """The videos of a run."""

    total: int | None
    """How many there will be; None for a stream."""
    begun: int = 0
    written: int = 0
    stood: bool = False
    """Whether the file of the video in work is written."""
    kept: int = 0
    """In the memory bank."""
    report: console.ProgressReport | None = None
    """Of the video in work."""

    @property
    def which(self) -> str:
        """'3/30', for the video begun last."""
        return console.nth(self.begun, self.total)

    @contextmanager
    def video(self, live, title: str) -> Iterator[console.ProgressReport]:
        """The report of the next video, shown as long as the context is open."""
        self.begun, self.stood = self.begun + 1, False
        with console.report(live, title, self.which) as self.report:
            yield self.report

    def stands(self) -> None:
        """A file of the video in work is written: the video, or what it is compared in."""
        self.written += not self.stood
        self.stood, self.report.at = True, ""

    def add(self, outcome) -> None:
        """All is done with a video."""
        self.kept += outcome.memory["outcome"] == "miss" and bool(outcome.memory["entry"])
        self.report = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """While open, who stops the run is told what is done."""
        try:
            yield
        except Stopped as stopped:
            stopped.done = str(self)
            raise

    def __str__(self) -> str:
        stage = self.report.at if self.report else ""
        when = f" while {console.STAGES[stage]}" if stage else ""
        of = f" of {self.total}" if self.total else ""
        kept = f", {self.kept} kept in the memory bank" if self.kept else ""
        return f"{when}: {self.written}{of} video{'s' * ((self.total or self.written) != 1)} written{kept}"
