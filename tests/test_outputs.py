"""Where videos go, how many there are, and what is there already: nothing is written over, nothing made twice."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ttom_cli.catalog import CARDS
from ttom_cli.cli import main
from ttom_cli.config import MemoryConfig
from ttom_cli.errors import TTOMError
from ttom_cli.files import put_text
from ttom_cli.jobs import Job
from ttom_cli.layout import Layout
from ttom_cli.outputs import read_pattern
from ttom_cli.settings import OPTIONS, Layer, seeds_of
from ttom_cli.video import read_recipe

# Seeds are drawn in some of these tests: of the smallest frames, 16x16, two in a hundred come out flat and are refused.
QUICK = ["--guide", "off", "--steps", "1", "--no-memory", "--no-check", "--size", "32x32", "--frames", "1"]
QUICK += ["--enlarge", "1"]


def run(capsys, *argv):
    """(exit code, lines of stdout, stderr) of `ttom generate`."""
    code = main(["generate", *map(str, argv)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def path_of(out, within=None, **more):
    return str(read_pattern(out, within).path(**({"prompt": "A red/ball!", "seed": 7, "model": "a/b 1.3"} | more)))


# ---------------------------------------------------------------- names


def test_names_of_folders_files_and_patterns(tmp_path):
    assert path_of("v") == path_of("v/") == "v/a-red-ball-seed7.mp4" and path_of("v.1/") == "v.1/a-red-ball-seed7.mp4"
    Path("v.2").mkdir()
    assert path_of("v.2") == "v.2/a-red-ball-seed7.mp4" and path_of("/") == "/a-red-ball-seed7.mp4"
    assert (
        path_of("a.GIF") == "a.GIF" and path_of("a{{b}}.mov") == "a{b}.mov" and path_of("a{{b}}/") == path_of("a{{b}}")
    )
    assert path_of("{model}/{number:03}-{take}.webm", number=5) == "b-1.3/005-0.webm"
    assert path_of("{prompt}-{take}.mp4") == "A red-ball!-0.mp4"
    assert path_of("{prompt}.mkv", prompt="../..") == "video.mkv" and path_of("{model}.mkv", model="..") == "model.mkv"
    assert len(path_of("{prompt}.mp4", prompt="球" * 500).encode()) < 230
    assert read_pattern("a/b{{/{model}/{slug}.mp4").root == Path("a/b{") and read_pattern("{slug}.mp4").root == Path(
        "."
    )
    assert read_pattern("a.mp4").fixed and not read_pattern("a").fixed


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("a.avi2", "is neither a folder nor a video: those are written as .mp4, .mov, .mkv, .webm, .gif"),
        (".mp4", "names neither a file nor a folder"),
        ("-", "names neither a file nor a folder"),
        ("{slug}-{sed}.mp4", "has the field 'sed'"),
        ("{slug.__class__}.mp4", "has the field 'slug.__class__'"),
        ("{}.mp4", "has the field ''"),
        ("{slug", "a brace is open or empty"),
        ("a}.mp4", "a brace is open or empty"),
        ("{seed:9999999}.mp4", "{seed} is written otherwise"),
        ("{slug!r}.mp4", "{slug} is written otherwise"),
        ("{seed:{take}}.mp4", "{seed} is written otherwise"),
        ("x" * 300 + ".mp4", "makes a name of 304 bytes"),
    ],
)
def test_outputs_that_cannot_be(capsys, out, said):
    code, lines, err = run(capsys, "a red ball", *QUICK, "-o", out)
    assert code == 1 and lines == [] and said in err and err.startswith("error: ") and err.count("\n") == 1, err


@pytest.mark.parametrize("out", ["../a.mp4", "a/../../b.mp4", "/a.mp4", "..", "/"])
def test_a_prompt_s_own_file_stays_in_the_folder(out):
    with pytest.raises(TTOMError, match="leads out of the folder v"):
        read_pattern(out, Path("v"))
    assert path_of("one.mp4", Path("v{")) == "v{/one.mp4"


def test_seeds_of_the_nearest_word():
    assert seeds_of({"seeds": "1-3,7"}) == ([1, 2, 3, 7], False)
    assert seeds_of({"seed": 5}, {"num-videos": 2}) == ([5, 6], False)
    assert seeds_of({"seeds": [1, "4-5"]}, {}, {"seed": -1}) == ([-1], False)
    assert seeds_of({"seed": 5}, {"num_videos": 2}, {"seeds": "-2--1"}) == ([-2, -1], False)
    drawn, is_drawn = seeds_of({"num-videos": 3})
    assert is_drawn and drawn == list(range(drawn[0], drawn[0] + 3))
    with pytest.raises(TTOMError, match=r"^p\.csv, line 2: there are both seeds and num-videos"):
        seeds_of(Layer({"seeds": "1-2", "num-videos": 2}, "p.csv, line 2"))


# ---------------------------------------------------------------- nothing is written over

PUT = """
import sys
from pathlib import Path
from ttom_cli.files import put_text
for n in range(20):
    put_text(Path("v.mp4"), f"{sys.argv[1]}-{n}")
"""


def test_processes_that_write_one_name_lose_nothing():
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", PUT, str(i)], env=env) for i in range(3)]
    assert [p.wait() for p in running] == [0, 0, 0]
    found = {p.read_text() for p in Path().glob("v*.mp4")}
    assert found == {f"{i}-{n}" for i in range(3) for n in range(20)}
    assert {p.name for p in Path().glob("v*.mp4")} == {"v.mp4"} | {f"v-{n}.mp4" for n in range(2, 61)}


def test_a_file_system_without_hard_links(monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    for n, name in enumerate(("v.mp4", "v-2.mp4")):
        assert put_text(Path("v.mp4"), str(n)) == Path(name) and Path(name).read_text() == str(n)
    assert put_text(Path("v.mp4"), "over", overwrite=True).read_text() == "over"


def test_links_and_pipes_stay_what_they_are():
    Path("far").mkdir()
    Path("far/v.mp4").write_text("old")
    Path("v.mp4").symlink_to("far/v.mp4")
    put_text(Path("v.mp4"), "new", overwrite=True)
    assert Path("v.mp4").is_symlink() and Path("far/v.mp4").read_text() == "new"
    assert put_text(Path("v.mp4"), "more") == Path("v-2.mp4") and Path("far/v.mp4").read_text() == "new"
    os.mkfifo("pipe.mp4")
    with subprocess.Popen(["cat", "pipe.mp4"], stdout=subprocess.PIPE, text=True) as reader:
        put_text(Path("pipe.mp4"), "through", overwrite=True)
        assert reader.stdout.read() == "through" and Path("pipe.mp4").is_fifo()


FULL = """
import resource, signal, sys
from ttom_cli.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "argv", [["--out", "f/a.json"], ["--out", "other.json", "--preview", "f/a.gif"], ["--show-template", "--out", "f"]]
)
def test_a_place_that_gets_full_keeps_what_was_there(argv):
    """As on a full disk, a write ends in the middle."""
    Path("f").mkdir()
    names = "a.json", "a.gif", "system.md"
    for name in names:
        Path("f", name).write_text("mine")
    there = sorted(Path("f").iterdir())
    prompt = [] if "--show-template" in argv else ["two red balls, a green cube and a blue cross move right"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL, "plan", *prompt, *argv, "--overwrite"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr and done.stderr.count("error:") == 1, done
    assert sorted(Path("f").iterdir()) == there and all(Path("f", name).read_text() == "mine" for name in names)


def test_a_file_that_is_there_is_refused_before_anything_is_loaded(capsys, monkeypatch):
    from ttom_cli.runtime import Runtime

    monkeypatch.setattr(Runtime, "open", lambda *_, **__: pytest.fail("the model was loaded"))
    Path("v").mkdir()
    Path("v/a.mp4").write_text("mine")
    Path("p.yaml").write_text("- {prompt: a red ball, out: a.mp4}\n- {prompt: a blue cube, out: ../b.mp4}\n")
    for argv, said in (
        (["a red ball", "-o", "v/a.mp4"], "error: v/a.mp4 is there already (--overwrite writes over it)"),
        (
            ["--prompts", "p.yaml", "-o", "v"],
            "error: 'a red ball': p.yaml, prompt 1: v/a.mp4 is there already (--overwrite writes over it)\n"
            "error: 'a blue cube': p.yaml, prompt 2: out '../b.mp4' of a prompt leads out of the folder v (",
        ),
        (["a red ball", "-o", "b.mp4", "--seeds", "1-2"], "error: out 'b.mp4' is one file, and there are 2 videos"),
        (["--prompts", "p.yaml", "-o", "b.mp4"], "error: --out b.mp4 is one file, and there may be several prompts"),
    ):
        code, lines, err = run(capsys, *argv, *QUICK)
        assert code == 1 and lines == [] and err.startswith(said), err
    assert Path("v/a.mp4").read_text() == "mine" and os.listdir("v") == ["a.mp4"]


def test_a_prompt_s_names_are_numbered_and_overwriting_is_asked_for(capsys):
    """Each kind of file, several seeds, a name twice in a run, and what --overwrite does to it."""
    assert run(capsys, "a red ball", *QUICK, "--seeds", "3,5", "-o", "v/{slug}-{seed}.webm")[1] == [
        "v/a-red-ball-3.webm", "v/a-red-ball-5.webm",
    ]  # fmt: skip
    Path("p.txt").write_text("a red ball\na red ball\n")
    made = ["v/a-red-ball-3-2.webm", "v/a-red-ball-3-3.webm"]
    argv = ["--prompts", "p.txt", *QUICK, "--seed", "3", "-o", "v/{slug}-{seed}.webm"]
    assert run(capsys, *argv)[1] == made
    before = {path: Path(path).stat().st_ino for path in ["v/a-red-ball-3.webm", *made]}
    for _ in range(2):  # as often as one likes, the same files
        code, lines, _ = run(capsys, *argv, "--overwrite")
        assert code == 0 and lines == ["v/a-red-ball-3.webm", "v/a-red-ball-3-2.webm"]
    now = {path: Path(path).stat().st_ino for path in before}
    assert [path for path in before if before[path] == now[path]] == ["v/a-red-ball-3-3.webm"]
    several = [
        "a red ball",
        *(part for part in QUICK if part != "--no-check"),
        "--seeds",
        "1-2",
        "--tries",
        "2",
        "-o",
        "w/{slug}.webm",
        "--overwrite",
    ]
    assert run(capsys, *several)[1] == ["w/a-red-ball.webm", "w/a-red-ball-2.webm"]
    assert len(os.listdir("w")) == 2
    assert sorted(p.name for p in Path("v").iterdir() if p.suffix != ".webm") == []


def test_a_gif_is_made_again_from_its_recipe(capsys):
    assert run(capsys, "a red ball", *QUICK, "--seed", "3", "-o", "a.gif", "--frames", "5")[1] == ["a.gif"]
    assert Path("a.gif").read_bytes().startswith(b"GIF89a")
    code, lines, err = run(capsys, "--replay", "a.gif", "-o", "b.mkv")
    assert code == 0 and lines == ["b.mkv"] and "the frames are the same" in err
    code, lines, err = run(capsys, "--replay", "a.gif", "-o", "b.mkv")
    assert code == 1 and lines == [] and err == "error: b.mkv is there already (--overwrite writes over it)\n"


def test_a_refined_entry_s_video_is_written_over_nothing(capsys, toy_folder):
    from ttom_cli.commands.inputs import open_bank

    sampling = ["--model", toy_folder, "--size", "64x64", "--frames", "5", "--steps", "2", "--blocks", "1"]
    guide = ["--guided-steps", "1", "--iterations", "1", "--rank", "2", "--consolidate", "0"]
    assert run(capsys, "a red ball rolls right", *sampling, *guide, "-o", "a.mp4")[0] == 0
    bank = open_bank(Path(os.environ["TTOM_BANK"]))
    (entry,) = bank.entries()
    for out, said in (
        ("a.mp4", "a.mp4 is there already (--overwrite writes over it)"),
        ("new", "--out new is no file"),
    ):
        assert main(["memory", "update", entry.id, "--optimise", "--out", out]) == 1
        assert said in capsys.readouterr().err
    assert bank.entries() == [entry] and not Path("new").exists()
    before = Path("a.mp4").read_bytes()
    main(["memory", "update", entry.id, "--optimise", "--out", "a.mp4", "--overwrite"])
    assert Path("a.mp4").read_bytes() != before and not list(Path().glob("a-*.mp4"))


def test_what_does_not_pass_is_not_left_out_as_if_it_did(capsys):
    """Where it must: the same command run again says the same."""
    argv = ["a red ball rolls right", *QUICK, "--check", "--strict", "--seed", "1"]
    argv.remove("--no-check") if "--no-check" in argv else None
    code, (path, *_), err = run(capsys, *argv)
    assert code == 1 and "does not pass" in err
    code, lines, err = run(capsys, *argv, "--resume", "--json")
    (line,) = map(json.loads, lines)
    assert code == 1 and f"{path} is there, and does not pass" in err
    assert line["left_out"] and line["path"] == path and line["error"] == f"{path} is there, and does not pass"
    assert run(capsys, *argv[:-3], "--seed", "1", "--resume")[0] == 0  # without --strict


def test_a_link_that_leads_nowhere_is_there(capsys):
    Path("d.mp4").symlink_to("nowhere/d.mp4")
    code, lines, err = run(capsys, "a red ball", *QUICK, "-o", "d.mp4")
    assert code == 1 and lines == [] and "d.mp4 is there already" in err


def test_seeds_stay_within_their_bits(capsys):
    code, lines, err = run(capsys, "a red ball", *QUICK, "--seed", str(2**63 - 2), "--num-videos", "3")
    assert code == 1 and lines == [] and "lead beyond 64 bits" in err
    layout = Layout(prompt="a red ball", objects=())
    settings = dict(sample=CARDS["shapes"].sample, guide=CARDS["shapes"].guide, memory=MemoryConfig(enabled=False))
    assert Job(layout=layout, seed=2**63 - 1, path=Path("a.mp4"), **settings).again(1).seed == -(2**63)


def test_one_plan_and_one_word_on_it_for_all_seeds(capsys):
    code, lines, err = run(capsys, "a red ball and a cat", *QUICK, "--anyway", "--seed", "1", "--num-videos", "2")
    assert code == 0 and len(lines) == 2 and err.count("it does not know 'cat'") == 1


# ---------------------------------------------------------------- what is there already


def test_a_run_that_was_killed_is_resumed(capsys):
    """The path is printed before the memory is seen to; what was cut off is not taken for done."""
    Path("p.txt").write_text("a red ball rolls right\na blue cube rises\na red ball rolls right\n")
    sampling = ["--size", "16x16", "--frames", "1", "--steps", "1", "--guided-steps", "1", "--iterations", "1"]
    argv = ["--prompts", "p.txt", *sampling, "--enlarge", "1", "--no-check", "--seed", "4"]
    command = [sys.executable, "-m", "ttom_cli", "generate", *argv, "--consolidate", "100000"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        first = Path(process.stdout.readline().strip())
        assert first.name == "a-red-ball-rolls-right-seed4.mp4" and read_recipe(first, whole=True)["seed"] == 4
        assert process.poll() is None  # it consolidates
        process.send_signal(signal.SIGKILL)
    cut = Path("videos/a-blue-cube-rises-seed4.mp4")
    Path("videos/.ttom-killed").mkdir()
    whole = first.read_bytes()
    cut.write_bytes(whole[: len(whole) - 40])
    assert read_recipe(cut)["seed"] == 4
    code, lines, err = run(capsys, *argv, "--consolidate", "0", "--resume")
    assert code == 0 and err.startswith(f"note: {first} is there, and is left out: a red ball rolls right\n")
    assert lines == ["videos/a-blue-cube-rises-seed4-2.mp4", "videos/a-red-ball-rolls-right-seed4-2.mp4"]
    assert first.read_bytes() == whole
    code, lines, err = run(capsys, *argv, "--consolidate", "0", "--resume")
    assert code == 0 and lines == [] and err.count(" is left out") == 3
    code, lines, _ = run(capsys, *argv, "--consolidate", "0", "--resume", "--fps", "9")
    assert code == 0 and len(lines) == 3  # other settings
    second = Path("videos/a-red-ball-rolls-right-seed4-2.mp4")
    Path(first).write_bytes(whole[: len(whole) - 40])
    second.unlink()
    code, lines, err = run(capsys, *argv, "--consolidate", "0", "--resume")
    assert code == 0 and lines == [str(first), str(second)]  # the start of it makes room for the whole
    assert read_recipe(first, whole=True)["seed"] == 4


def test_drawn_seeds_and_named_files_are_resumed(capsys):
    Path("p.yaml").write_text("- prompt: a red ball\n  num-videos: 2\n- {prompt: a blue cube, out: b.mp4, seed: 3}\n")
    argv = ["--prompts", "p.yaml", *QUICK]
    code, made, _ = run(capsys, *argv)
    assert code == 0 and len(made) == 3
    Path(made[1]).rename("videos/renamed.mp4")
    Path(made[0]).unlink()
    code, lines, err = run(capsys, *argv, "--resume")
    assert (
        code == 0 and len(lines) == 1 and "note: videos/renamed.mp4 is there" in err and "videos/b.mp4 is there" in err
    )
    assert re.fullmatch(r"videos/a-red-ball-seed\d+\.mp4", lines[0])
    left_out = map(json.loads, run(capsys, *argv, "--resume", "--json")[1])
    assert all(read_recipe(Path(line["path"]))["seed"] == line["seed"] for line in left_out)
    one = "- {prompt: a blue cube, out: b.mp4, seed: 3}\n"
    Path("p.yaml").write_text(one + one.replace("3", "4"))
    code, lines, err = run(capsys, *argv, "--resume", "--json")
    assert code == 1 and "videos/b.mp4 is the file of prompt 1 already" in err and json.loads(lines[-1])["seed"] == 4
    Path("p.yaml").write_text("- {prompt: a blue cube, out: b.mp4, seed: 4}\n")
    code, lines, err = run(capsys, *argv, "--resume")
    assert code == 1 and "videos/b.mp4 is there already" in err


def test_a_layout_on_standard_input_is_part_of_what_was_asked_for(capsys, monkeypatch):
    def given(text: str, *argv: str):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return run(capsys, *argv, "--layout", "-", *QUICK, "--seed", "3", "--resume")

    layout = {
        "prompt": "a red ball",
        "objects": [{"id": "a", "phrase": "red ball", "boxes": [{"t": 0, "box": [0.1, 0.1, 0.5, 0.5]}]}],
    }
    first = json.dumps(layout)
    assert given(first)[:2] == (0, ["videos/a-red-ball-seed3.mp4"])
    assert read_recipe(Path("videos/a-red-ball-seed3.mp4"))["layout"]["objects"][0]["phrase"] == "red ball"
    code, lines, err = given(first)
    assert code == 0 and not lines and "is left out" in err
    assert given(first.replace("0.1", "0.3"))[1] == ["videos/a-red-ball-seed3-2.mp4"], "it is another"
    for text, fault in (("[1]", "- holds no layout"), ("", "- holds no layout"), ("{", "- is neither JSON nor YAML")):
        code, lines, err = given(text)
        assert code == 1 and not lines and fault in err


def test_a_comparison_that_is_not_there_is_missed(capsys):
    argv = ["a red ball", *QUICK, "--seed", "3", "--resume"]
    assert run(capsys, *argv, "--compare")[0] == 0
    assert "is not there" not in run(capsys, *argv, "--compare")[2]
    Path("videos/a-red-ball-seed3.compare.mp4").unlink()
    code, _, err = run(capsys, *argv, "--compare")
    assert code == 0 and "note: videos/a-red-ball-seed3.compare.mp4 is not there; --overwrite" in err
    assert "is not there" not in run(capsys, *argv)[2]


# ---------------------------------------------------------------- batches


def test_each_video_has_a_line_of_json(capsys, monkeypatch):
    """Those that fail, those that are there already, and those that do not pass, too."""
    Path("p.jsonl").write_text(
        '{"prompt": "a red ball"}\n{"prompt": "a blue cube", "steps": "many"}\n'
        '{"prompt": "a green cube", "layout": "nowhere.json"}\n'
    )
    argv = ["--prompts", "p.jsonl", *QUICK, "--seed", "3", "--json"]
    code, lines, _ = run(capsys, *argv)
    made = {(line := json.loads(text))["prompt"]: line for text in lines}
    assert code == 1 and made.keys() == {"a red ball", "a blue cube", "a green cube"}
    assert made["a red ball"]["path"] == "videos/a-red-ball-seed3.mp4" and made["a red ball"]["error"] is None
    assert made["a blue cube"]["path"] is None and "steps must be a whole number" in made["a blue cube"]["error"]
    assert made["a green cube"]["seed"] == 3 and "cannot read nowhere.json" in made["a green cube"]["error"]
    code, lines, _ = run(capsys, *argv, "--resume")
    there = json.loads(next(line for line in lines if "left_out" in line))
    same = {"path": made["a red ball"]["path"], "prompt": "a red ball", "seed": 3, "error": None}
    assert there == same | {"left_out": True}
    looked_at = ["--size", "64x64", "--steps", "1", "--guide", "off", "--strict", "--tries", "2", "--json"]
    code, lines, err = run(capsys, "a red ball rolls right, a blue cube rises and a green triangle falls", *looked_at)
    (line,) = map(json.loads, lines)
    assert code == 1 and line["error"].startswith("the video does not pass: ") and Path(line["path"]).is_file()
    assert "(more --tries, or another --seed)" in err
    monkeypatch.setattr("sys.stdin", io.StringIO('{"prompt": 5}\n'))
    code, lines, _ = run(capsys, "--json")
    assert code == 1 and json.loads(lines[0])["error"].startswith("line 1 has no prompt")


def test_a_run_s_own_model_is_loaded_only_if_it_is_wanted(capsys, toy_folder, monkeypatch):
    from ttom_cli.runtime import Runtime

    loaded, load = [], Runtime.open.__func__
    monkeypatch.setattr(Runtime, "open", classmethod(lambda cls, m, **kw: loaded.append(m) or load(cls, m, **kw)))
    Path("p.jsonl").write_text(f'{{"prompt": "a red ball", "model": "{toy_folder}"}}\n' * 2)
    assert run(capsys, "--prompts", "p.jsonl", *QUICK)[0] == 0
    assert loaded == [str(toy_folder)]


def test_a_model_that_cannot_be_loaded_is_tried_once(capsys, tmp_path, toy_folder):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(toy_folder, broken)
    (broken / "transformer" / "config.json").write_text("{")
    items = [{"prompt": "a red ball", "model": str(broken)}] * 2 + [{"prompt": "a red ball", "model": str(toy_folder)}]
    Path("p.json").write_text(json.dumps(items))
    code, lines, err = run(capsys, "--prompts", "p.json", *QUICK)
    assert code == 1 and len(lines) == 1 and err.count(f"error: 'a red ball': {broken}") == 2


def test_a_bank_in_a_file_goes_before_the_variable(capsys, monkeypatch):
    from ttom_cli.config import RunConfig
    from ttom_cli.settings import given_fields, resolve_slice

    monkeypatch.setenv("TTOM_BANK", "variable")
    assert resolve_slice(RunConfig).bank == Path("variable")
    assert resolve_slice(RunConfig, {"bank": "config"}).bank == Path("config")
    assert resolve_slice(RunConfig, {"bank": "config"}, {"bank": "flag"}).bank == Path("flag")
    monkeypatch.setenv("TTOM_LLM_MODEL", "x" * 5000)
    with pytest.raises(TTOMError, match=r"^\$TTOM_LLM_MODEL: llm-model has 5,000 characters"):
        given_fields()
    assert main(["generate", "--help"]) == 0
    assert "[env var: TTOM_BANK]" in " ".join(capsys.readouterr().out.replace("│", " ").split())


PRINTS = """
from ttom_cli import console
with console.progress() as live, console.report(live, "a red ball"):
    print("a.mp4", flush=True)
"""


def test_paths_go_to_a_pipe_where_the_talk_goes_to_a_terminal():
    import pty

    main_end, terminal = pty.openpty()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", PRINTS], env=env, stdout=subprocess.PIPE, stderr=terminal)
    talk = os.read(main_end, 65536)
    os.close(terminal)
    os.close(main_end)
    assert done.stdout == b"a.mp4\n" and b"a red ball" in talk and b"a.mp4" not in talk


def test_layouts_and_previews_are_not_written_over_either(capsys):
    argv = ["plan", "a red ball rolls right"]
    assert main([*argv, "--out", "a.json", "--preview", "a.png"]) == 0
    first = Path("a.json").read_bytes(), Path("a.png").read_bytes()
    for more in (["--out", "a.json"], ["--preview", "a.png"]):
        capsys.readouterr()
        assert main(["plan", "a blue cube rises", *more]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err == f"error: {more[1]} is there already (--overwrite writes over it)\n"
    assert (Path("a.json").read_bytes(), Path("a.png").read_bytes()) == first
    assert main(["plan", "a blue cube rises", "--out", "a.json", "--overwrite"]) == 0
    assert Path("a.json").read_bytes() != first[0]
    capsys.readouterr()
    for name in ("a-red-ball-rolls-right.json", "a-red-ball-rolls-right-2.json"):
        assert main([*argv, "--out", "layouts"]) == 0
        assert capsys.readouterr().out == f"{Path('layouts', name)}\n"


def test_a_home_is_found_where_no_shell_has_done_so(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_pattern("~/v/{seed}.mp4").path(prompt="a", seed=3) == tmp_path / "v" / "3.mp4"
    assert OPTIONS["bank"].read("~/bank") == tmp_path / "bank"


def test_the_tries_of_one_seed_are_not_another_s(capsys):
    prompt = "a red ball rolls right and a blue cube rises and a green cross falls"
    code, lines, err = run(
        capsys, prompt, "--guide", "off", "--steps", "2", "--tries", "2", "--seeds", "1-2", "--strict"
    )
    assert code == 1 and "trying seed 3" in err and "trying seed 4" in err
    seeds = [read_recipe(Path(line))["seed"] for line in lines]
    assert len(seeds) == 2 and len(set(seeds)) == 2
