"""The planner that needs no model: what the reader is sure of becomes boxes."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...errors import PlanningError
from ...layout import Layout
from ...text import plain
from . import lexicon as lex
from .clean import background, camera
from .compose import compose
from .reader import abstract_scene, read


class RulesPlanner:
    """Plans without any model; deterministic for a prompt. `tell` hears of doubts."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None):
        self.tell = tell

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where the prompt names no object."""
        text, mentions = read(prompt)
        if not mentions:
            raise PlanningError(
                f"the rules planner finds no object in {prompt!r}",
                "name the objects ('a red ball rolls right'), or give a layout with --layout",
            )
        if not lex.is_english(re.findall(r"[\w'-]+", text.lower())):
            self.tell(f"the rules planner knows English alone, and this is none: {text!r}; look at the layout")
        return Layout(
            prompt=plain(prompt),
            enriched_prompt=text if text != plain(prompt) else "",
            objects=compose(mentions),
            background=background(text),
            camera=camera(text),
            scene=abstract_scene(text, mentions),
        )
