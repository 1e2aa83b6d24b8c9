"""The command line as its users meet it: text in, text out, exit codes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ttom_cli.cli import main
from ttom_cli.layout import layout_from_json

TOY = ["--size", "64x64", "--frames", "13", "--steps", "3", "--blocks", "1", "--guided-steps", "1", "--iterations", "1"]


def run(capsys, *argv):
    """(exit code, stdout, stderr) of a command line."""
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err


def test_nothing_heavy_is_imported_to_answer_quickly():
    code = """
import sys
from ttom_cli.cli import main
for argv in (["--help"], ["memory", "ls"], ["plan", "a red ball rolls right"], ["plan", "--json", "a dog"]):
    assert main(argv) == 0, argv
heavy = {"torch", "diffusers", "transformers", "sentence_transformers", "numpy", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_video_takes_one_line_of_talk_and_one_of_data(tmp_path):
    """In a process of its own, where libraries are imported for the first time."""
    args = ["generate", "a red ball", "--guide", "off", "--steps", "1", "--seed", "3", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "ttom_cli", *args], capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}/a-red-ball-seed3.mp4\n"
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_installed_command():
    done = subprocess.run([sys.executable, "-m", "ttom_cli", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("ttom 0.")


# ---------------------------------------------------------------- plan


def test_plan_prints_the_layout(capsys):
    code, out, _ = run(capsys, "plan", "a red ball rolls right")
    assert code == 0
    assert layout_from_json(json.loads(out)).objects[0].direction == "right"


def test_plan_batches_print_one_line_each_in_order(capsys, tmp_path, monkeypatch):
    (tmp_path / "p.txt").write_text("# two\na red ball rolls right\n\na dog\n")
    code, out, _ = run(capsys, "plan", "--prompts", tmp_path / "p.txt")
    assert code == 0
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["a red ball rolls right", "a dog"]
    monkeypatch.setattr("sys.stdin", io.StringIO("a cat\na cow\n"))
    code, out, _ = run(capsys, "plan", "--json")
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["a cat", "a cow"]


def test_plan_goes_on_after_a_prompt_that_fails(capsys, tmp_path):
    (tmp_path / "p.txt").write_text("slowly\na dog\n")
    code, out, err = run(capsys, "plan", "--prompts", tmp_path / "p.txt")
    assert code == 1 and len(out.splitlines()) == 1
    assert "'slowly': the rules planner finds no object" in err


def test_plan_previews_and_schema(capsys, tmp_path):
    assert run(capsys, "plan", "a dog", "--preview", tmp_path / "a.png")[0] == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run(capsys, "plan", "--schema")[1])["title"] == "ttom layout"


def test_plan_writes_a_file_and_says_so_in_json_where_asked(capsys):
    assert run(capsys, "plan", "a dog", "--out", "dog.json")[:2] == (0, "dog.json\n")
    code, out, _ = run(capsys, "plan", "a dog", "--out", "two.json", "--json")
    told = json.loads(out)
    assert code == 0 and told["path"] == "two.json"
    assert told["layout"] == json.loads(Path("two.json").read_text())


def test_plan_checks_a_layout_by_hand(capsys, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("prompt: a dog\nobjects:\n  - phrase: cat\n    boxes: [{t: 0, box: [0, 0, 0.5, 0.5]}]\n")
    code, out, err = run(capsys, "plan", "--layout", path)
    assert code == 1 and out == "" and one_line(err)
    assert "object 'cat': the phrase does not stand in the prompt 'a dog'" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", ""], "the prompt is empty"),
        (["plan", "  "], "the prompt is empty"),
        (["plan", "--prompts", "none.txt"], "cannot read none.txt"),
        (["plan", "a dog", "--layout", "none.json"], "cannot read none.json"),
        (["generate", ""], "the prompt is empty"),
        (
            ["generate", "a red ball", "--model", "shape"],
            "unknown model 'shape' (did you mean 'shapes' or 'shapes-cog'?",
        ),
        (["generate", "a red ball", "--model", "."], "is no diffusers model folder: model_index.json is missing"),
        (["generate", "a red ball", "--size", "78x61", "--guide", "off"], "the nearest size that it can is 80x64"),
        (["generate", "a red ball", "--frames", "12"], "the nearest number that it can is 13"),
        (["generate", "a red ball", "--config", "none.yaml"], "cannot read none.yaml"),
        (["generate", "a red ball", "--tries", "2", "--no-check"], "--tries and --strict need the check"),
        (["generate", "a red ball", "--device", "cuda"], "the device cuda cannot be used with this PyTorch"),
        (["generate", "a red ball", "--device", "gpu"], "there is no device 'gpu'"),
        (["generate", "a brown dog runs to the right"], "it does not know 'dog' (use their words"),
        (["generate", "a pink ball"], "it draws nothing pink, only red"),
        (["generate", "a red ball enters from the left", "--frames", "1"], "no object is in the frame in any of the 1"),
        (["generate", "a dog", "--model", "wan2.1-1.3b", "--tries", "2"], "nothing at hand can look at the videos"),
        (["generate", "--replay", "none.mp4"], "there is no file none.mp4"),
        (["generate", "--replay", "none.mp4", "--steps", "3"], "--replay makes the video as it was made"),
        (["memory", "verify", "--bank", "none"], "there is no bank none"),
        (["memory", "ls", "--bank", __file__], "is no folder (see --bank)"),
        (["generate", "a red ball", "--prompts", "x.txt"], "there are both a prompt and --prompts"),
        (["memory", "rm"], "say which entries to remove"),
        (["memory", "rm", "abc", "-y"], "'abc' names no entry"),
        (["memory", "show", "abc"], "'abc' names no entry"),
        (["memory", "update", "abc"], "'abc' names no entry"),
    ],
)
def test_bad_input_is_one_clear_line(capsys, argv, message):
    code, out, err = run(capsys, *argv)
    assert code == 1 and out == ""
    assert one_line(err) and message in err, err


def test_control_characters_do_not_reach_the_terminal(capsys):
    _, _, err = run(capsys, "plan", "\x1b[31mslowly\x07")
    assert "\x1b" not in err and "\x07" not in err


def test_no_prompt_at_all(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, err = run(capsys, "generate")
    assert code == 1 and "standard input has no prompt" in err


# ---------------------------------------------------------------- generate and memory


def test_what_cannot_be_planned_is_made_without_guidance(capsys, toy_folder, tmp_path):
    args = ["--model", toy_folder, "--json", "--out", tmp_path / "a.mp4", "--overwrite", *TOY]
    code, out, err = run(capsys, "generate", "一只猫在公园里奔跑", *args)
    made = json.loads(out)
    assert code == 0 and made["loss_first"] is None and made["memory"] == {"outcome": "off"}
    assert "the video is made without guidance" in err and "--llm-model" in err
    code, out, err = run(capsys, "generate", "--replay", tmp_path / "a.mp4", "-y", "-o", tmp_path / "b.mp4")
    assert code == 0 and "the frames are the same" in err
    assert run(capsys, "generate", "一只猫", "--planner", "rules", *args)[0] == 1
    code, out, err = run(capsys, "generate", "一只猫", "--planner", "rules", "--guide", "off", *args)
    assert code == 0 and "guidance" not in err


def test_a_stream_of_prompts_shares_one_model_and_one_memory(capsys, toy_folder, monkeypatch, tmp_path):
    lines = "a red ball rolls right\nslowly\na red ball rolls right\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    code, out, err = run(capsys, "generate", "--model", toy_folder, "--json", "--planner-fallback", "error", *TOY)
    assert code == 1  # one failed, the others are done
    first, failed, second = (json.loads(line) for line in out.splitlines())
    assert failed["path"] is None and failed["prompt"] == "slowly" and failed["error"]
    assert (first["memory"]["outcome"], second["memory"]["outcome"]) == ("miss", "hit")
    assert first["path"] != second["path"]
    assert all((tmp_path / v["path"]).is_file() for v in (first, second))
    assert first["loss_first"] > 0 and second["loss_first"] is None
    assert {"path", "prompt", "seed", "memory", "loss_first", "loss_last", "seconds", "also"} < set(first)
    assert first["check"] is None and first["tries"] == 1 and first["error"] is None  # nothing looks at this model
    assert "'slowly': the rules planner finds no object" in err and "memory hit" in err

    listed = json.loads(run(capsys, "memory", "ls", "--json")[1])
    assert [e["uses"] for e in listed] == [1]
    table = run(capsys, "memory", "ls")[1]
    assert listed[0]["id"] in table and "a red ball" in table
    shown = json.loads(run(capsys, "memory", "show", listed[0]["id"][:5])[1])
    assert shown["layout"]["objects"][0]["phrase"] == "red ball"
    code, _, err = run(capsys, "memory", "update", shown["id"], "--scene", " ")
    assert code == 1 and "--scene is empty" in err
    assert run(capsys, "memory", "update", shown["id"], "--scene", "<object A> goes")[0] == 0
    assert json.loads(run(capsys, "memory", "show", shown["id"])[1])["scene"] == "<object A> goes"
    code, out, err = run(capsys, "memory", "rm", "--all", "--dry-run")
    assert code == 0 and out == "" and "would remove" in err
    assert run(capsys, "memory", "rm", shown["id"], "-y")[1].strip() == shown["id"]
    assert "is empty" in run(capsys, "memory", "ls")[2]


def test_options_come_from_files_and_flags_win(capsys, toy_folder, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "size: 64x64\nframes: 13\nsteps: 3\nguide: latents\nblocks: [1]\nguided-steps: 2\niterations: 1\n"
    )
    (tmp_path / "p.yaml").write_text(
        "- prompt: a red ball rolls right\n  seed: 5\n  out: one.mp4\n  guided_steps: 1\n- a dog\n"
    )
    flags = ["--config", "c.yaml", "--prompts", "p.yaml", "--out", "v", "--seed", "9", "--frames", "9"]
    code, out, err = run(capsys, "generate", "--model", toy_folder, *flags)
    assert code == 0, err
    one, dog = (tmp_path / p for p in out.splitlines())
    assert one == tmp_path / "v" / "one.mp4" and dog.name == "a-dog-seed9.mp4"
    from ttom_cli.video import read_frames, read_recipe

    recipe = read_recipe(one)
    assert (recipe["seed"], recipe["guide"]["mode"], recipe["guide"]["steps"]) == (5, "latents", 1)
    assert read_recipe(dog)["guide"]["steps"] == 2
    assert len(read_frames(one)) == 9
    code, out, err = run(capsys, "generate", "--replay", one, "--yes", "--out", "again.mp4")
    assert code == 0 and "the frames are the same" in err and out.strip() == "again.mp4"


def test_an_unknown_option_in_a_file(capsys, toy_folder, tmp_path):
    (tmp_path / "c.yaml").write_text("guided-step: 2\n")
    code, _, err = run(capsys, "generate", "a dog", "--config", "c.yaml")
    assert code == 1 and "unknown option 'guided-step' (did you mean 'guided-steps' or 'guided-share'?)" in err


def test_an_unwritable_output_and_a_damaged_bank_lose_nothing(capsys, toy_folder, tmp_path):
    (tmp_path / "file").write_text("keep")
    code, _, err = run(capsys, "generate", "a dog", "--model", toy_folder, "--out", "file", *TOY)
    assert code == 1 and one_line(err) and "cannot write" in err
    assert (tmp_path / "file").read_text() == "keep"
    (tmp_path / "bank").mkdir(exist_ok=True)
    (tmp_path / "bank" / "manifest.json").write_text("{")
    code, _, err = run(capsys, "generate", "a dog", "--model", toy_folder, *TOY)
    assert code == 1 and one_line(err) and "is damaged" in err
    assert (tmp_path / "bank" / "manifest.json").read_text() == "{"


# ---------------------------------------------------------------- what came out

SHORT = ["--steps", "8", "--guided-steps", "3", "--iterations", "1", "--consolidate", "1"]


def test_what_was_seen_is_said(capsys, tmp_path):
    """Eight steps are too few for three objects in one try, and enough for one."""
    code, out, err = run(capsys, "generate", "a red ball", "--seed", "1", "--json", "--guide", "off", *SHORT)
    data = json.loads(out)
    assert code == 0 and data["check"]["passed"] and err.startswith("✓ a red ball"), err
    assert "seed 1; score 1.00, IoU 0." in err
    prompt = "a red circle moves right, a blue square moves left and a green triangle rises"
    argv = ["generate", prompt, "--seed", "1", "--guide", "off", *SHORT, "--steps", "2"]
    code, out, err = run(capsys, *argv, "--json")
    data = json.loads(out)
    assert code == 0 and not data["check"]["passed"] and err.startswith(f"⚠ {prompt}: ")
    assert "red circle" in err and data["check"]["faults"][0] in err
    assert {"id", "phrase", "found", "frames", "of", "iou", "right_way"} <= set(data["check"]["objects"][0])
    code, out, err = run(capsys, *argv, "--strict", "--tries", "2")
    assert code == 1 and out.count("\n") == 1 and "best of 2 tries" in err and "error: the video does not pass: " in err


def test_unchecked_videos_get_no_tick(capsys):
    code, _, err = run(capsys, "generate", "a red ball", "--guide", "off", "--steps", "1", "--no-check")
    assert code == 0 and err.startswith("• a red ball (") and "not looked at" in err


def test_objects_that_the_model_does_not_know(capsys):
    prompt = "a red ball rolls right while a cat sits"
    code, out, err = run(capsys, "generate", prompt, "--steps", "1")
    assert code == 1 and out == "" and one_line(err)
    assert "shapes draws circles, squares, triangles and crosses in six colours; it does not know 'cat'" in err
    code, out, err = run(capsys, "generate", prompt, "--guide", "off", "--steps", "2", "--anyway", "--seed", "1")
    assert code == 0 and "note: shapes: it does not know 'cat'" in err and "cat: not seen" in err


def test_sizes_that_the_model_was_not_trained_for(capsys):
    argv = ["generate", "a red ball", "--guide", "off", "--steps", "1", "--frames", "9"]
    code, _, err = run(capsys, *argv)
    assert code == 0
    assert "note: shapes was trained for 64x64 pixels, frames: 13; this is 64x64 pixels, frames: 9" in err


def test_what_cannot_work_is_said_before_the_model_is_loaded(capsys, tmp_path, monkeypatch):
    from ttom_cli import video
    from ttom_cli.runtime import Runtime

    monkeypatch.setattr(Runtime, "open", lambda *_, **__: pytest.fail("the model was loaded"))
    (tmp_path / "file").write_text("")
    for argv, message in (
        (["--out", "file/x"], "cannot write to file/x"),
        (["--bank", "file"], "the bank file is no folder"),
        (["--device", "cuda"], "the device cuda cannot be used"),
    ):
        code, out, err = run(capsys, "generate", "a red ball", *argv)
        assert code == 1 and out == "" and one_line(err) and message in err, err
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
        code, _, err = run(capsys, "generate", "a red ball", "--no-memory")
        assert code == 1 and "has no room for a video of about 0.3 MB" in err
        code, _, err = run(capsys, "generate", "a red ball")
        assert code == 1 and "the disk of the bank" in err
    video.find_ffmpeg.cache_clear()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    code, _, err = run(capsys, "generate", "a red ball")
    assert code == 1 and one_line(err) and "there is no ffmpeg that runs" in err


def test_the_path_is_printed_where_only_the_bank_failed(capsys, toy_folder, monkeypatch, tmp_path):
    from ttom_cli.errors import BankError
    from ttom_cli.memory import MemoryBank

    def full(self, *args, **more):
        raise BankError("cannot write to the bank: No space left on device")

    monkeypatch.setattr(MemoryBank, "insert", full)
    code, out, err = run(capsys, "generate", "a red ball rolls right", "--model", toy_folder, *TOY)
    assert code == 1 and (tmp_path / out.strip()).is_file()
    assert "error: cannot write to the bank: No space left on device" in err


def test_an_adapter_that_is_not_finite_is_refused(capsys, toy_folder):
    code, out, err = run(
        capsys, "generate", "a red ball rolls right", "--model", toy_folder, "--lr", "1e30", *TOY, "--iterations", "3"
    )
    assert code == 1 and out == "" and "ran away at a learning rate of 1e+30 (lower --lr)" in err
    assert json.loads(run(capsys, "memory", "ls", "--json")[1]) == []
