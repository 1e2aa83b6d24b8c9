"""A bias on the attention, which costs no optimisation: training-free control as in DiTraj (arXiv 2509.21839).

Letters: B batch, N heads, L queries, S keys, D head dim, P phrases.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from ...backbones import Backbone
from ...config import GuideConfig
from ..tap import Intercepted
from ..targets import Targets
from .way import Way


class Attention(Way):
    """In guided steps, in the conditional branch, `config.bias` is added to the scores of a phrase's tokens where its
    box is, and taken off elsewhere, in all frames in which the object is present.

    A mask over all scores would be as large as they are, and would keep PyTorch from its fast kernels. But the bias is
    a product of thin matrices, places x phrases and phrases x tokens; so it enters as a few more dimensions of each
    head's queries and keys.
    """

    def __init__(
        self, denoiser: torch.nn.Module, backbone: Backbone, config: GuideConfig, targets: Callable[[], Targets]
    ):
        self.backbone, self.weight, self.targets = backbone, config.bias, targets
        blocks = config.bias_blocks or range(backbone.blocks(denoiser))
        self.modules = {b: backbone.text_attention(denoiser, b) for b in blocks}

    def tables(self) -> None:
        """What the targets come to, which are known once the call has begun."""
        targets = self.targets()
        self.columns = targets.columns
        self.owners = torch.tensor([p for p, span in enumerate(targets.phrases) for _ in span])
        bias_PFHW = self.weight * (2 * targets.inside - 1) * targets.present[..., None, None]
        self.bias_LP = bias_PFHW.flatten(1).T

    def acts(self, *, conditional, guided):
        return conditional and guided

    @contextmanager
    def applied(self, acting, kwargs):
        if not acting:
            yield kwargs
            return
        self.tables()
        with Biased(self, kwargs):
            yield kwargs

    def biased(self, kwargs: dict, query_BNLD, key_BNSD, value_BNSD, more: dict) -> torch.Tensor:
        """The attention with the bias on its scores: (B, N, L, D)."""
        device, dim = query_BNLD.device, query_BNLD.shape[-1]
        keys = self.backbone.key_columns(self.columns.to(device), key_BNSD.shape[2], kwargs)
        rows = self.backbone.video_rows(key_BNSD.shape[2], kwargs)
        wide = -(-self.bias_LP.shape[1] // 8) * 8  # kernels want multiples of eight
        where, whose = (z.new_zeros(*z.shape[:3], wide) for z in (query_BNLD, key_BNSD))
        scale = more.get("scale") or dim**-0.5  # the products are scaled after the bias has come in
        where[:, :, rows, : self.bias_LP.shape[1]] = (self.bias_LP / scale).to(where)
        whose[:, :, keys, self.owners.to(device)] = 1
        output = F.scaled_dot_product_attention(
            torch.cat([query_BNLD, where], -1), torch.cat([key_BNSD, whose], -1), F.pad(value_BNSD, (0, wide)),
            **{**more, "scale": scale},
        )  # fmt: skip
        return output[..., :dim]


class Biased(Intercepted):
    """Within it, the attention of the way's blocks has its bias; `kwargs` are the arguments of the denoiser's call."""

    def __init__(self, way: Attention, kwargs: dict):
        super().__init__(way.modules, way.backbone.which)
        self.way, self.kwargs = way, kwargs

    def attend(self, name, query, key, value, more):
        return self.way.biased(self.kwargs, query, key, value, more)
