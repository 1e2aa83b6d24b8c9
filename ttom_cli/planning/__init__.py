"""From a prompt to a layout."""

from __future__ import annotations

from typing import Protocol

from ..errors import unknown
from ..layout import Layout


class Planner(Protocol):
    """Anything that makes a layout from a prompt."""

    name: str

    def plan(self, prompt: str) -> Layout:
        """Raises PlanningError where no layout can be made."""


def _rules() -> Planner:
    from .rules import RulesPlanner

    return RulesPlanner()


PLANNERS = {"rules": _rules}


def make_planner(name: str) -> Planner:
    """The planner of that name. Raises TTOMError for an unknown one."""
    if name not in PLANNERS:
        raise unknown("planner", name, PLANNERS)
    return PLANNERS[name]()
