"""The planner that needs no model: what the reader is sure of becomes boxes."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import PlanningError
from ...layout import Layout
from ...text import plain
from .clean import background, camera
from .compose import compose
from .reader import Reading, abstract_scene, read_surely


class RulesPlanner:
    """Plans without any model; deterministic for a prompt. `tell` hears of what is left alone."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None):
        self.tell = tell

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt surely names no object."""
        reading = read_surely(prompt)
        if not reading.mentions:
            raise self.doubt(prompt)
        if reading.left:
            self.tell(f"the rules planner is sure of {_listed(reading)} alone; left alone: {_quoted(reading.left)}")
        text = reading.text
        return Layout(
            prompt=plain(prompt),
            enriched_prompt=text if text != plain(prompt) else "",
            objects=compose(reading.mentions),
            background=background(text),
            camera=camera(text),
            scene=abstract_scene(text, reading.mentions),
        )

    def is_sure(self, prompt: str) -> bool:
        """Whether all that the prompt names was read."""
        reading = read_surely(prompt)
        return bool(reading.mentions) and not reading.left

    def doubt(self, prompt: str) -> PlanningError:
        """What to say of a prompt that is not surely read."""
        reading = read_surely(prompt)
        if reading.mentions:
            said = f"the rules planner is sure of {_listed(reading)} alone in {prompt!r}"
        else:
            said = f"the rules planner finds no object that it is sure of in {prompt!r}"
        return PlanningError(
            said,
            "name the objects in plain English ('a red ball rolls right'), give a --layout, or a language model with "
            "--llm-model",
        )


def _listed(reading: Reading) -> str:
    return _quoted([mention.phrase for mention in reading.mentions])


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(names)))
