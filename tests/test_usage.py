"""Command lines that cannot be read: one line each, exit code 2, and no name too many."""

import os
import subprocess
import sys

import pytest

from ttom_cli.cli import main
from ttom_cli.config import MODES
from ttom_cli.settings import OPTIONS


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["generate", "a", "red", "ball"],
            'several words where one prompt is taken: a red ball (quote the prompt: ttom generate "a red ball")',
        ),
        (["plan", "a", "dog", "--steps", "3"], "`ttom plan` has no option --steps"),
        (["plan", "a", "--json", "dog"], 'quote the prompt: ttom plan "a dog")'),
        (["generate", "--stpes", "3"], "has no option --stpes (did you mean '--steps' or '--tries'?)"),
        (["generate", "a", "--guidance-scale", "3"], "has no option --guidance-scale (here it is --cfg)"),
        (["generate", "a", "--num_inference_steps", "3"], "(here it is --steps)"),
        (["generate", "a", "--num_videos", "3"], "has no option --num_videos (did you mean '--num-videos'"),
        (["generate", "a", "--n", "3"], "has no option --n (here it is --num-videos)"),
        (["plan", "a", "--timeout", "3"], "(here it is --llm-total-timeout)"),
        (["plan", "--prompts", "a.txt", "--prompts", "b.txt"], "--prompts is given 2 times (give it once)"),
        (["generate", "a", "--config", "a.yaml", "--config", "b.yaml"], "--config is given 2 times (give it once)"),
        (["help"], "no command `ttom help` (`ttom --help` shows them)"),
        (["memory", "help"], "(`ttom memory --help` shows them)"),
        (["plan", "a", "--llm-base-url", "localhost:8000"], "llm-base-url must be an address such as http://"),
        (["plan", "a", "--llm-base-url", "ftp://a/v1"], "llm-base-url must be an address such as http://"),
        (["generate", "--bogus"], "has no option --bogus (`ttom generate --help` says more)"),
        (["generate", "a", "--debug"], "(it stands before the command: `ttom --debug generate ...`)"),
        (["genrate", "a"], "no command `ttom genrate` (did you mean 'generate'?)"),
        (["a red ball"], 'did you mean: ttom generate "a red ball"?'),
        (["memory", "foo"], "no command `ttom memory foo` (`ttom memory --help` says more)"),
        (["memory", "show"], "'id' is missing"),
        (["memory", "show", "a", "b"], "`ttom memory show` takes no 'b' (one at a time)"),
        (["show", "a.mp4", "b.mp4"], "`ttom show` takes no 'b.mp4' (one at a time)"),
        (["generate", "--seed"], "option '--seed' requires an argument"),
        (["plan", "--json=5"], "option '--json' does not take a value"),
        (["generate", "a", "--seed", "x"], "seed must be a whole number of 64 bits, not 'x'"),
        (["memory", "update", "a", "--seed", "9" * 30], "seed must be a whole number of 64 bits, not 999"),
        (["probe", "a", "--keep", "x"], "keep must be a whole number of at least 1, not 'x'"),
        (["probe", "a", "--ranges", "0"], "ranges must be a whole number of at least 1, not 0"),
        (["bench", "speed", "--repeats", "0"], "repeats must be a whole number of at least 1, not 0"),
        (["plan", "a dog", "--planner", "rulez"], "unknown planner 'rulez'"),
        (["generate", "a red ball", "--guide", "para"], "unknown guide 'para' (did you mean 'params'?"),
        (["generate", "a red ball", "--size", "64"], "size must be WIDTHxHEIGHT"),
        (["generate", "a red ball", "--dtype", "float23"], "unknown dtype 'float23' (did you mean 'float32'"),
        (["generate", "a red ball", "--rank", "0"], "rank must be a whole number from 1 to 4096"),
        (["generate", "a red ball", "--blocks", "x"], "blocks must be block numbers"),
        (["generate", "a red ball", "--detector", "shape"], "unknown detector 'shape' (did you mean 'shapes'?"),
        (["generate", "a red ball", "--tries", "0"], "tries must be a whole number from 1 to 1000"),
    ],
)
def test_what_cannot_be_read_is_one_line(capsys, argv, message):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize("columns", [60, 79])
def test_a_narrow_terminal_cuts_no_name(columns):
    env = os.environ | {"COLUMNS": str(columns), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "ttom_cli", "generate", "--help"]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    words = set(said.replace(",", " ").split())
    assert all(f"--{name}" in words for name in OPTIONS) and "…" not in said and "\\[" not in said
    assert max(map(len, said.splitlines())) <= columns


def test_names_without_a_near_one(capsys):
    assert main(["generate", "a", "--planner", "zzz"]) == 2
    assert "unknown planner 'zzz' (known: auto, rules, openai)" in capsys.readouterr().err
    assert main(["generate", "a", "--model", "zzz"]) == 1
    assert capsys.readouterr().err == "error: unknown model 'zzz' (`ttom models` lists those with a name)\n"
    assert main(["generate", "a", "--model", "wan"]) == 1
    assert "(did you mean 'wan2.1-14b' or 'wan2.1-1.3b'?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [[], ["-h"], ["--help"], ["memory"], ["bench", "-h"], ["plan", "-h"], ["memory", "rm", "-h"]]
)
def test_help_is_a_word_away(capsys, argv):
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert (
        out.lstrip().startswith(" ".join(["Usage: ttom", *argv[: -1 if argv and argv[-1].startswith("-") else None]]))
        and err == ""
    )


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ttom ge", {"generate"}),
        ("ttom memory ", set("ls show search rm update merge prune verify export import stats".split())),
        ("ttom generate --guided", {"--guided-steps", "--guided-share"}),
        ("ttom generate --model wan2.2", {"wan2.2-a14b", "wan2.2-5b", "wan2.2-i2v-a14b", "wan2.2-i2v-5b"}),
        ("ttom probe -m sha", {"shapes", "shapes-cog"}),
        ("ttom plan --planner ", {"auto", "rules", "openai"}),
        ("ttom generate --guide ", set(MODES)),
    ],
)
def test_the_shell_completes_commands_options_and_names(capsys, monkeypatch, line, offered):
    monkeypatch.setenv("_TTOM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    assert main([]) == 0
    assert set(capsys.readouterr().out.split()) == offered


def test_what_is_allowed_is_said_where_nothing_is_near(capsys):
    for argv, said in (
        (["generate", "a", "--guide", "bais"], "unknown guide 'bais' (known: attention, latents, params, attention+"),
        (["generate", "--prompts", ""], "prompts must not be empty (it is a path)"),
        (["generate", "--replay", ""], "replay must not be empty (it is a path)"),
        (["plan", "a", "--out", ""], "out must not be empty (it is a path)"),
        (["show", ""], "file must not be empty (it is a path)"),
        (["bench", "shapes", "--only", "all"], "unknown table 'all' (known: found, guide, memory, tries)"),
        (["bench", "stream", "--set", "all"], "unknown set 'all' (known: tune, validate, report)"),
        (["memory", "prune", "--keep", "-1"], "keep must be a whole number of at least 0, not -1"),
        (["memory", "merge", "--similarity", "2"], "similarity must be a number from 0 to 1, not 2"),
        (["generate", "a", "--model", ""], "model must not be empty (it is text)"),
        (
            ["generate", "a", "--seeds", "4-1"],
            "seeds must be different numbers such as 1-4 or 1,3,7, at most 1000 of them",
        ),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {said}") and err.count("\n") == 1, err


def test_the_parts_of_a_mode_may_stand_in_any_order():
    assert OPTIONS["guide"].read("params+attention") == "attention+params"
    assert OPTIONS["guide"].read("params+latents+attention") == "attention+latents+params"
