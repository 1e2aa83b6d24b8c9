"""One OpenAI-compatible endpoint: asked within limits, given way to in what it cannot take, its faults in one line."""

from __future__ import annotations

import copy
import json
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from urllib.parse import urlsplit

from ..config import PlannerConfig
from ..errors import PlanningError
from ..text import plain
from .replies import CUT, FILTERED, holds_layout, read_completion, reply_schema, server_words

KEY = "OPENAI_API_KEY"
SHORTEST_KEY = 8  # characters; what is shorter is a word such as "none", and no secret within other words
LARGEST = 8_000_000  # bytes of a response that are read
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


class Endpoint:
    """Keeps the connection, and what the server can do, between requests; `tell` hears what it cannot."""

    def __init__(self, config: PlannerConfig, tell: Callable[[str], None]):
        self.config, self.tell = config, tell
        self._formats = list(_formats())
        self._options = {"temperature": 0.2, "max_tokens": config.llm_max_tokens}
        self._client, self._left = None, threading.Event()

    @property
    def where(self) -> str:
        return url_shown(self.config.llm_base_url) or "OpenAI"

    def complete(self, messages: list[dict], deadline: float) -> str:
        """The text of one completion, by the best response format and with the options that the server takes.

        `deadline` is a time of time.monotonic(). Raises PlanningError.
        """
        import openai

        while True:
            form = {"response_format": self._formats[0]} if self._formats[0] else {}
            request = dict(model=self.config.llm_model, messages=messages, **self._options, **form)
            try:
                return self._checked(self._post(request, deadline))
            except openai.APIStatusError as error:
                if not self._give_way(error):
                    raise self._failure(error) from None
            except (openai.OpenAIError, ValueError) as error:
                raise self._failure(error) from None

    def _checked(self, body: str) -> str:
        """The completion's text, where it is an answer. Raises PlanningError."""
        try:
            got = read_completion(json.loads(body))
        except (ValueError, RecursionError):
            said = self.clean(server_words(body)) or "it is empty"
            raise PlanningError(
                f"{self.where} sent an answer that cannot be read: {said}", "is --llm-base-url a chat endpoint?"
            ) from None
        if got.fault:
            raise PlanningError(f"{self.where} sent an error: {self.clean(got.fault)}")
        if got.fault is not None:
            raise PlanningError("the planner's server sent no message", "is --llm-base-url a chat endpoint?")
        if got.refusal:
            raise PlanningError(f"the model refused to plan: {self.clean(got.refusal)}")
        if got.finish in FILTERED or got.finish.startswith("content_filter"):
            raise PlanningError(
                f"a content filter stopped the model's reply (finish_reason {self.clean(got.finish)})",
                "say the prompt in other words, or try another --llm-model",
            )
        if got.finish in CUT:
            if not holds_layout(got.text):
                raise PlanningError(
                    f"the model's reply was cut off by the limit of tokens (finish_reason {got.finish})",
                    f"raise --llm-max-tokens above {self.config.llm_max_tokens}, or let the model think less",
                )
            self.tell("the model's reply was cut off after the layout")
        return got.text

    def _post(self, request: dict, deadline: float) -> str:
        """The body of the answer. In a thread of its own, for a server that trickles bytes is never silent."""
        client, left, answer = *self._connect(), Future()

        def work():
            try:
                raw = client.chat.completions.with_raw_response.create(**request)
                answer.set_result(raw.http_response.text)
            except BaseException as error:
                answer.set_exception(error)

        seconds = deadline - time.monotonic()
        if seconds > 0:
            threading.Thread(target=work, daemon=True).start()
            try:
                return answer.result(seconds)
            except Late:
                left.set()
                self._client = None
        raise PlanningError(
            f"{self.where} gave no layout within {self.config.llm_total_timeout:g} s", "raise --llm-total-timeout"
        )

    def _give_way(self, error) -> bool:
        """Leave out what the server says that it cannot take; False where that is nothing of ours."""
        said = str(error).lower()
        if error.status_code in (400, 422):
            names = [n for n in self._options if n in said]
            if not names and "context length" in said:  # the prompt fits, and not the longest reply beside it
                names = [n for n in self._options if n != "temperature"]
            for name in names:
                value = self._options.pop(name)
                if name == "max_tokens" and "max_completion_tokens" in said:
                    self._options["max_completion_tokens"] = value
                elif name != "temperature":
                    self.tell(f"the server does not take {name} {value}: it is left out")
                return True
        if self._of_format(error.status_code, said):
            self._formats.pop(0)
            return True
        return False

    def _of_format(self, status: int, said: str) -> bool:
        """Whether an error is about the response format, and a simpler one is left."""
        about = any(word in said.lower() for word in ("response_format", "schema", "json", "grammar"))
        return status in (400, 422, 500, 501) and about and self._formats[0] is not None

    def _connect(self) -> tuple:
        """The client, and the event that is set once nobody waits for it any more."""
        import openai

        if self._client is None:
            key = read_key()
            if not key and not self.config.llm_base_url:
                raise PlanningError(f"{KEY} is not set", "set it, or name a server of your own with --llm-base-url")
            self._left = left = threading.Event()
            self._client = openai.OpenAI(
                api_key=key or "none",
                base_url=self.config.llm_base_url or None,
                timeout=self.config.llm_timeout,
                max_retries=self.config.llm_retries,  # with backoff, and Retry-After obeyed
                http_client=_http_client(
                    request=lambda _: _go_on(left), response=lambda answer: self._watch(answer, left)
                ),
            )
        return self._client, self._left

    def _watch(self, response, left: threading.Event) -> None:
        """Bound what is read of a response, and mark a refused format, which is no load, as nothing to try again."""
        read = response.iter_bytes

        def iter_bytes(*args, **more):
            size = 0
            for chunk in read(*args, **more):
                _go_on(left)
                size += len(chunk)
                if size > LARGEST:
                    raise ValueError(f"more than {LARGEST // 1_000_000} MB")
                yield chunk

        response.iter_bytes = iter_bytes
        if response.status_code in (500, 501):
            response.read()
            if self._of_format(response.status_code, response.text):
                response.headers["x-should-retry"] = "false"

    def _failure(self, error: Exception) -> PlanningError:
        """One line on what went wrong, in the server's words where there are some, without the key."""
        import openai

        where, said = self.where, ""
        if isinstance(error, openai.APIStatusError):
            said = self.clean(server_words(error.body) or server_words(error.message))
        if isinstance(error, openai.AuthenticationError):
            return PlanningError(f"{where} refused the key (401): {said}", f"check {KEY}")
        if isinstance(error, openai.PermissionDeniedError):
            return PlanningError(f"{where} refused the key (403), or the request: {said}", f"check {KEY}")
        if isinstance(error, openai.NotFoundError):
            return PlanningError(
                f"{where} knows no model {self.config.llm_model!r} (404): {said}",
                "check --llm-model and --llm-base-url",
            )
        if isinstance(error, openai.RateLimitError):
            return PlanningError(f"{where} is rate-limiting (429): {said}", "wait, or raise --llm-retries")
        if isinstance(error, openai.APIStatusError):
            return PlanningError(f"{where} answered {error.status_code}: {said}")
        if isinstance(error, openai.APITimeoutError):
            return PlanningError(f"{where} did not answer in {self.config.llm_timeout:g} s", "raise --llm-timeout")
        if isinstance(error, openai.APIConnectionError):
            return PlanningError(f"{where} cannot be reached, or broke off its reply", "check --llm-base-url")
        if isinstance(error, UnicodeEncodeError):
            return PlanningError(
                "a header of the request is not ASCII", "check OPENAI_ORG_ID, OPENAI_PROJECT_ID and --llm-base-url"
            )
        return PlanningError(f"{where} sent an answer that cannot be read: {self.clean(str(error))}")

    def clean(self, text: str) -> str:
        """A server's words, short, on one line, and without the key if it says it back."""
        return plain(without_key(text))[:300]


def read_key() -> str:
    """The key of the environment, or nothing. Raises PlanningError for one that no header can hold."""
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise PlanningError(
            f"{KEY} holds a character that cannot be sent: one that is not ASCII, or a line's end",
            "copy the key again; a quote, a dash or another line may have come with it",
        )
    return key


def without_key(text: str) -> str:
    """A text to be shown, without the key. Never a reply that is still to be read: a key may be "x"."""
    key = os.environ.get(KEY, "").strip()
    if len(key) >= SHORTEST_KEY:
        return text.replace(key, "***")
    return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "***", text) if key else text


def url_shown(url: str) -> str:
    """A URL without the user name and password that it may hold. Raises PlanningError for what is none."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise PlanningError(f"--llm-base-url is no URL: {error}", "such as http://localhost:8000/v1") from None
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}" if url else ""


def _http_client(**hooks: Callable):
    """An HTTP client with the proxies of the environment. Raises PlanningError for those that it cannot use."""
    import openai

    names = [n for name in PROXIES for n in (name, name.lower()) if os.environ.get(n)]
    try:
        return openai.DefaultHttpxClient(event_hooks={name: [hook] for name, hook in hooks.items()})
    except ImportError:
        raise PlanningError(
            f"{' or '.join(names) or 'the system'} names a SOCKS proxy, and the package for that is not installed",
            "`pip install socksio`, or unset the proxy",
        ) from None
    except Exception as error:  # made of nothing but the environment: proxies and certificates
        raise PlanningError(
            f"no connection can be made by this environment: {plain(without_key(str(error)))[:200]}",
            f"check {', '.join(names or PROXIES)}, SSL_CERT_FILE and SSL_CERT_DIR",
        ) from None


def _go_on(left: threading.Event) -> None:
    """Raises TimeoutError where nobody waits for the answer any more: a request is not sent, a trickle not read."""
    if left.is_set():
        raise TimeoutError("nobody waits for this answer any more")


def _formats():
    """Response formats from the strictest: the schema, the schema without lengths of strings, none at all.

    OpenAI's own endpoint takes no `maxLength` in a strict schema; small models need it to come to an end.
    """
    bounded = reply_schema()
    for schema in (bounded, _without_lengths(copy.deepcopy(bounded))):
        yield {"type": "json_schema", "json_schema": {"name": "layout", "strict": True, "schema": schema}}
    yield None


def _without_lengths(schema):
    if isinstance(schema, dict):
        schema.pop("maxLength", None)
        for value in schema.values():
            _without_lengths(value)
    return schema
