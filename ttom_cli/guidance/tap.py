"""Read attention from unmodified processors by watching `scaled_dot_product_attention`.

Letters in names: B batch, N heads, L video tokens, S keys, T phrase tokens, D head dim.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import AttentionBackendName
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

CHUNK_ELEMENTS = 2**26  # attention scores held at once: 256 MB in float32


class Truncated(Exception):
    """Ends a forward once its last tapped attention has been read."""


class Tap(TorchFunctionMode):
    """Within `with Tap(...)`, each named module's attention is given to `read` as (name, query, key, mask).

    `modules` maps a name to the attention module. Query and key are (B, N, L, D) and (B, N, S, D) as
    they reach the softmax, after norms and rotary positions; the mask is that of the call, or None. With
    `truncate` the forward is left by `Truncated` after the last of them.
    """

    def __init__(self, modules: dict[int, torch.nn.Module], read: Callable, *, truncate: bool = True):
        super().__init__()
        self.modules, self.read, self.truncate = modules, read, truncate
        self.current: int | None = None
        self.left: set[int] = set()
        self.handles: list = []
        self.backends: list[tuple] = []

    def __enter__(self):
        self.left = set(self.modules)
        for name, module in self.modules.items():
            self.handles.append(module.register_forward_pre_hook(self._entering(name)))
            processor = getattr(module, "processor", None)
            if hasattr(processor, "_attention_backend"):  # whatever runs the rest, this attention is PyTorch's
                self.backends.append((processor, processor._attention_backend))
                processor._attention_backend = AttentionBackendName.NATIVE
        return super().__enter__()

    def __exit__(self, *exc):
        while self.handles:
            self.handles.pop().remove()
        while self.backends:
            processor, backend = self.backends.pop()
            processor._attention_backend = backend
        return super().__exit__(*exc)

    def _entering(self, name: int):
        def hook(module, args):
            self.current = name

        return hook

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and self.current is not None:
            name, self.current = self.current, None
            query = kwargs["query"] if "query" in kwargs else args[0]
            key = kwargs["key"] if "key" in kwargs else args[1]
            scale = kwargs.get("scale") or query.shape[-1] ** -0.5
            self.read(name, query * scale, key, kwargs.get("attn_mask"))
            self.left.discard(name)
            if self.truncate and not self.left:
                raise Truncated
        return func(*args, **kwargs)


def phrase_attention(query_BNLD, key_BNSD, columns: torch.Tensor, mask=None) -> torch.Tensor:
    """Attention probability of each video token on each of the phrase's keys, mean over heads.

    `query` is already scaled; `columns` are the T key indices; `mask` is (B, 1 or N, 1, S), boolean or added.
    The softmax runs over all S keys, in float32, by chunks of video tokens, so that the L x S map is never
    held whole: (B, L, T).
    """
    B, N, L, _ = query_BNLD.shape
    rows = max(1, CHUNK_ELEMENTS // (B * N * key_BNSD.shape[2]))
    if rows >= L:
        return _columns(query_BNLD, key_BNSD, columns, mask)
    parts = [checkpoint(_columns, q, key_BNSD, columns, mask, use_reentrant=False) for q in query_BNLD.split(rows, 2)]
    return torch.cat(parts, 1)


def _columns(query_BNLD, key_BNSD, columns, mask) -> torch.Tensor:
    scores_BNLS = (query_BNLD @ key_BNSD.transpose(-1, -2)).float()
    if mask is not None and mask.dtype == torch.bool:
        scores_BNLS = scores_BNLS.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores_BNLS = scores_BNLS + mask
    chosen_BNLT = scores_BNLS[..., columns] - scores_BNLS.logsumexp(-1, keepdim=True)
    return chosen_BNLT.exp().mean(1)
