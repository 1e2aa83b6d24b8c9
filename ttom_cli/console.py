"""What people see, all on stderr: progress, results, errors. stdout is for data."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .text import plain

err = Console(stderr=True, highlight=False, soft_wrap=True)

STAGES = {
    "plan": "planning",
    "load": "loading the model",
    "recall": "asking the memory",
    "sample": "sampling",
    "check": "looking at the video",
    "write": "writing the video",
    "consolidate": "consolidating",
    "compare": "sampling unguided, to compare",
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


class ProgressReport:
    """Shows the stage, the denoising step and the loss of the video in work."""

    def __init__(self, progress: Progress, title: str):
        self.progress, self.losses = progress, []
        self.task = progress.add_task(escape(plain(title))[:48], total=None, stage="", note="")

    def stage(self, name: str, total: int | None = None) -> None:
        self.losses = []
        self.progress.update(self.task, stage=STAGES.get(name, name), total=total, completed=0, note="")

    def step(self, done: int) -> None:
        self.progress.update(self.task, completed=done)

    def loss(self, value: float) -> None:
        self.losses.append(value)
        self.progress.update(self.task, note=f"loss {self.losses[0]:.3f} → {value:.3f}")

    def note(self, text: str) -> None:
        note(text)


@contextmanager
def report(live: Progress, title: str):
    """A report that is shown as long as the context is open."""
    made = ProgressReport(live, title)
    try:
        yield made
    finally:
        live.remove_task(made.task)


@contextmanager
def progress():
    """A live display where stderr is a terminal; silent elsewhere."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), TextColumn("[cyan]{task.fields[stage]}"),
        BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    piped = not sys.stdout.isatty()  # what is printed there must not turn up among the talk
    with Progress(
        *columns, console=err, transient=True, disable=not err.is_terminal, redirect_stdout=not piped
    ) as live:
        yield live


def waiting(text: str):
    """Says what is waited for, as long as the context is open and where stderr is a terminal."""
    return err.status(escape(text))


@contextmanager
def status():
    """A function (what, done, of how many) that shows where a long measurement is."""
    with err.status("") as live:
        yield lambda what, done, total: live.update(f"{escape(what)}: {done} of {total}")


def outcome_line(outcome) -> str:
    """One line on a finished video: a tick if it shows what was planned, else a warning sign and what is wrong."""
    data, check = outcome.to_json(), outcome.check
    memory, seen = data["memory"], []
    mark = "[dim]•[/]"
    if check:
        mark = "[green]✓[/]" if check.passed else "[yellow]⚠[/]"
        seen = [*check.faults, *check.remarks]
    said = f": [yellow]{escape(plain('; '.join(seen)))}[/]" if seen else ""
    parts = [f"seed {data['seed']}"]
    if data["tries"] > 1:
        parts.append(f"best of {data['tries']} tries" if check and not check.passed else f"try {data['tries']}")
    parts.append(f"score {check.score:.2f}, IoU {check.iou:.2f}" if check else "not looked at")
    if memory["outcome"] == "hit":
        parts.append(f"memory hit {memory['entry']} (scene {memory['scene']:.2f}), {memory['action']}")
    elif memory["outcome"] == "miss":
        kept = f", kept as {memory['entry']}" if memory.get("entry") else ""
        parts.append(f"memory miss{kept or (', not kept' if check and not check.passed else '')}")
    if data["loss_first"] is not None:
        parts.append(f"loss {data['loss_first']:.3f} → {data['loss_last']:.3f}")
    seconds = data["seconds"]
    timed = [f"{stage} {seconds[stage]:.1f} s" for stage in ("sample", "consolidate") if stage in seconds]
    return f"{mark} {escape(plain(data['prompt']))}{said} [dim]({'; '.join(parts + timed)})[/]"
