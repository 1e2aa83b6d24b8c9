"""Prompt files: every form that people keep prompts in is read, and anything else is refused in a line."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from ttom_cli.cli import main
from ttom_cli.commands.inputs import LONGEST, read_source
from ttom_cli.errors import TTOMError
from ttom_cli.layout import layout_from_json, schema_faults
from ttom_cli.prompt_files import read_prompts
from ttom_cli.recipe import recipe_schema
from ttom_cli.settings import OPTIONS
from ttom_cli.video import CONTAINERS, write_video

LAYOUT = {"prompt": "a red ball", "objects": [{"phrase": "red ball", "boxes": [{"t": 0, "box": [0, 0, 0.5, 0.5]}]}]}
TWO = [{"prompt": "a red ball"}, {"prompt": "a blue cube, slowly", "seed": 3}]


def read(name, content):
    """(items, what is told) of a file."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    told = []
    return read_prompts(Path(name), told.append), told


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.yaml", "- a red ball\n- prompt: a blue cube, slowly\n  seed: 3\n"),
        ("p.list", "---\n- a red ball\n- prompt: a blue cube, slowly\n  seed: 3\n"),
        ("p.txt", "# by hand\n- prompt: a red ball\n- {prompt: 'a blue cube, slowly', seed: 3}\n"),
        ("p.txt", 'a red ball  # the hero\n{"prompt": "a blue cube, slowly", "seed": 3}\n'),
        ("p.txt", 'a red ball\n\n# no prompt\n {"prompt": "a blue cube, slowly", "seed": 3}\n'),
        ("p.jsonl", "\n".join(map(json.dumps, TWO))),
        ("p.json", "\n".join(map(json.dumps, TWO))),
        ("p.json", json.dumps(TWO)),
        ("p", json.dumps(["a red ball", TWO[1]], indent=2)),
        ("p.json", json.dumps({"prompts": TWO})),
        ("p.csv", '\ufeffPrompt,Seed\r\na red ball,\r\n"a blue cube, slowly", 3\r\n,\r\n'),
        ("p.csv", "seed;prompt\n;a red ball\n3;a blue cube, slowly\n"),
        ("p", 'prompt,seed\na red ball,\n"a blue cube, slowly",3\n'),
        ("p.tsv", "seed\tprompt\n\ta red ball\n3\ta blue cube, slowly\n"),
        ("p.txt", 'a red ball\n{"prompt": "a blue cube, slowly", "seed": 3}'.encode("utf-16")),
    ],
)
def test_forms(name, content):
    items, told = read(name, content)
    assert items == TWO and told == []
    assert all(item.source.startswith(f"{name}, ") for item in items)


def test_in_quotes_nothing_begins_a_comment():
    content = '"a red ball # 2 rolls"\n"a \\"blue\\" cube # 3"  # its number\n"a" or "b" # no JSON\n'
    assert read("p.txt", content) == (
        [{"prompt": "a red ball # 2 rolls"}, {"prompt": 'a "blue" cube # 3'}, {"prompt": '"a" or "b"'}], []
    )  # fmt: skip


def test_lists_of_benchmarks_are_read_and_what_is_no_option_is_said():
    vbench = [{"prompt_en": "a red ball", "dimension": ["color"], "auxiliary_info": {"color": {"color": "red"}}}]
    assert read("VBench_full_info.json", json.dumps(vbench)) == (
        [{"prompt": "a red ball"}],
        ["VBench_full_info.json: what is no option is left alone: dimension, auxiliary_info"],
    )
    counted = [{"index": 1, "prompt": "two red balls", "objects": "ball", "numbers": "2", "state 0": "round"}]
    items, told = read("numeracy.json", json.dumps(counted))
    assert items == [{"prompt": "two red balls"}] and told[0].endswith("left alone: index, objects, numbers, state 0")
    items, told = read("p.csv", "id,prompt,category\n7,a red ball,colour\n")
    assert items == [{"prompt": "a red ball"}] and told == ["p.csv: what is no option is left alone: id, category"]


def test_what_is_left_alone_may_be_a_slip():
    items, told = read("p.jsonl", '{"prompt": "a red ball", "guidance_scale": 7, "guide_scale": 3, "id": 1}')
    said = "guidance_scale (here it is 'cfg'), guide_scale (did you mean 'guided-share'?), id"
    assert items == [{"prompt": "a red ball"}] and told == [f"p.jsonl: what is no option is left alone: {said}"]


def test_a_wrong_cell_costs_its_row_alone(capsys):
    Path("p.csv").write_text("prompt,planner\na red ball,rules\na blue cube,roles\n")
    assert main(["plan", "--prompts", "p.csv"]) == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and "red ball" in out and "'a blue cube': p.csv, line 3: unknown planner 'roles'" in err


def test_lines_of_standard_input_are_those_of_a_file(capsys, monkeypatch):
    prompts = ["a red ball", "a blue cube", 'a "green" ball', '"Stop" says a red cube', "a red ball"]
    written = ["a red ball", '"a blue cube"', json.dumps(prompts[2]), prompts[3], '{"prompt": "a red ball", "tag": 1}']
    lines = "".join(f"{line}\n" for line in written)
    assert [item["prompt"] for item in read("p.txt", lines)[0]] == prompts
    for argv in (["plan"], ["plan", "-"], ["plan", "--prompts", "-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines * 2))
        main(argv)
        out, err = capsys.readouterr()
        assert [json.loads(line)["prompt"] for line in out.splitlines()] == prompts * 2
        assert err.count("line 5: what is no option is left alone: tag") == 1 == err.count("left alone")


def test_a_table_s_cells_are_read_as_on_the_command_line():
    text = "prompt,steps,blocks,memory,lr,seeds,size,negative_prompt,out\na red ball,4,1-3,no,1e-3,1-2,64x48,12,7.mp4\n"
    (item,) = read("p.csv", text)[0]
    assert item == {
        "prompt": "a red ball", "steps": 4, "blocks": (1, 2, 3), "memory": False, "lr": 1e-3, "seeds": (1, 2),
        "size": "64x48", "negative-prompt": "12", "out": "7.mp4",
    }  # fmt: skip


def test_layouts_are_prompts_with_their_boxes(capsys):
    assert read("l.json", json.dumps(LAYOUT))[0] == [{"prompt": "a red ball", "layout": LAYOUT}]
    assert main(["plan", "a red ball rolls right", "--json"]) == 0
    Path("plans.jsonl").write_text(capsys.readouterr().out * 2)
    assert main(["plan", "--prompts", "plans.jsonl"]) == 0
    assert capsys.readouterr().out == Path("plans.jsonl").read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", b"\x89PNG\r\n\x1a\n", "it is a picture, not text"),
        ("p.txt", b"PK\x03\x04abc", "it is an archive or office document, not text"),
        ("p.yaml", b"%PDF-1.7", "it is a PDF, not text"),
        ("p.txt", b"abc\0def", "it is binary, not text"),
        ("p.txt", "caf\u00e9".encode("latin-1"), "it is not UTF-8 text"),
        ("p.txt", "\n <!DOCTYPE html><html>", "it is a web page or other XML"),
        ("p.csv", '<?xml version="1.0"?>', "it is a web page or other XML"),
        ("p.txt", "", "p.txt has no prompt"),
        ("p.txt", "# none yet\n  # nor here\n", "p.txt has no prompt"),
        ("p.yaml", "- prompt: a\n  seed: 1\n  seed: 2\n", "p.yaml, line 1, column 3: has 'seed' twice"),
        ("p.json", '[{"prompt": "a", "seed": 1, "seed": 2}]', "p.json has 'seed' twice in one mapping"),
        ("p.yaml", "- {prompt: a, guided-steps: 1, guided_steps: 1}", "p.yaml, prompt 1 has 'guided-steps' twice"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b", "prompt": "c"}', "p.jsonl, line 2 has 'prompt' twice"),
        ("p.py", "import os\n", "p.py is no file of prompts by its name"),
        ("p.json", '[{"prompt": "a"', "p.json, line 1, column 16: it is not JSON"),
        ("p.json", "a red ball", "p.json, line 1, column 1: it is not JSON"),
        ("p.json", '[{"prompt": "a"},\n]', "p.json, line 2, column 1: it is not JSON"),
        ("p.json", "{}", "p.json must hold a list of prompts"),
        ("p.json", "[]", "p.json must hold a list of prompts"),
        ("p.json", '[{"caption": "a"}]', "p.json, prompt 1 has no prompt"),
        ("p.json", "[[1]]", "p.json, prompt 1: [1] is no prompt"),
        ("p.json", '[{"prompt": "a", "sede": 1, "guided-step": 2}]', "p.json, prompt 1: unknown option 'guided-step'"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": ', "p.jsonl, line 2: it is not JSON"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": 5}', "p.jsonl, line 2 has no prompt"),
        ("p.yaml", "- prompt: a\n  tag: 1\n", "p.yaml, prompt 1: unknown option 'tag'"),
        ("p.csv", "text,seed\na,1\n", "p.csv: its first row has no 'prompt'"),
        ("p.csv", "prompt,prompt\na,b\n", "p.csv: its first row has 'prompt' twice"),
        ("p.csv", "prompt,seed\na red ball, slowly,1\n", "p.csv, line 2: it has not 2 cells"),
        ("p.csv", 'prompt\n"a red ball\n', "p.csv, line"),
        ("p.json", "[" * 100_000, "p.json is nested too deeply"),
    ],
)
def test_what_is_no_list_of_prompts_is_said_in_a_line(capsys, name, content, said):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["plan", "--prompts", name]) == 1
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.startswith("error: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_video_is_no_list_of_prompts(kind):
    path = write_video(Path(f"v{kind}"), np.zeros((2, 16, 16, 3), np.uint8), fps=8)
    renamed = path.rename("p.txt")
    with pytest.raises(TTOMError, match=r"cannot read p.txt: it is a (video|GIF), not text"):
        read_prompts(renamed)


def test_every_line_of_a_jsonl_is_json(capsys):
    Path("p.jsonl").write_text('{"prompt": "a red ball rolls right"}\n{bad\n"a blue cube rises"\n')
    assert main(["plan", "--prompts", "p.jsonl", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: p.jsonl, line 2: it is not JSON") and err.count("\n") == 1
    Path("p.jsonl").write_text('"a blue cube rises"\n')
    assert main(["plan", "--prompts", "p.jsonl", "--json"]) == 0 and "blue cube" in capsys.readouterr().out


def test_values_grown_by_references_are_said_in_a_line():
    grown = ["x"]
    for _ in range(12):
        grown = [grown] * 10
    for name in ("seed", "blocks", "out", "size"):
        with pytest.raises(TTOMError, match=f"^{name} must be .{{1,200}}$"):
            OPTIONS[name].read(grown)


def test_sizes_are_bounded(monkeypatch):
    from ttom_cli import prompt_files

    with pytest.raises(TTOMError, match="it is binary"):
        read_prompts(Path("/dev/zero"))
    with pytest.raises(TTOMError, match="it has more than 32 MiB"):
        read("p.txt", b"a" * (2**25 + 1))
    monkeypatch.setattr(prompt_files, "MOST", 2)
    with pytest.raises(TTOMError, match=r"p\.txt has more than 2 prompts"):
        read("p.txt", "a\nb\nc\n")


def test_a_stream_may_have_options_and_a_wrong_line_costs_no_other(capsys, monkeypatch):
    lines = 'a red ball rolls right\n{"prompt": "a blue cube", "planner": "rules"}\n{"prompt": 3}\n{"a": \na dog\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert main(["plan", "--prompts", "-", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == [
        "a red ball rolls right",
        "a blue cube",
        "a dog",
    ]
    assert err.splitlines()[0].startswith("error: line 3 has no prompt")
    assert err.splitlines()[1].startswith("error: line 4: it is not JSON")


@pytest.mark.parametrize(
    "text",
    [
        "# by hand\n\nprompt,seed,notes\na red ball,,\n\"a blue cube, slowly\",3,hi\n",
        "- prompt: a red ball\n- {prompt: 'a blue cube, slowly', seed: 3}\n",
        "prompts:\n- a red ball\n- prompt: a blue cube, slowly\n  seed: 3\n",
        json.dumps(TWO), json.dumps(TWO, indent=2), "\n".join(map(json.dumps, TWO)),
    ],
)  # fmt: skip
def test_lists_and_tables_on_standard_input(capsys, monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert [dict(item) for item in read_source("-", None, None).items] == TWO
    assert ("notes" in text) == ("what is no option is left alone: notes" in capsys.readouterr().err)


def test_what_is_not_utf_8_is_refused_wherever_it_comes_from(capsys, monkeypatch):
    """Python lets such bytes through on the command line, and on standard input in some locales."""
    lost = b"a gr\xfcn ball".decode(errors="surrogateescape")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{lost}\na red ball\n"))
    assert main(["plan", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["prompt"] == "a red ball" and err.startswith("error: line 1 is not UTF-8 text")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"- a red ball\n- {lost}\n"))
    with pytest.raises(TTOMError, match="standard input is not UTF-8 text"):
        read_source("-", None, None)
    for args, name in (([lost], "the prompt"), (["a red ball", "-o", f"{lost}.mp4"], "out")):
        assert main(["generate", *args, "--guide", "off"]) > 0
        assert capsys.readouterr().err.startswith(f"error: {name} is not UTF-8 text")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0 ftypisom\0\0\2\0\nmdat \xff\n; \n", "a video"),
        (b"PK\3\4\x14\0\nword/document.xml\n", "an archive or office document"),
        (b"\n<!DOCTYPE html>\n<p>a red ball</p>\n", "a web page or other XML"),
        (b"\x7fELF\2\1\1\0\na red ball\n", "binary"),
    ],
)
def test_what_is_no_text_is_refused_in_a_line_on_standard_input_too(capsys, monkeypatch, content, kind):
    monkeypatch.setattr("sys.stdin", io.StringIO(content.decode(errors="surrogateescape")))
    assert main(["plan"]) == 1
    assert capsys.readouterr() == ("", f"error: standard input is {kind}, not text\n")


def test_a_prompt_in_brackets_is_no_list(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("[Shot 1] a red ball rolls right\n- a blue cube\n"))
    found = [item["prompt"] for item in read_source("-", None, None).items]
    assert found == ["[Shot 1] a red ball rolls right", "- a blue cube"]


def test_the_longest_prompt_is_a_layout_and_a_recipe(capsys):
    """All that is made of a prompt that is taken is taken again."""
    for filler in ("in the morning light, ", "&amp; fog ", "a ﷺ sky ", "\t, "):
        for end in (0, 1, 2):
            prompt = ("a red ball rolls right " + filler * 999)[: LONGEST + end]
            if main(["plan", prompt, "--json"]):
                said = capsys.readouterr().err
                assert end or filler.startswith("a"), said
                assert f"say it in {LONGEST} at most" in said
                continue
            made = json.loads(capsys.readouterr().out)
            assert layout_from_json(made).to_json() == made
            assert not list(schema_faults({"prompt": made["prompt"], "layout": made}, recipe_schema()))


def test_a_prompt_of_many_words(capsys):
    assert main(["plan", "a red ball " * 2000]) == 1
    assert capsys.readouterr().err == "error: the prompt has 22000 characters (say it in 4000 at most)\n"
