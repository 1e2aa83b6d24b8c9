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
    """Plans without any model; deterministic for a prompt. `tell` hears of doubts."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None):
        self.tell = tell

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt names no object."""
        reading = read_surely(prompt)
        text, mentions = reading.text, reading.mentions
        if not mentions:
            raise PlanningError(
                f"the rules planner finds no object that it is sure of in {prompt!r}",
                "name the objects in plain English ('a red ball rolls right'), give a --layout, or a language model "
                "with --planner openai",
            )
        if reading.left:
            self.tell(unsure_line(reading))
        return Layout(
            prompt=plain(prompt),
            enriched_prompt=text if text != plain(prompt) else "",
            objects=compose(mentions),
            background=background(text),
            camera=camera(text),
            scene=abstract_scene(text, mentions),
        )


def unsure_line(reading: Reading) -> str:
    """What is planned of a prompt that is read in part, and what is left alone."""
    planned, left = (", ".join(map(repr, dict.fromkeys(names))) for names in ([m.phrase for m in reading.mentions], reading.left))
    return f"the rules planner is sure of {planned} alone, and leaves the rest to the model: {left}"
