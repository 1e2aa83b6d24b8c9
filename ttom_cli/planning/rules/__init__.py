"""The offline planner: it reads plain English by rules."""

from .planner import RulesPlanner
from .reader import read

__all__ = ["RulesPlanner", "read"]
