"""What people see, all on stderr: progress, results, errors. stdout is for data."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from shutil import get_terminal_size

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from .errors import TTOMError
from .text import plain


class Talk:
    """The stderr of the moment. What nobody can hear is dropped: one that is full, or closed, costs no video."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            to_nowhere(sys.stderr)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            to_nowhere(sys.stderr)

    def __getattr__(self, name: str):
        return getattr(sys.stderr, name)


def to_nowhere(stream) -> None:
    """What is left in the buffer of a standard stream that takes no more is dropped quietly, as all that follows."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


err = Console(file=Talk(), highlight=False, soft_wrap=True)
MEDIUM, WIDE = 80, 110  # columns from which the display says more
NARROW = get_terminal_size().columns < MEDIUM  # tables of help would cut the options' names there

STAGES = {
    "plan": "planning",
    "load": "loading the model",
    "recall": "asking the memory",
    "sample": "sampling",
    "check": "looking at the video",
    "write": "writing the video",
    "consolidate": "consolidating",
    "compare": "sampling unguided",
    "remember": "remembering",
}


def say(text: str) -> None:
    """A line of talk; `text` may hold markup."""
    err.print(text)


def note(text: str) -> None:
    """A remark on what was done with the user's input."""
    err.print(f"[yellow]note:[/] {escape(plain(text))}")


def error(message: str, hint: str = "") -> None:
    tail = f" [dim]({escape(plain(hint))})[/]" if hint else ""
    err.print(f"[bold red]error:[/] {escape(plain(message))}{tail}")


def agreed(question: str, *, otherwise: bool = False) -> bool:
    """Whether whoever sits at the terminal says yes; `otherwise` is what an empty line says.

    Raises TTOMError where there is no answer.
    """
    err.print(f"{escape(plain(question))} \\[{'Y/n' if otherwise else 'y/N'}]: ", end="")
    answer = sys.stdin.readline()
    if not answer:
        raise TTOMError("nothing was done: there was no answer")
    return answer.strip().lower() in ("y", "yes", *([""] if otherwise else ()))


def nth(number: int, total: int | None) -> str:
    """'3/30': which of a batch; '3' where nobody knows how many there will be, and nothing for a single one."""
    return "" if total == 1 else f"{number}/{total}" if total else str(number)


class ProgressReport:
    """Shows the stage, the denoising step and the loss of the video in work."""

    def __init__(self, progress: Progress, title: str, which: str = ""):
        self.progress, self.title, self.task = progress, escape(plain(f"{which} {title}")), None
        self.stage("")

    def stage(self, name: str, total: int | None = None) -> None:
        self.close()
        self.at = name
        self.losses: list[float] = []
        # A task of its own, since a task that has a total once keeps one.
        self.task = self.progress.add_task(self.title, total=total, stage=STAGES.get(name, name), note="")

    def step(self, done: int) -> None:
        self.progress.update(self.task, completed=done)

    def loss(self, value: float) -> None:
        self.losses.append(value)
        first = f"{self.losses[0]:.3f} → " if err.width >= WIDE else ""
        self.progress.update(self.task, note=f"loss {first}{value:.3f}" if err.width >= MEDIUM else "")

    def note(self, text: str) -> None:
        note(text)

    def close(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = None


class Left(ProgressColumn):
    """The step and the time left, where the number of steps is known, else the time that it takes already."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text(_clock(task.elapsed))
        left = f" {_clock(task.time_remaining)} left" if task.time_remaining else ""
        return Text(f"{task.completed:.0f}/{task.total:.0f}{left}")


def _clock(seconds: float | None) -> str:
    """65 -> '1:05'."""
    minutes, seconds = divmod(int(seconds or 0), 60)
    return f"{minutes}:{seconds:02}"


@contextmanager
def report(live: Progress, title: str, which: str = ""):
    """A report that is shown as long as the context is open; `which` tells which of a batch it is."""
    made = ProgressReport(live, title, which)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def progress():
    """A live display of one line where stderr is a terminal; silent elsewhere."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        TextColumn("[cyan]{task.fields[stage]}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=24 if err.width >= WIDE else 8),
        Left(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
    )
    shown = err.is_interactive and err.file.isatty()
    # What is data goes by the display where both are the terminal, and straight to its file or pipe elsewhere.
    aside = sys.stdout.isatty()
    with Progress(*columns, console=err, transient=True, disable=not shown, expand=True, redirect_stdout=aside) as live:
        yield live


def waiting(text: str):
    """Says what is waited for, as long as the context is open and where stderr is a terminal."""
    return err.status(escape(text))


@contextmanager
def status():
    """A function (what, done, of how many) that shows where a long measurement is."""
    with err.status("") as live:
        yield lambda what, done, total: live.update(f"{escape(what)}: {done} of {total}")


def outcome_line(outcome, which: str = "") -> str:
    """One line on a finished video: a tick if it shows what was planned, else a warning sign and what is wrong.

    `which` tells which of a batch it is.
    """
    data, check = outcome.to_json(), outcome.check
    memory, seen = data["memory"], []
    mark = "[dim]•[/]"
    if check:
        mark = "[green]✓[/]" if check.passed else "[yellow]⚠[/]"
        seen = check.faults and [*check.faults, *check.remarks]
    said = f": [yellow]{escape(plain('; '.join(seen)))}[/]" if seen else ""
    parts = [*(check.remarks if check and check.passed else ()), f"seed {data['seed']}"]
    if data["tries"] > 1:
        parts.append(f"best of {data['tries']} tries" if check and not check.passed else f"try {data['tries']}")
    parts.append(f"score {check.score:.2f}, IoU {check.iou:.2f}" if check else "not looked at")
    if memory["outcome"] == "hit":
        parts.append(f"memory hit {memory['entry']} (scene {memory['scene']:.2f}), {memory['action']}")
    elif memory["outcome"] == "miss":
        kept = f", kept as {memory['entry']}" if memory.get("entry") else ""
        failed = f", the hit {memory['failed']} failed" if memory.get("failed") else ""
        parts.append(f"memory miss{failed}{kept or (', not kept' if check and not check.passed else '')}")
    if data["loss_first"] is not None:
        parts.append(f"loss {data['loss_first']:.3f} → {data['loss_last']:.3f}")
    seconds = data["seconds"]
    timed = [f"{stage} {seconds[stage]:.1f} s" for stage in ("sample", "consolidate") if stage in seconds]
    which = f"{which} " if which else ""
    return f"{which}{mark} {escape(plain(data['prompt']))}{said} [dim]({escape(plain('; '.join(parts + timed)))})[/]"
