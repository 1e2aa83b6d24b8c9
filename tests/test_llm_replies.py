"""What language models answer: thinking, parts, tools, JSON that is none, wrappers, cuts, filters and refusals."""

import json
import re

import pytest
from llm_server import GOOD, PROMPT, SECRET, answer, command, good, message, planner

from ttom_cli.cli import main
from ttom_cli.errors import LayoutError, PlanningError
from ttom_cli.planning.replies import after_thinking, read_completion, read_reply, server_words

DRAFT = good().replace("0.6", "0.5")  # a whole layout that reads well, and is not the answer


def starts(layout) -> list:
    """The first number of each object's first box, which tells an answer from a draft."""
    return [t.boxes[0].box[1] for t in layout.objects]


ANSWERED = [0.6, 0.3]


def test_a_fenced_reply_with_talk_around_it_is_read(server):
    server.answers = [f"Sure! Here it is:\n```json\n{good()}\n```\nEnjoy {{}}"]
    assert len(planner(server).plan(PROMPT).objects) == 2


def test_a_reply_that_thinks_aloud_is_read(server):
    server.answers = ['<think>{first} I put {the ball} left: {"box": [0, 1]}</think>\n' + good()]
    assert len(planner(server).plan(PROMPT).objects) == 2


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>{DRAFT}</think>{good()}",
        f"<think>\nA first try:\n```json\n{DRAFT}\n```\nNo. </think>\n\n```json\n{good()}\n```",
        f"{DRAFT} that is too low </think> {good()}",  # the chat template ate the first tag
        f"<think>{DRAFT}</think><think>again {DRAFT}</think>{good()}",
        f"<seed:think>{DRAFT}</seed:think>{good()}",
        f"<THINKING>{DRAFT}</THINKING>{good()}",
        f"[THINK]{DRAFT}[/THINK]{good()}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{good()}",
        f"{good()}<think>or perhaps {DRAFT}",
        f"First {DRAFT} but no, rather {good()}",
    ],
)
def test_a_draft_in_the_thinking_is_not_the_answer(server, reply):
    server.answers = [reply]
    assert starts(planner(server).plan(PROMPT)) == ANSWERED
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [f"<think>{DRAFT}</think>", f"<think>{DRAFT}", f"<think>{DRAFT}</think>\n I'm done."])
def test_thinking_without_an_answer_is_sent_back(server, reply):
    server.answers, told = [reply, good()], []
    assert starts(planner(server, told.append).plan(PROMPT)) == ANSWERED
    assert len(server.requests) == 2 and re.search("it is empty|holds no JSON", told[0])
    assert "0.5" not in json.dumps(server.requests[1]["body"]["messages"][-2])


@pytest.mark.parametrize(
    "fields",
    [
        {"content": [{"type": "text", "text": good()}]},
        {"content": [{"type": "text", "text": good()[:50]}, {"type": "text", "text": good()[50:]}]},
        {"content": [{"type": "thinking", "thinking": [{"text": DRAFT}]}, {"type": "text", "text": good()}]},
        {"content": [{"type": "reasoning", "text": DRAFT}, {"type": "output_text", "text": good()}]},
        {"content": [good()]},
        {"content": {"type": "text", "text": good()}},
        {"content": json.loads(good())},
        {"content": "", "reasoning_content": good()},
        {"content": None, "reasoning_content": f"Let me see. {DRAFT} No: {good()}"},
        {"content": None, "reasoning": f"<think>{DRAFT}</think>{good()}"},
        {"content": "<think></think>\n", "reasoning_content": good()},
        {"content": good(), "reasoning_content": DRAFT},
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "x", "arguments": good()}}]},
        {"content": "", "tool_calls": [{"function": {"name": "layout", "arguments": json.loads(good())}}]},
        {"content": "Here you are.", "tool_calls": [{"function": {"arguments": json.dumps({"layout": GOOD})}}]},
        {"content": None, "tool_calls": [{"type": "custom", "custom": {"name": "x", "input": good()}}]},
        {"content": None, "function_call": {"name": "layout", "arguments": good()}},
        {"content": f'<tool_call>{{"name": "layout", "arguments": {good()}}}</tool_call>'},
    ],
)  # fmt: skip
def test_wherever_the_answer_stands_in_a_message_it_is_found(server, fields):
    server.answers = [message(fields)]
    assert starts(planner(server).plan(PROMPT)) == ANSWERED
    assert len(server.requests) == 1


def quoted(text: str) -> str:
    return text.replace('"', "'")


@pytest.mark.parametrize(
    "reply",
    [
        good().replace("]}]}]", "],}],},]"),
        good().replace('"objects": [', '"objects": [ // it\'s two, {really}\n'),
        good().replace('"objects": [', '"objects": [ # a list\n'),
        good().replace('"objects"', '/* "objects" are two */ "objects"'),
        '{ // it\'s "a layout"\n' + good()[1:],
        repr(GOOD),
        quoted(good()),
        quoted(good()).replace("a floor", "a cat's floor"),
        re.sub(r'"(\w+)":', r"\1:", good()),
        good().replace("a floor", "a\nfloor"),
        f"Sure, {{as you like}}:\n```json5\n{quoted(good())}\n```\nEnjoy {{}}, it's good!",
        json.dumps(good()),
    ],
)
def test_json_that_is_nearly_json_is_mended_and_said(server, reply):
    server.answers, told = [reply], []
    assert starts(planner(server, told.append).plan(PROMPT)) == ANSWERED
    assert len(server.requests) == 1
    assert [t for t in told if "JSON is mended" in t] == told[:1]


@pytest.mark.parametrize(
    "reply",
    [
        good()[:-1],
        quoted(good())[:-40],
        "I see {the objects: a ball and a cube} in it.",
        "{objects: [ball, cube]}",
        quoted(good()).replace("0.6", "NaN"),
        quoted(good()).replace("0.6", "60%"),
        quoted(good()).replace("0.6, 0.4", "0,6, 0,4"),
    ],
)
def test_the_tolerant_parser_ends_no_cut_reply_and_makes_no_layout_of_prose(reply):
    told = []
    with pytest.raises(LayoutError):
        read_reply(reply, PROMPT, told.append)


def test_strict_json_is_read_as_it_stands():
    told = []
    text = 'a "red" ball // no comment, it\'s a /* text */ # here'
    layout = read_reply(json.dumps(GOOD | {"background": text}), PROMPT, told.append)
    assert layout.background == text and told == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"layout": GOOD}, "out of 'layout'"),
        ({"result": {"layout": GOOD, "ok": True}}, "out of 'result.layout'"),
        ({"why": "low", "layout": json.dumps(GOOD)}, "out of 'layout'"),
        ({"enriched_prompt": GOOD["enriched_prompt"], "layout": {k: GOOD[k] for k in GOOD if k != "enriched_prompt"}},
         "out of 'layout'"),
        ([GOOD], ""),
        (GOOD | {"reasoning": "I put the ball low."}, "left out: 'reasoning'"),
        (json.loads(good(id=1, color="red")), "left out: 'id', 'color'"),
        (json.loads(good(instances=[{"id": 1, "boxes": [
            {"t": 0, "box": [0.1, 0.6, 0.4, 0.9], "label": "a"}, {"t": 1, "box": [0.6, 0.6, 0.9, 0.9]}]}])),
         "left out: 'id', 'label'"),
    ],
)  # fmt: skip
def test_wrappers_and_extra_keys_are_mended_and_said(server, data, said):
    server.answers, told = [json.dumps(data)], []
    layout = planner(server, told.append).plan(PROMPT)
    assert starts(layout) == ANSWERED and layout.enriched_prompt == GOOD["enriched_prompt"]
    assert len(server.requests) == 1 and (not said or said in told[0])


def test_a_key_that_is_missing_is_not_mended(server):
    server.answers, told = [json.dumps({k: v for k, v in GOOD.items() if k != "background"}), good()], []
    planner(server, told.append).plan(PROMPT)
    assert "it has no 'background'" in told[0]


@pytest.mark.parametrize(
    ("fields", "finish", "words"),
    [
        ({"content": good()[:200]}, "length", "cut off by the limit of tokens (finish_reason length)"),
        ({"content": "<think>\nThe user wants a ball and a cube. I"}, "length", "cut off by the limit of tokens"),
        ({"content": f"<think>{DRAFT} or"}, "length", "cut off by the limit of tokens"),
        ({"content": "", "reasoning_content": f"First {DRAFT}, then"}, "length", "cut off by the limit of tokens"),
        ({"content": None}, "length", "cut off by the limit of tokens"),
        ({"content": None}, "content_filter", "filter stopped the model's reply (finish_reason content_filter)"),
        ({"content": good()[:90]}, "content_filter", "a content filter stopped"),
        ({"content": ""}, "SAFETY", "a content filter stopped"),
    ],
)  # fmt: skip
def test_a_reply_that_was_ended_for_a_reason_is_said_so(server, capsys, fields, finish, words):
    server.answers = [message(fields, finish)]
    assert main(command(server, "--llm-max-tokens", "321")) == 1
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert finish != "length" or "raise --llm-max-tokens above 321" in err
    assert [r["body"]["max_tokens"] for r in server.requests] == [321]


def test_a_whole_layout_before_the_cut_is_used(server):
    server.answers, told = [message({"content": f"{good()}\nI hope that this"}, "length")], []
    assert starts(planner(server, told.append).plan(PROMPT)) == ANSWERED
    assert told == ["the model's reply was cut off after the layout"]


def test_a_refusal_in_words_is_shown_and_not_argued_with(server, capsys):
    words = "I'm sorry, but I can't help with that request."
    server.answers = [words]
    assert main(command(server)) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert len(server.requests) == 2
    assert f"gives no layout, but says: {words}" in err[-1] and words in err[0] and len(err) == 2


def test_words_alone_may_be_followed_by_a_layout(server):
    server.answers, told = ["Shall I begin?", good()], []
    assert starts(planner(server, told.append).plan(PROMPT)) == ANSWERED
    assert "but says: Shall I begin?" in told[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"content": None, "refusal": "I will not plan this."},
        {"content": [{"type": "refusal", "refusal": "I will not plan this."}]},
    ],
)
def test_a_refusal_of_the_protocol_is_shown(server, fields):
    server.answers = [message(fields)]
    with pytest.raises(PlanningError, match=r"refused to plan: I will not plan this\."):
        planner(server).plan(PROMPT)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["x", "box", "objects", "0.6"])
def test_a_key_is_never_masked_in_a_reply(server, monkeypatch, capsys, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    server.answers = [good()]
    assert main(command(server)) == 0
    out, err = capsys.readouterr()
    assert starts(read_reply(good(), PROMPT)) == [o["boxes"][0]["box"][1] for o in json.loads(out)["objects"]]
    assert "***" not in out + err and len(server.requests) == 1


def test_a_key_is_masked_where_a_reply_is_shown(server, capsys):
    server.answers = [good(phrase=SECRET), f"Your key is {SECRET}."]
    assert main(command(server)) == 1
    out, err = capsys.readouterr()
    assert SECRET not in out + err and "object '***'" in err and "Your key is ***." in err
    assert SECRET in json.dumps(server.requests[1]["body"])  # what is sent back is what was said
    server.answers = [good(**{SECRET: 1})]
    assert main(command(server)) == 0
    assert "left out: '***'" in capsys.readouterr().err
    server.answers = [good(phrase=SECRET)]
    with pytest.raises(PlanningError, match=r"after 2 corrections .* object '\*\*\*'"):
        planner(server, cache=False).plan(PROMPT)


def test_a_short_key_masks_no_letters_within_words(server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    server.answers = [answer(400, {"error": {"message": "the boxes are too complex, key x"}})]
    assert main(command(server)) == 1
    assert "the boxes are too complex, key ***" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "a"}}, "a"),
        ([{"error": {"code": 400, "message": "a", "status": "INVALID_ARGUMENT"}}], "a"),
        ({"error": "a"}, "a"),
        ({"error": True, "message": "a"}, "a"),
        ({"detail": [{"loc": ["body"], "msg": "a"}, {"msg": "b"}]}, "a; b"),
        ({"errors": [{"message": "a"}]}, "a"),
        ({"base_resp": {"status_code": 1004, "status_msg": "a"}}, "a"),
        ({"error": {"message": "a", "metadata": {"raw": '{"b": 1}'}}}, 'a: {"b": 1}'),
        ("<html><style>x</style><body><h1>502 Bad\nGateway</h1>", "502 Bad Gateway"),
        ("a <b> c", "a <b> c"),
        (5, ""),
        ({"error": {"error": {"error": {"error": {"error": "a"}}}}}, ""),
    ],
)
def test_the_words_of_a_server(body, words):
    assert server_words(body) == words


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (None, ""),
        (5, ""),
        ([1], ""),
        ({}, ""),
        ({"choices": [None]}, ""),
        ({"choices": [{"message": {"content": 5}}]}, ""),
        ({"choices": [{"message": {"content": None, "tool_calls": [None, {"function": 5}, 5]}}]}, None),
        ({"choices": [{"message": {"content": "", "tool_calls": 5, "reasoning_content": 5}}]}, None),
    ],
)
def test_any_body_is_a_completion_or_a_fault(body, fault):
    got = read_completion(body)
    assert got.fault == fault and got.text == ""


def test_text_before_thinking_that_never_ends_is_kept():
    assert after_thinking("a <think>b</think> c <think>d") == "c"
    assert after_thinking("a <object> b") == "a <object> b"
