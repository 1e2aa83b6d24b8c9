"""Read or change the attention of unmodified processors, where they call `scaled_dot_product_attention`.

Letters in names: B batch, N heads, L video tokens, S keys, T phrase tokens, D head dim.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import AttentionBackendName
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

Which = Callable[[torch.nn.Module], int]
CHUNK_ELEMENTS = 2**26  # attention scores held at once: 256 MB in float32


class Truncated(Exception):
    """Ends a forward once its last tapped attention has been read."""


class Intercepted:
    """Within it, one attention of each named module is what `attend` makes of it: here, what it is.

    `modules` maps a name to the attention module; `which` says the number of the attention in that, from 0.
    """

    def __init__(self, modules: dict[int, torch.nn.Module], which: Which = lambda module: 0):
        self.modules, self.which = modules, which
        self.handles: list = []
        self.backends: list[tuple] = []

    def attend(self, name: int, query, key, value, more: dict) -> torch.Tensor:
        """The output (B, N, L, D) of query (B, N, L, D), key and value (B, N, S, D), as they reach PyTorch's attention
        after norms and rotary positions, and of the call's further arguments."""
        return F.scaled_dot_product_attention(query, key, value, **more)

    def __enter__(self):
        for name, module in self.modules.items():
            watch = _Watch(functools.partial(self.attend, name), self.which(module))
            self.handles.append(module.register_forward_pre_hook(watch.open))
            self.handles.append(module.register_forward_hook(watch.close, always_call=True))
            processor = getattr(module, "processor", None)
            if hasattr(processor, "_attention_backend"):  # whatever runs the rest, this attention is PyTorch's
                self.backends.append((processor, processor._attention_backend))
                processor._attention_backend = AttentionBackendName.NATIVE
        return self

    def __exit__(self, *exc):
        while self.handles:
            self.handles.pop().remove()
        while self.backends:
            processor, backend = self.backends.pop()
            processor._attention_backend = backend


class Tap(Intercepted):
    """Within it, each named module's attention is given to `read` as (name, query, key, mask), and left as it is.

    The query is scaled; the mask is that of the call, or None. With `truncate` the forward is left by `Truncated`
    after the last of them.
    """

    def __init__(self, modules: dict[int, torch.nn.Module], read: Callable, *, truncate: bool = True, **which: Which):
        super().__init__(modules, **which)
        self.read, self.truncate = read, truncate

    def __enter__(self):
        self.left = set(self.modules)
        return super().__enter__()

    def attend(self, name, query, key, value, more):
        scale = more.get("scale") or query.shape[-1] ** -0.5
        self.read(name, query * scale, key, more.get("attn_mask"))
        self.left.discard(name)
        if self.truncate and not self.left:
            raise Truncated
        return super().attend(name, query, key, value, more)


class _Watch(TorchFunctionMode):
    """Lets `attend` do the attention of that number in a module; on only while the module runs, as every call of
    PyTorch's passes through it."""

    NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")

    def __init__(self, attend: Callable, number: int):
        super().__init__()
        self.attend, self.number, self.seen = attend, number, 0

    def open(self, module, args) -> None:
        self.seen = 0
        self.__enter__()

    def close(self, module, args, output) -> None:
        self.__exit__(None, None, None)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        self.seen += 1
        if self.seen != self.number + 1:
            return func(*args, **kwargs)
        more = {**dict(zip(self.NAMES, args, strict=False)), **kwargs}
        return self.attend(more.pop("query"), more.pop("key"), more.pop("value"), more)


def phrase_attention(query_BNLD, key_BNSD, columns: torch.Tensor, mask=None, *, heads: bool = False) -> torch.Tensor:
    """Attention probability of each video token on each of the phrase's keys, mean over heads or of each head.

    `query` is already scaled; `columns` are the T key indices; `mask` is (B, 1 or N, 1, S), boolean or added.
    The softmax runs over all S keys, in float32, by chunks of video tokens, so that the L x S map is never
    held whole: (B, L, T), or with `heads` (B, N, L, T).
    """
    B, N, L, _ = query_BNLD.shape
    rows = max(1, CHUNK_ELEMENTS // (B * N * key_BNSD.shape[2]))
    if rows >= L:
        return _columns(query_BNLD, key_BNSD, columns, mask, heads)
    parts = [
        checkpoint(_columns, q, key_BNSD, columns, mask, heads, use_reentrant=False) for q in query_BNLD.split(rows, 2)
    ]
    return torch.cat(parts, -2)


def _columns(query_BNLD, key_BNSD, columns, mask, heads: bool) -> torch.Tensor:
    scores_BNLS = (query_BNLD @ key_BNSD.transpose(-1, -2)).float()
    if mask is not None and mask.dtype == torch.bool:
        scores_BNLS = scores_BNLS.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores_BNLS = scores_BNLS + mask
    chosen_BNLT = scores_BNLS[..., columns] - scores_BNLS.logsumexp(-1, keepdim=True)
    return chosen_BNLT.exp() if heads else chosen_BNLT.exp().mean(1)
