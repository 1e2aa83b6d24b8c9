"""From a prompt to a layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..config import PlannerConfig
from ..errors import PlanningError
from ..layout import Layout

DEFAULT_SIZE = (832, 480)


class Planner(Protocol):
    """Anything that makes a layout from a prompt."""

    def plan(self, prompt: str) -> Layout:
        """A checked layout. Raises PlanningError where none can be made."""


class WithFallback:
    """A planner, and another for what it cannot plan."""

    def __init__(self, first: Planner, second: Planner, tell: Callable[[str], None]):
        self.first, self.second, self.tell = first, second, tell

    def plan(self, prompt: str) -> Layout:
        try:
            return self.first.plan(prompt)
        except PlanningError as error:
            self.tell(f"{error.message}; the rules planner plans instead")
            return self.second.plan(prompt)


class AutoPlanner:
    """The rules where they are sure, else the language model where there is one, else what the rules are sure of.

    `fallback` says what comes last: rules, none (no plan at all), or error.
    """

    def __init__(self, rules, model: Planner | None, fallback: str, tell: Callable[[str], None]):
        self.rules, self.model, self.fallback, self.tell = rules, model, fallback, tell

    def plan(self, prompt: str) -> Layout:
        layout, doubt = self.rules.draft(prompt)
        if layout and not doubt:
            return layout
        if self.model:
            try:
                return self.model.plan(prompt)
            except PlanningError as error:
                if self.fallback == "error":
                    raise
                self.tell(error.message)
        if layout is None or self.fallback != "rules":
            raise doubt
        self.tell(doubt.message)
        return layout


def make_planner(
    config: PlannerConfig | None = None,
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    tell: Callable[[str], None] = lambda _: None,
) -> Planner:
    """The planner of a configuration; `size` is the video's (width, height), `tell` hears of repairs and doubts."""
    from .rules import RulesPlanner
    from .template import read_template

    config = config or PlannerConfig()
    rules, model = RulesPlanner(tell), None
    if config.template:
        read_template(config.template)  # what is wrong with it is said even where no model is asked
    if config.planner == "openai" or (config.planner == "auto" and config.has_model):
        from .llm import LLMPlanner

        model = LLMPlanner(config, size, tell)
    if config.planner == "openai":
        return WithFallback(model, rules, tell) if config.planner_fallback == "rules" else model
    fallback = config.planner_fallback or "rules"
    if config.planner == "rules" and fallback == "rules":
        return rules
    return AutoPlanner(rules, model, fallback, tell)
