"""What people see while they wait."""

import io
import os
import shlex
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from ttom_cli import console

PROMPT = "a red ball rolls right while a [blue] cube rises and a green triangle stands"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(monkeypatch, file, width):
    made = Console(file=file, width=width, soft_wrap=True, highlight=False, color_system=None, legacy_windows=False)
    monkeypatch.setattr(console, "err", made)
    return made


@pytest.mark.parametrize(
    ("width", "note"), [(60, ""), (80, "loss 0.250"), (120, "loss 0.500 → 0.250"), (200, "loss 0.500 → 0.250")]
)
def test_the_display_says_which_and_how_far_on_one_line(monkeypatch, width, note):
    made = screen(monkeypatch, Terminal(), width)
    with console.progress() as live, console.report(live, PROMPT, console.nth(3, 30)) as report:
        for stage, total in (("plan", None), ("sample", 25), ("compare", 50)):
            report.stage(stage, total)
            for done in range(total // 2 if total else 0):
                report.step(done + 1)
            with made.capture() as captured:
                if stage == "sample":
                    report.loss(0.5)
                    report.loss(0.25)
                made.print(live.get_renderable(), soft_wrap=False)
            lines = Text.from_ansi(captured.get()).plain.splitlines()
            (line,) = [text for text in lines if "3/30 a red" in text][:1]
            assert len(line) <= width and console.STAGES[stage] in line, line
            assert (f" {total // 2}/{total}" if total else "0:00") in line
            assert (note in line) if stage == "sample" else "loss" not in line


def test_data_goes_by_the_display_to_its_file(monkeypatch):
    """As in `ttom generate ... > paths.txt`, where the terminal has the display alone."""
    terminal, file = Terminal(), io.StringIO()
    screen(monkeypatch, terminal, 60)
    monkeypatch.setattr("sys.stdout", file)
    with console.progress() as live, console.report(live, PROMPT):
        print("videos/a.mp4")
    assert file.getvalue() == "videos/a.mp4\n" and "videos/a.mp4" not in terminal.getvalue()


def test_no_display_where_nobody_looks(monkeypatch):
    file = io.StringIO()
    screen(monkeypatch, file, 60)
    with console.progress() as live, console.report(live, PROMPT) as report:
        report.stage("sample", 25)
        report.step(1)
        console.note("a line")
    assert file.getvalue() == "note: a line\n"


def test_the_time_left_is_told():
    now = 0.0
    live = Progress(get_time=lambda: now)
    task = live.add_task("", total=40)
    for done in range(1, 11):
        now = 10.0 * done
        live.update(task, completed=done)
    assert console.Left().render(live.tasks[0]).plain == "10/40 5:00 left"
    live.add_task("", total=None)
    now += 65
    assert console.Left().render(live.tasks[1]).plain == "1:05"


def test_which_of_a_batch():
    assert [console.nth(3, 30), console.nth(3, None), console.nth(1, 1)] == ["3/30", "3", ""]


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "<&- 2>&-"])
def test_what_cannot_be_said_costs_nothing(stderr):
    """A stderr that is full or closed: what was asked for is done, and the exit code is what it would be."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for prompt, code in (("a red ball rolls right, and a sprocket", 0), ("", 1)):
        command = f"{shlex.quote(sys.executable)} -m ttom_cli plan --json {shlex.quote(prompt)} {stderr}"
        done = subprocess.run(command, shell=True, env=env, stdout=subprocess.PIPE, text=True)
        assert done.returncode == code and bool(done.stdout) == (not code)
