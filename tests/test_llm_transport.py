"""The LLM planner's endpoint: what a server cannot take, its errors in its own words, limits of time, proxies, keys."""

import json
import threading
import time

import pytest
from llm_server import PROMPT, SECRET, answer, command, completion, dies, failing, good, message, planner, trickles

from ttom_cli.cli import main
from ttom_cli.config import PlannerConfig
from ttom_cli.errors import PlanningError, TTOMError

BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


def test_a_server_that_refuses_a_format_gets_a_simpler_one(server):
    def picky(handler):
        form = server.requests[-1]["body"].get("response_format")
        if form:
            failing(400, "Invalid schema for response_format 'layout': maxLength is not permitted")(handler)
        else:
            completion(good())(handler)

    server.answers = [picky]
    made = planner(server, cache=False)
    made.plan(PROMPT)
    schemas = [json.dumps(r["body"].get("response_format")) for r in server.requests]
    assert ["maxLength" in s for s in schemas] == [True, False, False] and schemas[2] == "null"
    made.plan(PROMPT)
    assert len(server.requests) == 4  # what it takes is remembered


def test_options_that_a_server_does_not_know_are_left_out(server):
    def newer(handler):
        body = server.requests[-1]["body"]
        for name, advice in (("max_tokens", "Use 'max_completion_tokens' instead."), ("temperature", "")):
            if name in body:
                return failing(400, f"Unsupported parameter: '{name}'. {advice}")(handler)
        completion(good())(handler)

    server.answers = [newer]
    planner(server, cache=False).plan(PROMPT)
    assert server.requests[-1]["body"]["max_completion_tokens"] == server.requests[0]["body"]["max_tokens"]
    assert "response_format" in server.requests[-1]["body"]


@pytest.mark.parametrize("status", [422, 500])
def test_a_format_may_be_refused_by_any_status(server, status):
    def picky(handler):
        if server.requests[-1]["body"].get("response_format"):
            return failing(status, "response_format json_schema is not supported")(handler)
        completion(good())(handler)

    server.answers = [picky]
    assert planner(server, cache=False).plan(PROMPT).objects


def test_rate_limit_waits_as_long_as_the_server_says(server):
    server.answers = [failing(429, "slow down", Retry_After=1), good()]
    planner(server, llm_retries=1).plan(PROMPT)
    first, second = (r["at"] for r in server.requests)
    assert second - first >= 1.0


def test_transport_errors_are_tried_again(server):
    server.answers = [dies, failing(503, "busy"), good()]
    assert planner(server, llm_retries=3).plan(PROMPT).objects
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (failing(401, f"Incorrect API key provided: {SECRET}"), "refused the key (401)"),
        (failing(404, "no such model"), "knows no model 'm' (404)"),
        (failing(400, "the context is 4096 tokens"), "answered 400: the context is 4096 tokens"),
        (failing(400, f"what is {SECRET}?\x1b[31m"), "what is ***? [31m"),
        (failing(429, "no credit"), "rate-limiting (429): no credit"),
        (failing(500, "oops"), "answered 500: oops"),
        (dies, "broke off its reply"),
        (lambda handler: time.sleep(3), "did not answer in 2 s"),
        (answer(200, "<html>hello</html>"), "cannot be read"),
        (answer(200, {"choices": []}), "no message"),
        (answer(200, {"choices": "abc"}), "no message"),
        (answer(200, {"choices": [{"message": "hello"}]}), "no message"),
        (answer(200, {"choices": [{"message": {"content": [1, 2]}}]}), "no message"),
        (answer(200, {"choices": [{"message": {"content": "", "refusal": {"a": 1}}}]}), "refused to plan"),
    ],
)  # fmt: skip
def test_failures_are_one_clear_line_without_the_key(server, capsys, reply, message):
    server.answers = [reply]
    assert main(command(server)) == 1
    out, err = capsys.readouterr()
    assert message in err and len(err.strip().splitlines()) == 1
    assert SECRET not in out + err and "\x1b" not in err


def test_a_server_that_is_not_there(capsys):
    assert main(["plan", PROMPT, "--planner", "openai", "--llm-model", "m", "--llm-base-url",
                 "http://user:pw@127.0.0.1:9/v1", "--llm-retries", "0", "--no-cache"]) == 1  # fmt: skip
    err = capsys.readouterr().err
    assert "cannot be reached" in err and "pw" not in err


@pytest.mark.parametrize("url", ["http://localhost:abc/v1", "http://[::1"])
def test_a_url_that_is_none(capsys, url):
    assert main(["plan", PROMPT, "--planner", "openai", "--llm-model", "m", "--llm-base-url", url]) == 1
    assert "--llm-base-url is no URL" in capsys.readouterr().err


def test_no_key_is_said_before_anything_is_sent(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["plan", PROMPT, "--planner", "openai", "--llm-model", "m", "--no-cache"]) == 1
    assert "OPENAI_API_KEY is not set" in capsys.readouterr().err


# ---------------------------------------------------------------- the server's own words


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]),
         "answered 400: API key not valid."),
        (answer(503, [{"error": {"code": 503, "message": "It is overloaded."}}]), "answered 503: It is overloaded."),
        (answer(404, {"error": "model 'm' not found, try pulling it first"}), "(404): model 'm' not found, try"),
        (answer(403, {"error": {"message": "Country not supported"}}), "Country not supported"),
        (answer(422, {"detail": [{"msg": "field required"}]}), "answered 422: field required"),
        (answer(502, "<html><head><title>502 Bad Gateway</title></head></html>"), "answered 502: 502 Bad Gateway"),
        (answer(200, {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "too many"}}}),
         "sent an error: Provider returned error: too many"),
        (answer(200, {"choices": None, "error": {"message": "out of credits"}}), "sent an error: out of credits"),
        (answer(200, [{"error": {"message": "quota"}}]), "sent an error: quota"),
        (answer(200, {"choices": [{"error": {"message": "upstream fell over"}, "message": {"content": ""}}]}),
         "sent an error: upstream fell over"),
        (answer(200, {"choices": None, "base_resp": {"status_msg": "insufficient balance"}}), "insufficient balance"),
        (answer(200, {"error": {"code": 77}}), 'sent an error: {"code": 77}'),
        (answer(200, {"choices": None}), "no message"),
        (answer(200, {"id": "1", "choices": None, "usage": None}), "no message"),
        (answer(200, "upstream is asleep"), "cannot be read: upstream is asleep"),
        (answer(200, ""), "cannot be read: it is empty"),
        (answer(200, "[" * 100_000), "cannot be read"),
    ],
)  # fmt: skip
def test_the_servers_own_words_reach_the_user(server, capsys, reply, words):
    server.answers = [reply]
    assert main(command(server)) == 1
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1


# ---------------------------------------------------------------- grammars


@pytest.mark.parametrize(
    "words",
    [
        "Failed to parse grammar",
        "failed to initialize samplers: error parsing grammar",
        "invalid JSON schema in format",
    ],
)
def test_a_refused_grammar_is_not_taken_for_load(server, words):
    def picky(handler):
        form = server.requests[-1]["body"].get("response_format")
        (failing(500, words) if form else completion(good()))(handler)

    server.answers = [picky]
    assert planner(server, llm_retries=5).plan(PROMPT).objects
    assert len(server.requests) == 3  # each format once


def test_a_500_of_load_is_tried_again(server):
    server.answers = [failing(500, "overloaded"), good()]
    assert planner(server, llm_retries=1).plan(PROMPT).objects
    first, second = (r["body"] for r in server.requests)
    assert first["response_format"] == second["response_format"]


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 9999",
        "The maximum context length is 8192 tokens. You requested 12499 (2500 in messages, 9999 in completion).",
    ],
)
def test_a_limit_of_tokens_that_is_not_taken_is_said(server, words):
    def small(handler):
        taken = "max_tokens" not in server.requests[-1]["body"]
        (completion(good()) if taken else failing(400, words))(handler)

    server.answers, told = [small], []
    assert planner(server, told.append, llm_max_tokens=9999).plan(PROMPT).objects
    assert told == ["the server does not take max_tokens 9999: it is left out"]


# ---------------------------------------------------------------- limits of time


@pytest.mark.parametrize("head", [BODY, b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "header"])
def test_a_server_that_trickles_is_held_to_the_total_limit(server, capsys, head):
    server.answers, begun = [trickles(head)], time.monotonic()
    assert main(command(server, "--llm-total-timeout", "1.5")) == 1
    assert 1.4 < time.monotonic() - begun < 15
    err = capsys.readouterr().err
    assert "gave no layout within 1.5 s" in err and "--llm-total-timeout" in err
    assert len(err.strip().splitlines()) == 1


def test_the_total_limit_holds_for_all_tries_and_corrections(server):
    def slow(handler):
        time.sleep(1.2)
        completion("{}")(handler)

    server.answers, begun = [slow], time.monotonic()
    with pytest.raises(PlanningError, match="no layout within 2 s"):
        planner(server, llm_total_timeout=2.0).plan(PROMPT)
    assert time.monotonic() - begun < 12 and len(server.requests) <= 2

    server.answers, begun = [failing(429, "slow down", Retry_After=30)], time.monotonic()
    with pytest.raises(PlanningError, match="no layout within 1 s"):
        planner(server, llm_total_timeout=1.0, llm_retries=3).plan(PROMPT)
    assert time.monotonic() - begun < 15


def test_nothing_is_sent_once_nobody_waits(server):
    server.answers = [failing(429, "slow down", Retry_After=2)]
    with pytest.raises(PlanningError, match="no layout within 1 s"):
        planner(server, llm_total_timeout=1.0, llm_retries=1).plan(PROMPT)
    time.sleep(3)
    assert len(server.requests) <= 1


def test_a_trickle_is_not_read_once_nobody_waits(server):
    server.answers = [trickles(BODY)]
    before = threading.active_count()
    with pytest.raises(PlanningError):
        planner(server, llm_total_timeout=0.5).plan(PROMPT)
    limit = time.monotonic() + 15
    while threading.active_count() > before and time.monotonic() < limit:
        time.sleep(0.1)
    assert threading.active_count() <= before


def test_a_planner_goes_on_after_a_limit(server):
    server.answers = [trickles(BODY), good()]
    made = planner(server, llm_total_timeout=3.0)
    with pytest.raises(PlanningError):
        made.plan(PROMPT)
    assert made.plan(PROMPT).objects


def test_a_response_without_end_is_not_read_to_the_end(server):
    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        try:
            while True:
                handler.wfile.write(b" " * 1_000_000)
        except OSError:
            pass

    server.answers = [endless]
    with pytest.raises(PlanningError, match="more than 8 MB"):
        planner(server, llm_total_timeout=60.0).plan(PROMPT)


# ---------------------------------------------------------------- proxies and keys


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:9", "ALL_PROXY names a SOCKS proxy"),
        ("all_proxy", "socks5h://127.0.0.1:9", "all_proxy names a SOCKS proxy"),
        ("HTTPS_PROXY", "ftp://user:hunter2@127.0.0.1:9", "no connection can be made"),
        ("HTTP_PROXY", "http://user:hunter2@[::1", "no connection can be made"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_line(server, monkeypatch, capsys, name, url, words):
    monkeypatch.setenv(name, url)
    assert main(command(server)) == 1
    err = capsys.readouterr().err
    assert words in err and name in err and len(err.strip().splitlines()) == 1
    assert "hunter2" not in err and server.requests == []


@pytest.mark.parametrize("key", ["sk-ключ-1234567", "sk-1234“5678”", "sk-1234\nsk-5678"])
def test_a_key_that_no_header_can_hold_is_one_line(server, monkeypatch, capsys, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert main(command(server)) == 1
    err = capsys.readouterr().err
    assert "OPENAI_API_KEY holds a character that cannot be sent" in err and len(err.strip().splitlines()) == 1
    assert key not in err and server.requests == []


def test_another_header_that_is_not_ascii(server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_ORG_ID", "компания")
    assert main(command(server)) == 1
    assert "check OPENAI_ORG_ID" in capsys.readouterr().err


# ---------------------------------------------------------------- options


def test_limits_are_options_of_files_and_commands(server, tmp_path):
    server.answers = [message({"content": good()})]
    config = tmp_path / "c.yaml"
    config.write_text("llm-max-tokens: 77\nllm_total_timeout: 9\n")
    assert main(command(server, "--config", str(config))) == 0
    assert main(command(server, "--config", str(config), "--llm-max-tokens", "78", "--refresh")) == 0
    assert [r["body"]["max_tokens"] for r in server.requests] == [77, 78]


@pytest.mark.parametrize("bad", [dict(llm_max_tokens=0), dict(llm_total_timeout=0), dict(llm_total_timeout=1e9)])
def test_limits_are_checked(bad):
    with pytest.raises(TTOMError, match=next(iter(bad)).replace("_", "-")):
        PlannerConfig(**bad)


def test_every_command_that_asks_a_model_takes_the_limits(capsys):
    for argv in (["plan"], ["generate"], ["bench", "plan"], ["probe"]):
        main([*argv, "--help"])
        shown = capsys.readouterr().out
        assert "--llm-max-tokens" in shown and "--llm-total-timeout" in shown, argv
