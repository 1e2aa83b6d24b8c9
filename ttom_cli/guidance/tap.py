"""Read attention from unmodified processors by watching `scaled_dot_product_attention`.

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

CHUNK_ELEMENTS = 2**26  # attention scores held at once: 256 MB in float32


class Truncated(Exception):
    """Ends a forward once its last tapped attention has been read."""


class Tap:
    """Within `with Tap(...)`, each named module's attention is given to `read` as (name, query, key, mask).

    `modules` maps a name to the attention module. Query and key are (B, N, L, D) and (B, N, S, D) as
    they reach the softmax, after norms and rotary positions, the query scaled; the mask is that of the call, or
    None. With `truncate` the forward is left by `Truncated` after the last of them.
    """

    def __init__(self, modules: dict[int, torch.nn.Module], read: Callable, *, truncate: bool = True):
        self.modules, self.read, self.truncate = modules, read, truncate
        self.left: set[int] = set()
        self.handles: list = []
        self.backends: list[tuple] = []

    def __enter__(self):
        self.left = set(self.modules)
        for name, module in self.modules.items():
            watch = _Watch(functools.partial(self._read, name))
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

    def _read(self, name: int, query, key, mask) -> None:
        self.read(name, query, key, mask)
        self.left.discard(name)
        if self.truncate and not self.left:
            raise Truncated


class _Watch(TorchFunctionMode):
    """Gives `see` the query, key and mask of the first attention in a module; on only while that module runs, as
    every call of PyTorch's passes through it."""

    def __init__(self, see: Callable):
        super().__init__()
        self.see, self.seen = see, False

    def open(self, module, args) -> None:
        self.seen = False
        self.__enter__()

    def close(self, module, args, output) -> None:
        self.__exit__(None, None, None)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and not self.seen:
            self.seen = True
            query = kwargs["query"] if "query" in kwargs else args[0]
            key = kwargs["key"] if "key" in kwargs else args[1]
            scale = kwargs.get("scale") or query.shape[-1] ** -0.5
            self.see(query * scale, key, kwargs.get("attn_mask"))
        return func(*args, **kwargs)


class Pulled:
    """Within it the first attention of each module gets `change(query, key, value, kwargs)` in place of its own."""

    def __init__(self, modules, change):
        self.modules, self.change = modules, change

    def __enter__(self):
        self.handles = []
        for module in self.modules.values():
            mode = _Change(self.change)
            self.handles.append(module.register_forward_pre_hook(mode.open))
            self.handles.append(module.register_forward_hook(mode.close, always_call=True))

    def __exit__(self, *exc):
        for handle in self.handles:
            handle.remove()


class _Change(TorchFunctionMode):
    def __init__(self, change):
        super().__init__()
        self.change, self.seen = change, False

    def open(self, module, args):
        self.seen = False
        self.__enter__()

    def close(self, module, args, output):
        self.__exit__(None, None, None)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and not self.seen:
            self.seen = True
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            kwargs |= dict(zip(names, args))
            q, k, v, kw, D = self.change(kwargs.pop("query"), kwargs.pop("key"), kwargs.pop("value"), kwargs)
            return func(q, k, v, **kw)[..., :D]
        return func(*args, **kwargs)


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
