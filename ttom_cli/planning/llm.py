"""The LLM planner: one call to any OpenAI-compatible endpoint, checked, and sent back where it is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..config import PlannerConfig
from ..errors import LayoutError, PlanningError, TTOMError
from ..layout import Layout, layout_from_json
from .cache import PlanCache
from .check import check
from .endpoint import Endpoint, url_shown, without_key
from .replies import is_talk, read_reply
from .template import read_template

REPAIRS = 2  # times that a reply is sent back


class LLMPlanner:
    """Plans by a language model; keeps the connection, and what the server can do, between prompts.

    `size` is (width, height) in pixels. `tell` gets a line for each repair and each reply sent back.
    """

    def __init__(self, config: PlannerConfig, size: tuple[int, int], tell: Callable[[str], None] = lambda _: None):
        self.config, self.size = config, size
        self.tell = lambda line: tell(without_key(line))
        self.template = read_template(config.template)
        self.cache = PlanCache(config.cache_folder) if config.cache else None
        self.endpoint = Endpoint(config, self.tell)

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
            "url": url_shown(self.config.llm_base_url),
            "template": self.template.digest,
            "size": list(self.size),
        }

    def _ask(self, prompt: str) -> Layout:
        messages, talked = self.template.messages(prompt, self.size), False
        deadline = time.monotonic() + self.config.llm_total_timeout
        for attempt in range(REPAIRS + 1):
            reply, mended = self.endpoint.complete(messages, deadline), []
            try:
                layout, notes = check(
                    read_reply(reply, prompt, mended.append), "the reply", whole=True, trust=self.config.trust_layout
                )
            except LayoutError as error:
                faults = without_key("; ".join(error.faults))
                if talked and is_talk(reply):
                    raise PlanningError(
                        f"the model gives no layout, but says: {self.endpoint.clean(reply)}",
                        "say the prompt in other words, or try another --llm-model",
                    ) from None
                if attempt == REPAIRS:
                    raise PlanningError(
                        f"after {REPAIRS} corrections the model's layout still cannot be used: {faults}",
                        "try a larger --llm-model, or --planner-fallback rules",
                    ) from None
                self.tell(f"the reply is sent back: {faults}")
                messages += [
                    {"role": "assistant", "content": reply[:8000] or "(nothing)"},
                    self.template.repair(error.faults),
                ]
                talked = is_talk(reply)
            else:
                for note in [*mended, *notes]:
                    self.tell(note)
                return layout
        raise AssertionError("unreachable")
