"""What people write and what strangers send: read within bounds, every fault one line."""

import json
from pathlib import Path

import pytest

from ttom_cli import files
from ttom_cli.cli import main
from ttom_cli.errors import TTOMError
from ttom_cli.files import parse_data, read_data

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "line 2, column 8: YAML's aliases are not read (write the value out)"),
        ("a: &a [*a]", "aliases are not read"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 40 + "a", "nested too deeply"),
        ("[" * 40 + "1" + "]" * 40, "nested too deeply"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested too deeply"),
        ("- a\n" * 100_001, "more than 100,000 values (as JSON it may be larger)"),
        (f"[{'0,' * 1_000_000}0]", "more than 1,000,000 values"),
        (f'["{"x" * 100_001}"]', "a text of more than 100,000 characters"),
        ("x" * 100_001, "a text of more than 100,000 characters"),
        ("#" * 2_000_001, "as YAML it is too long: more than 2,000,000 characters"),
        ("#" * (2**25 + 1), "it has more than 32 MiB"),
        ("t: 1:" + "1:" * 40_000 + "1.5", "neither JSON nor YAML"),
        ("a: !!python/object/apply:os.getcwd []", "neither JSON nor YAML"),
        ("a: 1\n---\nb: 2", "neither JSON nor YAML"),
    ],
)
@pytest.mark.parametrize("argv", [["--layout", "f"], ["--config", "f"]])
def test_files_are_bounded(capsys, argv, text, said):
    Path("f").write_text(text)
    assert main(["plan", "a dog", *argv]) == 1
    err = capsys.readouterr().err
    assert said in err and err.startswith("error: ") and err.count("\n") == 1 and len(err) < 400, err


def test_what_never_ends_is_not_read_to_its_end():
    with pytest.raises(TTOMError, match="it is binary, not text"):
        read_data(Path("/dev/zero"))


def test_a_layout_of_too_much_is_not_looked_through(capsys):
    Path("f").write_text(json.dumps({"objects": [{}] * 100_000}))
    assert main(["plan", "a dog", "--layout", "f"]) == 1
    assert capsys.readouterr().err.startswith("error: f: objects has 100000 entries, and 16 are the most (")


def test_a_name_that_no_system_takes(capsys):
    assert main(["plan", "a dog", "--layout", "a\0b"]) == 2
    assert capsys.readouterr().err == "error: layout must be a path, not 'a\\x00b'\n"
    with pytest.raises(TTOMError, match="cannot read a"):
        read_data(Path("a\0b"))


def test_what_is_within_the_bounds_is_read():
    deep = "[" * (files.DEEPEST - 1) + "1" + "]" * (files.DEEPEST - 1)
    assert json.dumps(parse_data(deep, "it")) == deep == json.dumps(parse_data(f"# YAML\n{deep}", "it"))
    assert parse_data("a: &a 5\nb: {<<: {c: 1}}", "it") == {"a": 5, "b": {"c": 1}}  # an anchor alone repeats nothing
    assert len(parse_data("- a\n" * 9_999, "it")) == 9_999


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x10", 16), ("1:30", "1:30"), ("0o17", "0o17")],
)
def test_whole_numbers_of_yaml_are_those_of_the_command_line(text, value):
    assert parse_data(f"a: {text}", "") == {"a": value}
