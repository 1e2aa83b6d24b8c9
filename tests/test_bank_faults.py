"""The bank under faults, with real processes: many at once, kill -9 at every touch of a file, full disks."""

import json
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parent / "bank_process.py"


def run(scenario: str, folder: Path) -> list[dict]:
    """What the scenario saw of a bank whose manifest is replaced, and of one with a journal."""
    done = subprocess.run([sys.executable, str(WORKER), scenario, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-3000:]
    return list(json.loads(done.stdout).values())


def test_writers_and_readers_at_once_lose_nothing_and_raise_nothing(tmp_path):
    """Eight processes insert, delete and update one entry, while four read that entry."""
    for seen in run("many", tmp_path):
        assert not any(seen["codes"]) and seen["lost"] == [] and seen["back"] == [] and seen["stray"] == []
        assert seen["updates"] == seen["acknowledged"] == 32 and all(seen["reads"])


def test_kill_9_loses_nothing_acknowledged(tmp_path):
    """Before each call that touches a file and within each write, always two writers at once."""
    kills = 0
    for seen in run("kills", tmp_path):
        assert seen["faults"] == [] and seen["stray"] == []
        assert seen["killed"].keys() >= {"open", "pwrite", "fsync", "replace", "unlink"}
        kills += sum(seen["killed"].values())
    assert kills >= 300


def test_a_full_disk(tmp_path):
    """What cannot be written is said and changes nothing; reading and removing go on."""
    for seen in run("full", tmp_path):
        assert seen["kept"] and seen["deleted"] and seen["read"] and "inserted" not in seen and seen["stray"] == []
