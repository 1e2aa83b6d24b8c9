"""What a chat endpoint sends: which text of a completion counts, the server's own words, and the layout in a reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ..errors import LayoutError
from ..layout import Layout, layout_from_json, schema_faults
from ..text import plain

LONGEST = 60_000  # characters of a reply that are read
ATTEMPTS = 1000  # braces of a reply that are tried as its beginning
DEEPEST = 4  # wrappers, or levels of a server's error, that are opened
THOUGHT = re.compile(
    r"</(?:[\w-]+:)?(?:think|thinking|thought|reasoning)>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>", re.I
)
THINKING = re.compile(
    r"<(?:[\w-]+:)?(?:think|thinking|thought|reasoning)>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>", re.I
)
PAGE = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.I)
CUT = ("length", "max_tokens", "model_length")  # finish reasons of a reply that reached a limit
FILTERED = ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii")  # and of one held back


# ---------------------------------------------------------------- a completion


@dataclass(frozen=True)
class Completion:
    """Of a chat completion, what counts."""

    text: str = ""
    """What was answered, without any thinking before it."""
    finish: str = ""
    """Why it ended, as the server calls it, in small letters."""
    refusal: str = ""
    fault: str | None = None
    """None: there is a message. Else the server's words in place of one; empty where it said nothing."""


def read_completion(body: object) -> Completion:
    """The completion in a response's JSON, whatever that is: servers answer 200 with an error, or with nothing."""
    body = body if isinstance(body, dict) else {"message": body}
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    fault = server_words(body.get("error")) or server_words(choice.get("error"))
    if fault or not isinstance(message, dict):
        rest = {k: v for k, v in body.items() if k != "choices"}
        return Completion(fault=fault or server_words(rest) or (json.dumps(rest["error"]) if rest.get("error") else ""))
    said = [_text(message.get("content")), *_arguments(message)]
    finish = str(choice.get("finish_reason") or "").lower()
    refusal = message.get("refusal") or _refusal(message.get("content"))
    answer = "\n".join(filter(None, (after_thinking(t or "") for t in said)))[:LONGEST]
    if not answer and finish not in CUT:  # the server took the whole reply for thinking
        thought = next(filter(None, (_text(message.get(k)) for k in ("reasoning_content", "reasoning"))), "")
        answer = (after_thinking(thought) or THINKING.sub("", thought))[-LONGEST:]
    unknown = message.get("content") is not None and all(t is None for t in said)
    if unknown and not (answer or refusal):
        return Completion(fault="")
    return Completion(answer, finish, str(refusal or ""))


def after_thinking(text: str) -> str:
    """What follows the last end of thinking; what is being thought when the text ends is left out."""
    text = THOUGHT.split(text)[-1]
    opened = THINKING.search(text)
    return (text[: opened.start()] if opened else text).strip()


def _text(content: object) -> str | None:
    """A message's content, which may be a text, a list of parts, or JSON that is parsed already; None: neither."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [_text(p) for p in content if not (isinstance(p, dict) and "think" in str(p.get("type")))]
        found = [p for p in parts if p is not None]
        return "".join(found) if found else None
    if not isinstance(content, dict) or content.get("type") in ("reasoning", "refusal"):
        return None
    for name in ("text", "value", "json", "input"):
        if name in content:
            return _text(content[name])
    return json.dumps(content, ensure_ascii=False)


def _refusal(content: object) -> str:
    parts = content if isinstance(content, list) else []
    return "".join(str(p["refusal"]) for p in parts if isinstance(p, dict) and p.get("refusal"))


def _arguments(message: dict) -> Iterator[str | None]:
    """What a model gives to tools, in place of an answer or beside it."""
    calls = message.get("tool_calls")
    calls = [c for c in calls if isinstance(c, dict)] if isinstance(calls, list) else []
    for call in [*(c.get("function") or c.get("custom") for c in calls), message.get("function_call")]:
        if isinstance(call, dict):
            yield _text(call.get("arguments") or call.get("input"))


def server_words(body: object, depth: int = DEEPEST) -> str:
    """What a server says of an error, however it is wrapped: an object, a list of them, a text, or a page of HTML."""
    if isinstance(body, str):
        body = body[:LONGEST]
        if PAGE.match(body):
            body = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", body, flags=re.S | re.I)
        return plain(body)
    if depth == 0:
        return ""
    if isinstance(body, list):
        return "; ".join(list(filter(None, (server_words(b, depth - 1) for b in body[:8])))[:3])
    if not isinstance(body, dict):
        return ""
    names = ("message", "error", "errors", "detail", "msg", "error_message", "status_msg", "base_resp", "reason")
    said = next(filter(None, (server_words(body.get(name), depth - 1) for name in names)), "")
    more = body.get("metadata")  # of a router: what the provider behind it says
    more = server_words(more.get("raw"), depth - 1) if isinstance(more, dict) else ""
    return f"{said}: {more}" if said and more else said or more


# ---------------------------------------------------------------- the layout


@cache
def reply_schema() -> dict:
    """The JSON schema of a model's reply: as a layout, but with the instances of an object together."""
    return json.loads((resources.files(__package__) / "reply.json").read_text(encoding="utf-8"))


def read_reply(reply: str, prompt: str, tell: Callable[[str], None] = lambda _: None) -> Layout:
    """The layout in a model's reply, which may be fenced or framed by talk; `tell` hears what is mended.

    Raises LayoutError.
    """
    data = _find_layout(reply, tell)
    dropped: dict[str, None] = {}
    data = _known(data, reply_schema(), dropped)
    faults = list(schema_faults(data, reply_schema()))
    if faults:
        raise LayoutError(faults[:8], "the reply")
    if dropped:
        tell(f"of the reply, what no layout has is left out: {plain(', '.join(map(repr, dropped)))[:200]}")
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


def holds_layout(reply: str) -> bool:
    """Whether a whole JSON object with `objects` stands in the reply."""
    try:
        return isinstance(_find_layout(reply, lambda _: None).get("objects"), list)
    except LayoutError:
        return False


def is_talk(reply: str) -> bool:
    """Whether the reply is words alone, such as a refusal or a question."""
    return "{" not in reply and bool(reply.strip())


def _find_layout(reply: str, tell: Callable[[str], None]) -> dict:
    """The last JSON object with `objects`, by strict JSON, else by a tolerant parser; else the first, whatever it is.

    The last, since a model that thinks aloud drafts before it answers. Raises LayoutError.
    """
    found, first, fault = None, None, None
    for data, error in _strictly(reply):
        fault = fault or error
        if isinstance(data, dict):
            found = _opened(data) or found
            first = data if first is None and fault is None else first
    if found is None:
        found = next(filter(None, map(_opened, _tolerantly(reply))), None)
        if found:
            tell(f"the reply's JSON is mended; strictly, {fault}")
    if found is not None:
        layout, wrappers = found
        if wrappers:
            tell(f"the reply's layout is taken out of {plain('.'.join(wrappers))[:100]!r}")
        return layout
    if first is not None:
        return first
    if fault is None:
        fault = (
            f"it holds no JSON object, but says: {plain(reply)[:300]}"
            if reply.strip()
            else "it is empty, thinking aside"
        )
    raise LayoutError([fault], "the reply")


def _strictly(text: str) -> Iterator[tuple[object, str | None]]:
    """(value, None) of each JSON object in a text, and (None, fault) for each brace that begins none."""
    decoder, start = json.JSONDecoder(parse_constant=_no_constant), text.find("{")
    for _ in range(ATTEMPTS):
        if start < 0:
            return
        try:
            found, after = decoder.raw_decode(text, start)
            yield found, None
        except RecursionError:
            yield None, "it is nested too deeply"
            return
        except ValueError as error:
            yield None, f"it is no complete JSON object: {error}"
            after = start + 1
        start = text.find("{", after)


def _no_constant(name: str):
    raise ValueError(f"{name} is no number of JSON")


def _tolerantly(text: str) -> list[dict]:
    """Objects with trailing commas, comments, single quotes and the like, last first.

    The parser would make an object of any prose, and end one that was cut off: it gets only what speaks of `objects`
    and is closed.
    """
    import json_repair

    found = []
    for part in _closed(text):
        if "objects" not in part:
            continue
        try:
            data = json_repair.loads(part, skip_json_loads=True)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            found.insert(0, data)
    return found


def _closed(text: str) -> Iterator[str]:
    """From each outer brace to the one that closes it; braces that are never closed are no outer ones."""
    opened, pairs, last = [], [], 0
    for brace in re.finditer(r"[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            pairs.append((opened.pop(), brace.end()))
    for start, end in sorted(pairs):
        if start >= last:
            yield text[start:end]
            last = end


def _opened(data: object, wrappers: tuple[str, ...] = ()) -> tuple[dict, tuple[str, ...]] | None:
    """(layout, names) of the layout in objects or texts around it: {"layout": ...}, a tool's arguments, ..."""
    if isinstance(data, str) and wrappers and data.lstrip().startswith("{"):
        data = next(_strictly(data))[0]
    if not isinstance(data, dict) or len(wrappers) > DEEPEST:
        return None
    if isinstance(data.get("objects"), list):
        return data, wrappers
    for name, value in data.items():
        found = _opened(value, (*wrappers, name))
        if found:
            beside = {k: v for k, v in data.items() if k != name and k in reply_schema()["properties"]}
            return beside | found[0], found[1]
    return None


def _known(data: object, schema: dict, dropped: dict[str, None]) -> object:
    """The data without keys that the schema does not know; their names are put into `dropped`."""
    if isinstance(data, dict) and "properties" in schema:
        known = schema["properties"]
        dropped |= dict.fromkeys(k for k in data if k not in known)
        return {k: _known(v, known[k], dropped) for k, v in data.items() if k in known}
    if isinstance(data, list) and "items" in schema:
        return [_known(v, schema["items"], dropped) for v in data]
    return data
