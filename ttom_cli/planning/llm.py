"""The LLM planner: one call to any OpenAI-compatible endpoint, checked, and sent back where it is wrong."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

from ..config import PlannerConfig
from ..errors import LayoutError, PlanningError, TTOMError
from ..layout import Layout, layout_from_json, schema_faults
from ..text import plain
from .cache import PlanCache
from .check import check
from .template import read_template

KEY = "OPENAI_API_KEY"
REPAIRS = 2  # times that a reply is sent back
LONGEST = 60_000  # characters of a reply that are read
ATTEMPTS = 100  # braces of a reply that are tried as its beginning
MAX_TOKENS = 4096


class LLMPlanner:
    """Plans by a language model; keeps the connection, and what the server can do, between prompts.

    `size` is (width, height) in pixels. `tell` gets a line for each repair and each reply sent back.
    """

    def __init__(self, config: PlannerConfig, size: tuple[int, int], tell: Callable[[str], None] = lambda _: None):
        self.config, self.size, self.tell = config, size, tell
        self.template = read_template(config.template)
        self.cache = PlanCache(config.cache_folder) if config.cache else None
        self._formats = list(_formats())
        self._options = {"temperature": 0.2, "max_tokens": MAX_TOKENS}
        self._client = None

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the server or its replies are of no use."""
        request = self._request(prompt)
        data = None if self.cache is None or self.config.refresh else self.cache.read(request)
        if data is not None:
            try:
                return check(layout_from_json(data, prompt=prompt), trust=self.config.trust_layout)[0]
            except LayoutError:
                pass  # written by another version, or by hand: ask again
        layout = self._ask(prompt)
        if self.cache is not None:
            try:
                self.cache.write(request, layout.to_json())
            except TTOMError as error:  # the answer has been paid for
                self.tell(f"{error.message} ({error.hint})")
        return layout

    def _request(self, prompt: str) -> dict:
        """What makes a request the same as another."""
        return {
            "prompt": prompt,
            "model": self.config.llm_model,
            "url": _host(self.config.llm_base_url),
            "template": self.template.digest,
            "size": list(self.size),
        }

    def _ask(self, prompt: str) -> Layout:
        messages = self.template.messages(prompt, self.size)
        for attempt in range(REPAIRS + 1):
            reply = self._complete(messages)
            try:
                layout, notes = check(
                    read_reply(reply, prompt), "the reply", whole=True, trust=self.config.trust_layout
                )
            except LayoutError as error:
                if attempt == REPAIRS:
                    raise PlanningError(
                        f"after {REPAIRS} corrections the model's layout still cannot be used: "
                        + "; ".join(error.faults),
                        "try a larger --llm-model, or --planner-fallback rules",
                    ) from None
                self.tell(f"the reply is sent back: {'; '.join(error.faults)}")
                messages += [{"role": "assistant", "content": reply[:8000]}, self.template.repair(error.faults)]
            else:
                for note in notes:
                    self.tell(note)
                return layout
        raise AssertionError("unreachable")

    def _complete(self, messages: list[dict]) -> str:
        """The text of one completion, by the best response format and with the options that the server takes."""
        import openai

        while True:
            form = {"response_format": self._formats[0]} if self._formats[0] else {}
            try:
                answer = self._connect().chat.completions.create(
                    model=self.config.llm_model, messages=messages, **self._options, **form
                )
            except openai.APIStatusError as error:
                if not self._give_way(error):
                    raise self._failure(error) from None
                continue
            except (openai.OpenAIError, ValueError) as error:
                raise self._failure(error) from None
            try:
                message = answer.choices[0].message
                content, refusal = message.content or "", getattr(message, "refusal", None)
            except (AttributeError, TypeError, LookupError):
                content = refusal = None
            if refusal:
                raise PlanningError(f"the model refused to plan: {self._clean(str(refusal))}")
            if not isinstance(content, str):
                raise PlanningError("the planner's server sent no message", "is --llm-base-url a chat endpoint?")
            return self._without_key(content[:LONGEST])

    def _give_way(self, error) -> bool:
        """Leave out what the server says that it cannot take; False where that is nothing of ours."""
        said = str(error).lower()
        if error.status_code in (400, 422):
            for name in [n for n in self._options if n in said]:
                value = self._options.pop(name)
                if name == "max_tokens" and "max_completion_tokens" in said:
                    self._options["max_completion_tokens"] = value
                return True
        about = any(word in said for word in ("response_format", "schema", "json", "grammar"))
        if error.status_code in (400, 422, 500, 501) and about and self._formats[0]:
            self._formats.pop(0)
            return True
        return False

    def _connect(self):
        import openai

        if self._client is None:
            key = os.environ.get(KEY, "").strip()
            if not key and not self.config.llm_base_url:
                raise PlanningError(f"{KEY} is not set", "set it, or name a server of your own with --llm-base-url")
            self._client = openai.OpenAI(
                api_key=key or "none",
                base_url=self.config.llm_base_url or None,
                timeout=self.config.llm_timeout,
                max_retries=self.config.llm_retries,  # with backoff, and Retry-After obeyed
            )
        return self._client

    def _failure(self, error: Exception) -> PlanningError:
        """One line on what went wrong, without the key."""
        import openai

        where = _host(self.config.llm_base_url) or "OpenAI"
        if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
            return PlanningError(f"{where} refused the key ({error.status_code})", f"check {KEY}")
        if isinstance(error, openai.NotFoundError):
            return PlanningError(
                f"{where} knows no model {self.config.llm_model!r} (404)", "check --llm-model and --llm-base-url"
            )
        if isinstance(error, openai.RateLimitError):
            return PlanningError(f"{where} is rate-limiting (429): {self._said(error)}", "wait, or raise --llm-retries")
        if isinstance(error, openai.APIStatusError):
            return PlanningError(f"{where} answered {error.status_code}: {self._said(error)}")
        if isinstance(error, openai.APITimeoutError):
            return PlanningError(f"{where} did not answer in {self.config.llm_timeout:g} s", "raise --llm-timeout")
        if isinstance(error, openai.APIConnectionError):
            return PlanningError(f"{where} cannot be reached, or broke off its reply", "check --llm-base-url")
        return PlanningError(f"{where} sent an answer that cannot be read: {self._clean(str(error))}")

    def _said(self, error) -> str:
        body = error.body if isinstance(error.body, dict) else {}
        return self._clean(str(body.get("message") or error.message))

    def _clean(self, text: str) -> str:
        """A server's words, short, on one line, and without the key if it says it back."""
        return plain(self._without_key(text))[:300]

    def _without_key(self, text: str) -> str:
        key = os.environ.get(KEY, "").strip()
        return text.replace(key, "***") if key else text


def _formats():
    """Response formats from the strictest: the schema, the schema without lengths of strings, none at all.

    OpenAI's own endpoint takes no `maxLength` in a strict schema; small models need it to come to an end.
    """
    bounded = reply_schema()
    for schema in (bounded, _without_lengths(copy.deepcopy(bounded))):
        yield {"type": "json_schema", "json_schema": {"name": "layout", "strict": True, "schema": schema}}
    yield None


@cache
def reply_schema() -> dict:
    """The JSON schema of a model's reply: as a layout, but with the instances of an object together."""
    return json.loads((resources.files(__package__) / "reply.json").read_text(encoding="utf-8"))


def _without_lengths(schema):
    if isinstance(schema, dict):
        schema.pop("maxLength", None)
        for value in schema.values():
            _without_lengths(value)
    return schema


def _host(url: str) -> str:
    """A URL without the user name and password that it may hold. Raises PlanningError for what is none."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise PlanningError(f"--llm-base-url is no URL: {error}", "such as http://localhost:8000/v1") from None
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}" if url else ""


def read_reply(reply: str, prompt: str) -> Layout:
    """The layout in a model's reply, which may be fenced or framed by talk. Raises LayoutError."""
    data = _find_json(reply)
    faults = list(schema_faults(data, reply_schema()))
    if faults:
        raise LayoutError(faults[:8], "the reply")
    objects = []
    for entry in data["objects"]:
        if entry["count"] != len(entry["instances"]):
            faults.append(
                f"object {entry['phrase']!r} has count {entry['count']} and {len(entry['instances'])} instances"
            )
        for instance in entry["instances"]:
            objects.append({k: entry[k] for k in ("phrase", "word", "attributes")} | {"boxes": instance["boxes"]})
    if faults:
        raise LayoutError(faults, "the reply")
    rest = {k: data[k] for k in ("enriched_prompt", "background", "camera", "scene")}
    return layout_from_json({"prompt": prompt, **rest, "objects": objects}, source="the reply")


def _find_json(reply: str):
    """The first JSON object with `objects`, else the first, whatever it is; a model thinks aloud in braces too."""
    decoder, start, first = json.JSONDecoder(parse_constant=_no_constant), reply.find("{"), None
    for _ in range(ATTEMPTS):
        if start < 0:
            break
        try:
            found, after = decoder.raw_decode(reply, start)
            if "objects" in found:
                return found
        except RecursionError:
            found, after = LayoutError(["it is nested too deeply"], "the reply"), len(reply)
        except ValueError as error:
            found, after = LayoutError([f"it is no complete JSON object: {error}"], "the reply"), start + 1
        first = first or found
        start = reply.find("{", after)
    if isinstance(first, dict):
        return first
    raise first or LayoutError(["it holds no JSON object"], "the reply")


def _no_constant(name: str):
    raise ValueError(f"{name} is no number of JSON")
