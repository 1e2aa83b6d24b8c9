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


def make_planner(
    config: PlannerConfig | None = None,
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    tell: Callable[[str], None] = lambda _: None,
) -> Planner:
    """The planner of a configuration; `size` is the video's (width, height), `tell` hears of repairs."""
    from .rules import RulesPlanner

    config = config or PlannerConfig()
    rules = RulesPlanner(tell)
    if config.planner == "rules":
        return rules
    from .llm import LLMPlanner

    planner = LLMPlanner(config, size, tell)
    return WithFallback(planner, rules, tell) if config.planner_fallback else planner
