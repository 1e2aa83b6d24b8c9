"""The bank under faults, with real processes: many at once, kill -9 at every touch of a file, full disks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).parent / "bank_process.py"


def run(*arguments, seconds: float = 300) -> dict:
    done = subprocess.run(
        [sys.executable, str(WORKER), *map(str, arguments)], capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_writers_and_readers_at_once_lose_nothing_and_raise_nothing(tmp_path):
    """Eight processes insert, delete and update one entry, while four read that entry."""
    seen = run("many", tmp_path / "a", 8, 4, 6)
    assert not any(seen["codes"]) and seen["lost"] == [] and seen["back"] == [] and seen["stray"] == []
    assert seen["updates"] == seen["acknowledged"] == 48 and all(seen["reads"])


def check_kills(seen: dict, least: int) -> int:
    assert seen["faults"] == [] and seen["stray"] == [] and seen["ended"] and seen["kills"] >= least
    return seen["kills"]


@pytest.mark.parametrize("small", [2**17, 0], ids=["manifest", "journal"])
def test_kill_9_loses_nothing_acknowledged(tmp_path, small):
    """At every few of the calls that touch a file, with a second writer beside every other victim."""
    check_kills(run("kills", tmp_path / "a", 0, 4, small), 25)


@pytest.mark.slow
@pytest.mark.parametrize("small", [2**17, 0], ids=["manifest", "journal"])
def test_kill_9_at_every_touch_of_a_file(tmp_path, small):
    """Before each call, half-way through each write, and after each call."""
    check_kills(run("kills", tmp_path / "a", 0, 1, small, seconds=1800), 110)


@pytest.mark.parametrize("small", [2**17, 0], ids=["manifest", "journal"])
def test_a_full_disk(tmp_path, small):
    """What cannot be written is said and changes nothing; reading and removing go on."""
    seen = run("full", tmp_path / "a", 12, small)
    assert seen["kept"] and seen["deleted"] and seen["read"] and "inserted" not in seen and seen["stray"] == []
