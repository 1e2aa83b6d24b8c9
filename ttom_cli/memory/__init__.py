"""The memory bank: adapters learnt on earlier prompts, found again by the scene they were learnt for."""

from .bank import MemoryBank, Recall
from .entry import Entry

__all__ = ["Entry", "MemoryBank", "Recall"]
