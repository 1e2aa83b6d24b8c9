"""A language model's endpoint on loopback that says what a test scripts, and sound replies to say."""

import copy
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ttom_cli.config import PlannerConfig
from ttom_cli.planning import make_planner

PROMPT = "a red ball rolls right while a blue cube rises"
SECRET = "sk-test-4711-never-shown"
GOOD = {
    "enriched_prompt": "A shiny red ball rolls right along the floor while a blue cube rises on the left.",
    "objects": [
        {
            "phrase": "red ball", "word": "ball", "attributes": ["red"], "count": 1,
            "instances": [{"boxes": [{"t": 0, "box": [0.1, 0.6, 0.4, 0.9]}, {"t": 1, "box": [0.6, 0.6, 0.9, 0.9]}]}],
        },
        {
            "phrase": "blue cube", "word": "cube", "attributes": ["blue"], "count": 1,
            "instances": [{"boxes": [{"t": 0, "box": [0.1, 0.3, 0.3, 0.5]}, {"t": 1, "box": [0.1, 0.02, 0.3, 0.22]}]}],
        },
    ],
    "background": "a floor", "camera": "static", "scene": "<object A> rolls right while <object B> rises",
}  # fmt: skip


def good(**first) -> str:
    """A sound reply as text, with the first object's fields replaced."""
    data = copy.deepcopy(GOOD)
    data["objects"][0].update(first)
    return json.dumps(data)


def wrong_way() -> str:
    data = copy.deepcopy(GOOD)
    data["objects"][0]["instances"][0]["boxes"].reverse()
    for t, key in enumerate(data["objects"][0]["instances"][0]["boxes"]):
        key["t"] = t
    return json.dumps(data)


class Server:
    """An endpoint that gives one scripted answer after another, the last one for ever.

    An answer is a text (a completion), or a function that is given the request's handler.
    """

    def __init__(self):
        self.answers, self.requests = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"body": body, "key": self.headers["Authorization"], "at": time.monotonic()})
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                answer(self) if callable(answer) else completion(answer)(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


def answer(status: int, body: dict | list | str, **headers):
    def send(handler):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def completion(text: str):
    return message({"content": text})


def message(fields: dict, finish: str | None = "stop"):
    """A completion with whatever message."""
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}
    return answer(200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


def failing(status: int, message: str, **headers):
    return answer(status, {"error": {"message": message, "type": "t", "code": None}}, **headers)


def dies(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choi')
    handler.wfile.flush()
    handler.connection.close()


def trickles(head: bytes, wait: float = 0.1):
    """Sends a head, then a byte again and again, so that the server is never silent for long; at most for 20 s."""

    def send(handler):
        handler.wfile.write(head)
        try:
            for _ in range(int(20 / wait)):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(wait)
        except OSError:
            pass

    return send


def planner(server, tell=lambda _: None, **changes):
    config = dict(planner="openai", llm_model="m", llm_base_url=server.url, llm_retries=0, llm_timeout=10.0)
    return make_planner(PlannerConfig(**(config | changes)), tell=tell)


def command(server, *more) -> list[str]:
    return ["plan", PROMPT, "--json", "--planner", "openai", "--llm-model", "m", "--llm-base-url", server.url,
            "--llm-retries", "0", "--llm-timeout", "2", *more]  # fmt: skip
