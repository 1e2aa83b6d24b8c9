"""A mean over prompts with the interval that another draw of prompts would likely fall into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float | None], seed: int = 0) -> Estimate | None:
        """Of one value a prompt, by the percentile bootstrap; None, where a prompt has no value, is left out.

        None if no prompt has one.
        """
        given = np.array([v for v in values if v is not None], float)
        if not len(given):
            return None
        drawn = np.random.default_rng(seed).integers(len(given), size=(RESAMPLES, len(given)))
        low, high = np.percentile(given[drawn].mean(1), (2.5, 97.5))
        return Estimate(float(given.mean()), float(low), float(high))

    @property
    def half(self) -> float:
        """The interval's longer arm."""
        return max(self.high - self.value, self.value - self.low)
