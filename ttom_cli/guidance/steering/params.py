"""The paper's way (section 3.2): small new parameters, optimised while the video is made."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from ...config import GuideConfig
from ..adapter import Adapter, Folded
from .way import Way


class Params(Way):
    """A LoRA, entered and left by whoever opens the guide; with `optimise` off it is used as it is."""

    def __init__(self, adapter: Adapter | Folded, config: GuideConfig, *, optimise: bool):
        self.adapter, self.config, self.learns = adapter, config, optimise
        self._optimizer = adamw(adapter, config) if optimise else None

    def leaves(self):
        return self.adapter.parameters()

    def begin(self, step, kwargs):
        self.adapter.switch(True)

    def state(self):
        return self.adapter.state() if self.learns else {}

    def descend(self):
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def acts(self, *, conditional, guided):
        return (conditional or not self.config.conditional_only) and (guided or self.config.keep_on)

    @contextmanager
    def applied(self, acting, kwargs):
        self.adapter.switch(acting)
        yield kwargs


def adamw(adapter: Adapter, config: GuideConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(adapter.parameters(), lr=config.lr, fused=True)
