"""What the READMEs say can be done: their Python runs, their commands and options are known, their links lead on."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer

from ttom_cli.backbones import Backbone
from ttom_cli.cli import app
from ttom_cli.errors import LayoutError

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(
        p
        for p in sorted(ROOT.glob("*/**/*.md"))
        if not p.relative_to(ROOT).parts[0].startswith((".", "dist", "videos"))
    ),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def command_of(words: list[str]):
    """The click command that a line calls, and what is left of its words."""
    command = typer.main.get_command(app)
    while words and not words[0].startswith("-") and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_options_and_links_are_there(page):
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"[|;]", line.partition(" #")[0]):
                words = shlex.split(part.replace("[", "").replace("]", ""))
                if words[:1] != ["ttom"]:
                    continue
                command, rest = command_of(words[1:])
                known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
                asked = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
                assert asked <= known, f"{part}: {sorted(asked - known)}"
                for word in rest:
                    assert not word.startswith("prompts/") or (ROOT / word).exists(), part
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{target} is not there"


def test_the_library_s_example_runs(toy, layout):
    """At toy size, with the names that it begins with."""
    (example,) = blocks(ROOT / "README.md", "python")
    small = example.replace("height=480, width=832, num_frames=81", "height=64, width=64, num_frames=13")
    assert small != example
    names = {"pipe": toy.pipe, "layout": layout, "prompt": layout.text}
    exec(small, names)
    assert len(names["video"]) == 13 and names["guide"].losses


def test_what_is_said_of_families_planners_and_detectors_runs():
    family, planner, detector = blocks(ROOT / "ttom_cli" / "README.md", "python")
    names = {}
    exec(family, names)
    assert issubclass(names["Mine"], Backbone) and names["Mine"]().self_attention_name(None, 0) is None
    exec(planner, names)
    assert names["Centred"]().plan("a ball").objects[0].phrase == "ball"
    with pytest.raises(LayoutError):
        names["Centred"]().plan("a cat")
    exec(detector, names)
    seen = names["Blind"]().see(np.zeros((3, 8, 8, 3), np.uint8), ["a", "b"])
    assert len(seen) == 2 and seen[0][0].frames == 0
