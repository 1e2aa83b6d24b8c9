"""Ctrl-C and SIGTERM: what is done is said, nothing temporary is left, and the exit code says which it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ttom_cli import console, video
from ttom_cli.cli import main

TOY = ["--size", "64x64", "--frames", "5", "--steps", "2", "--blocks", "1", "--guided-steps", "1", "--iterations", "1"]


def stop(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def interruptible():
    """A process in the background may have been told to ignore Ctrl-C."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


ENDS = """
import atexit, os, signal, sys
from ttom_cli.__main__ import run
atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.argv = ["ttom", "--version"]
run()
"""


def test_a_stop_after_all_is_done_is_no_traceback():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", ENDS], env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stderr == "" and done.stdout.startswith("ttom ")


def left() -> set[str]:
    """The files here, but for the model's."""
    return {str(p) for p in Path().rglob("*") if p.is_file() and p.name not in (".lock", "plans")}


@pytest.mark.parametrize(
    ("stage", "number", "written"),
    [
        ("plan", signal.SIGINT, 0), ("load", signal.SIGTERM, 0), ("recall", signal.SIGINT, 0),
        ("sample", signal.SIGINT, 0), ("write", signal.SIGTERM, 0), ("consolidate", signal.SIGINT, 1),
        ("remember", signal.SIGTERM, 1),
    ],
)  # fmt: skip
def test_a_run_is_stopped_at_each_stage(capsys, monkeypatch, toy_folder, stage, number, written):
    begin, step, metadata = console.ProgressReport.stage, console.ProgressReport.step, video._metadata

    def stage_stops(self, name, total=None):
        begin(self, name, total)
        if name == stage and name not in ("sample", "write", "consolidate"):
            stop(number)

    def step_stops(self, done):
        step(self, done)
        if self.at == stage:
            stop(number)

    def metadata_stops(recipe):  # the temporary folder is there
        if stage == "write":
            assert any(p.name.startswith(".ttom-") for p in Path("videos").iterdir())
            stop(number)
        return metadata(recipe)

    monkeypatch.setattr(console.ProgressReport, "stage", stage_stops)
    monkeypatch.setattr(console.ProgressReport, "step", step_stops)
    monkeypatch.setattr(video, "_metadata", metadata_stops)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    code = main(
        ["generate", "a red ball rolls right", "--model", str(toy_folder), "--seed", "1", "--consolidate", "2", *TOY]
    )
    assert code == 128 + number
    assert capsys.readouterr().err == f"interrupted while {console.STAGES[stage]}: {written} of 1 video written\n"
    videos = {name for name in left() if not name.startswith("bank/")}
    assert videos == ({"videos/a-red-ball-rolls-right-seed1.mp4"} if written else set())
    assert not [name for name in left() if name.endswith((".partial", ".safetensors"))]
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert main(["memory", "ls"]) == 0 and "is empty" in capsys.readouterr().err  # its lock is free


def test_a_process_that_waits_for_prompts_is_stopped():
    argv = ["generate", "--guide", "off", "--steps", "1", "--seed", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "ttom_cli", *argv], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as run:  # fmt: skip
        run.stdin.write("a red ball\n")
        run.stdin.flush()
        assert run.stdout.readline() == "videos/a-red-ball-seed1.mp4\n"
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and out == ""
    assert err.splitlines()[-1] == "interrupted: 1 video written" and "Traceback" not in err
    assert left() == {"videos/a-red-ball-seed1.mp4"}


def test_what_a_process_is_to_ignore_stays_ignored():
    from ttom_cli.stop import stoppable

    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, earlier)
