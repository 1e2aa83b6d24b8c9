"""The planner that needs no model: what the reader is sure of becomes boxes."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import PlanningError
from ...layout import Layout
from ...text import plain
from ..certain import contradictions
from .clean import background, camera
from .compose import compose
from .reader import Reading, abstract_scene, read_surely


class RulesPlanner:
    """Plans without any model; deterministic for a prompt. `tell` hears of what is left alone."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None):
        self.tell = tell

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt surely names no object."""
        layout, doubt = self.draft(prompt)
        if layout is None:
            raise doubt
        if doubt:
            self.tell(doubt.message)
        return layout

    def draft(self, prompt: str) -> tuple[Layout | None, PlanningError | None]:
        """The layout of what is sure, and the doubt where that is not all; no layout where nothing is."""
        reading = read_surely(prompt)
        if not reading.mentions:
            return None, _doubt(f"finds no object that it is sure of in {prompt!r}")
        layout = _layout(prompt, reading)
        if against := next(contradictions(layout), None):
            return None, _doubt(f"does not understand {prompt!r}: {against}")
        if reading.left:
            return layout, _doubt(f"is sure of {_listed(reading)} alone; left alone: {_quoted(reading.left)}")
        return layout, None


def _layout(prompt: str, reading: Reading) -> Layout:
    text = reading.text
    return Layout(
        prompt=plain(prompt),
        enriched_prompt=text if text != plain(prompt) else "",
        objects=compose(reading.mentions),
        background=background(text),
        camera=camera(text),
        scene=abstract_scene(text, reading.mentions),
    )


def _doubt(said: str) -> PlanningError:
    return PlanningError(
        f"the rules planner {said}",
        "name the objects in plain English ('a red ball rolls right'), give a --layout, or a language model with "
        "--llm-model",
    )


def _listed(reading: Reading) -> str:
    return _quoted([mention.phrase for mention in reading.mentions])


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(names)))
