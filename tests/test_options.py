"""Options: each is said once, and commands, files, checks and the reference page agree on it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ttom_cli.catalog import CARDS
from ttom_cli.cli import main
from ttom_cli.config import GuideConfig, SampleConfig
from ttom_cli.errors import TTOMError
from ttom_cli.reference import default_of, page
from ttom_cli.settings import OPTIONS, given_fields, resolve

ROOT = Path(__file__).parents[1]
DEEDS = {"--prompts", "--config", "--replay", "--yes", "--json", "--help"}  # say what to do, and stand in no file
QUICK = "guide: off\nsteps: 1\nenlarge: 1\ncheck: false\n"
SAMPLES = {
    "size": "32x48", "blocks": [1, 2], "adapt": "0,1", "projections": ["q"], "cfg": 2, "both-branches": True,
    "llm-base-url": "http://localhost/v1",
}  # fmt: skip


def some_value(option):
    """A right value, other than the default where there is one."""
    if option.name in SAMPLES:
        return SAMPLES[option.name]
    if option.choices:
        return next(choice for choice in option.choices if choice != option.default)
    return {bool: option.default is not True, int: 2, float: 0.5, str: "words", Path: "some/path", dict: "a=1"}[
        option.kind
    ]


def test_the_reference_page_is_what_the_options_say():
    assert (ROOT / "prompts" / "OPTIONS.md").read_text(encoding="utf-8") == page(), "make options"


def test_help_and_the_page_have_the_same_names(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["generate", "--help"]) == 0
    shown = capsys.readouterr().out
    listed = set(re.findall(r"^│ (--[a-z-]+)", shown, re.MULTILINE)) - DEEDS
    assert listed == {f"--{name}" for name in re.findall(r"^\| `([a-z-]+)`", page(), re.MULTILINE)}
    plain = " ".join(shown.replace("│", " ").split())
    for option in OPTIONS.values():
        assert " ".join(option.help.split()[:3]) in plain, option.name
    assert "[default: 25 for shapes, shapes-cog; else the model's own, as `ttom models` says]" in plain


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_says_its_choices_and_takes_its_values(name):
    option = OPTIONS[name]
    assert option.help.endswith(".") and all(choice in option.help for choice in option.choices)
    fields = given_fields({name: some_value(option)})[option.of]
    assert fields and fields == given_fields({name.replace("-", "_"): some_value(option)})[option.of]
    card = CARDS["shapes"]
    base = {SampleConfig: card.sample, GuideConfig: card.guide}.get(option.of) or option.of()
    more = {"llm_model": "m"} if option.name == "planner" else {"enabled": None} if option.name == "check" else {}
    made = replace(base, **(more | fields))
    assert made != base or some_value(option) == getattr(base, option.field)
    for wrong in ({1: 1} if option.kind is dict else {"a": 1}, float("nan"), [], [[1]]):
        with pytest.raises(TTOMError, match=f"^{name} must be "):
            given_fields({name: wrong})


def test_defaults_of_each_model_are_told_apart():
    assert default_of(OPTIONS["rank"]) == "8 for shapes, shapes-cog; else 32"
    assert default_of(OPTIONS["loss"]) == "jsd" and default_of(OPTIONS["seed"]) == ""
    size, both = default_of(OPTIONS["size"]), default_of(OPTIONS["both-branches"])
    assert "64x64 for shapes, shapes-cog" in size and size.endswith("as `ttom models` says") and both == "off"


def test_a_number_of_guided_steps_that_is_said_is_meant():
    card = CARDS["wan2.1-14b"]
    few = {"steps": 4}
    assert resolve(card, few).guide.guided_of(4) == 1
    assert resolve(card, few, {"guided-steps": 3}).guide.guided_of(4) == 3
    assert resolve(card, few, {"guided-steps": 3, "guided-share": 0.5}).guide.guided_of(4) == 2


def test_arguments_of_the_pipeline_s_call_add_up():
    card = CARDS["cogvideox-5b"]
    read = resolve(card, {"set": {"eta": 0.5, "a": "x"}}, {"set": ["a=1e-3", "b = [1, no]"]}).sample.more
    assert read == {"use_dynamic_cfg": True, "eta": 0.5, "a": 1e-3, "b": [1, False]}
    expert = CARDS["wan2.2-a14b"]
    assert resolve(expert).sample.more == {"guidance_scale_2": 3.0}
    assert resolve(expert, {"cfg": 1.0}).sample.more == {}  # the second expert's follows
    assert resolve(expert, {"cfg": 1.0, "set": "guidance_scale_2=2"}).sample.more == {"guidance_scale_2": 2}


def test_yaml_s_words_for_numbers_and_off():
    read = resolve(CARDS["shapes"], {"lr": "1e-3", "guide": False, "cfg": 3, "both_branches": True})
    assert (read.guide.lr, read.guide.mode, read.sample.guidance_scale) == (1e-3, "off", 3.0)
    assert not read.guide.conditional_only


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("steps: ten", "steps must be a whole number from 1 to 1000, not 'ten'"),
        ('seed: "7"', "seed must be a whole number of 64 bits, not '7'"),
        (f"seed: {10**30}", "seed must be a whole number of 64 bits, not 1000"),
        ("steps: true", "steps must be a whole number from 1 to 1000, not true"),
        ("steps: 2.5", "steps must be a whole number from 1 to 1000, not 2.5"),
        ("steps:", "steps must be a whole number from 1 to 1000, not null"),
        ("guided-steps: 0", "guided-steps must be a whole number from 1 to 1000, not 0"),
        ("guided-share: 1.5", "guided-share must be a number above 0 and of at most 1, not 1.5"),
        ("lr: .nan", "lr must be a number above 0, not nan"),
        ("cfg: .inf", "cfg must be a number, not inf"),
        (f"lr: {10**400}", "lr must be a number above 0, not a number of 401 digits"),
        (f"steps: 0x{'f' * 5000}", "steps must be a whole number from 1 to 1000, not a number of 6021 digits"),
        ("num-videos: 100000", "num-videos must be a whole number from 1 to 1000, not 100000"),
        ("seeds: 4-1", "seeds must be different numbers such as 1-4 or 1,3,7, at most 1000 of them, not '4-1'"),
        ("seeds: 0-999999999", "seeds must be different numbers such as 1-4 or 1,3,7, at most 1000 of them, not '0-"),
        ("guided-steps: 1\nguided_steps: 2", "has 'guided-steps' twice in one mapping"),
        ("prompts: p.txt", "the option 'prompts' is for the command line alone"),
        ("seeds: [1-3, 2]", "seeds has 2 twice"),
        ('bank: "a\\0b"', "bank must be a path, not 'a\\x00b'"),
        (f"model: {'x' * 5000}", "model has 5,000 characters (it may have 4,096 at most)"),
        ("model: ''", "model must not be empty (it is text)"),
        ("llm-timeout: 90000", "llm-timeout must be a number above 0 and below 86400, not 90000"),
        ("memory: 1", "memory must be true or false, not 1"),
        ("loss: 2", "loss must be one of jsd, l2, not 2"),
        ("loss: l3", "unknown loss 'l3' (known: jsd, l2)"),
        ("projections: [q, x]", "unknown projections 'x' (known: q, k, v, o)"),
        ("blocks: [1.5]", "blocks must be block numbers from 0, such as 2,3,4, not [1.5]"),
        ("blocks: -1", "blocks must be block numbers from 0, such as 2,3,4, not -1"),
        ("size: 64", "size must be WIDTHxHEIGHT in pixels, such as 832x480, at most 16384 each, not 64"),
        ("size: 0*64", "size must be WIDTHxHEIGHT in pixels, such as 832x480, at most 16384 each, not '0*64'"),
        ("model: 5", "model must be text, not 5"),
        ("out: []", "out must be a path, not []"),
        ("profile: 3", "profile must be a path, not 3"),
        ("negativ-prompt: x", "unknown option 'negativ-prompt' (did you mean 'negative-prompt'?)"),
        ("zzz: 1", "unknown option 'zzz'"),
    ],
)
def test_wrong_values_in_files_are_said_in_a_line(capsys, line, said):
    Path("c.yaml").write_text(line)
    assert main(["generate", "a red ball", "--config", "c.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: c.yaml: {said}") and err.count("\n") == 1, err
    Path("p.yaml").write_text(f"- prompt: a red ball\n  guide: off\n  {line}\n")
    assert main(["plan", "--prompts", "p.yaml"]) == (0 if line.startswith(("seed", "num", "out")) else 1)  # not plan's


def test_a_prompt_s_own_seed_and_file_are_checked(capsys):
    for line, said in (('seed: "7"', "seed must be"), ("out: 5", "out must be a path, not 5")):
        Path("p.yaml").write_text(f"- prompt: a red ball\n  guide: off\n  steps: 1\n  {line}\n")
        assert main(["generate", "--prompts", "p.yaml"]) == 1
        out, err = capsys.readouterr()
        assert out == "" and f"error: 'a red ball': p.yaml, prompt 1: {said}" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--lr", "nan", "lr must be a number above 0, not nan"),
        ("--steps", "ten", "steps must be a whole number from 1 to 1000, not 'ten'"),
        ("--seed", "1.5", "seed must be a whole number of 64 bits, not '1.5'"),
        ("--blocks", "1,x", "blocks must be block numbers from 0, such as 2,3,4, not '1,x'"),
        ("--out", "", "out must not be empty (it is a path)"),
        ("--set", "eta", "set must be name=value, an argument of the pipeline's call, not 'eta'"),
    ],
)
def test_flags_are_checked_alike(capsys, flag, value, said):
    assert main(["generate", "a red ball", flag, value]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("latents=1", "--set cannot set latents: no text can say it (guidance_scale_2, attention_kwargs can be set)"),
        ("guidance_scale_2=high", "--set guidance_scale_2 must be float, not 'high'"),
        ("guidance_scale_3=2", "unknown argument of WanPipeline 'guidance_scale_3' (did you mean"),
        ("height=2", "--set cannot set height (--size does)"),
    ],
)
def test_arguments_that_the_pipeline_has_not(capsys, value, said):
    assert main(["generate", "a red ball", "--set", value]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}") and err.count("\n") == 1


def test_seed_model_out_and_bank_work_in_a_config(capsys, toy_folder, monkeypatch):
    from ttom_cli.video import read_recipe

    monkeypatch.delenv("TTOM_BANK")
    Path("c.yaml").write_text(
        f"model: {toy_folder}\nseed: 5\nout: films\nbank: mine\nsize: 64x64\nframes: 13\nsteps: 2\nblocks: 1\n"
        "guided-steps: 1\niterations: 1\nrank: 2\ncompare: true\n"
    )
    assert main(["generate", "a red ball rolls right", "--config", "c.yaml", "--no-compare"]) == 0
    made = Path("films/a-red-ball-rolls-right-seed5.mp4")
    assert capsys.readouterr().out == f"{made}\n"
    assert read_recipe(made)["seed"] == 5 and read_recipe(made)["model"] == str(toy_folder)
    assert main(["memory", "ls", "--bank", "mine"]) == 0
    assert "a red ball rolls right" in capsys.readouterr().out


def test_a_prompt_may_name_another_model_and_how_it_is_loaded(capsys, toy_folder):
    from ttom_cli.video import read_recipe

    Path("c.yaml").write_text(QUICK)
    Path("p.yaml").write_text(
        f"- {{prompt: a red ball, seed: 1, model: '{toy_folder}', size: 64x64, frames: 5}}\n"
        "- {prompt: a red ball, seed: 2, dtype: bfloat16}\n- a blue cube\n"
    )
    assert main(["generate", "--prompts", "p.yaml", "--config", "c.yaml", "--seed", "3"]) == 0
    toy, half, last = (read_recipe(Path(line)) for line in capsys.readouterr().out.splitlines())
    assert [r["seed"] for r in (toy, half, last)] == [1, 2, 3]
    assert [r["model"] for r in (toy, half, last)] == [str(toy_folder), "shapes", "shapes"]
    assert [r["load"]["dtype"] for r in (toy, half, last)] == ["float32", "bfloat16", "float32"]


def test_help_loads_no_model_library():
    code = """
import sys
from ttom_cli.cli import main
for argv in (["generate"], ["plan"], ["probe"], ["bench", "speed"], ["memory", "rm"]):
    assert main([*argv, "--help"]) == 0, argv
heavy = {"torch", "diffusers", "transformers", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
