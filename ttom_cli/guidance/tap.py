"""Read or change the attention of unmodified processors, where they call `scaled_dot_product_attention`.

Letters in names: B batch, N heads, L video tokens, S keys, P phrases, V values, D head dim.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import AttentionBackendName
from torch.overrides import TorchFunctionMode

Which = Callable[[torch.nn.Module], int]


class Truncated(Exception):
    """Ends a forward once its last tapped attention has been read."""


class Intercepted:
    """Within it, one attention of each named module is what `attend` makes of it: here, what it is.

    `modules` maps a name to the attention module; `which` says the number of the attention in that, from 0. What is
    compiled runs as it was written meanwhile: compiled code calls no attention of PyTorch's, and knows of no hooks.
    """

    def __init__(self, modules: dict[int, torch.nn.Module], which: Which = lambda module: 0):
        self.modules, self.which = modules, which
        self.handles: list = []
        self.backends: list[tuple] = []
        self.plainly = ExitStack()

    def attend(self, name: int, query, key, value, more: dict) -> torch.Tensor:
        """The output (B, N, L, D) of query (B, N, L, D), key and value (B, N, S, D), as they reach PyTorch's attention
        after norms and rotary positions, and of the call's further arguments."""
        return F.scaled_dot_product_attention(query, key, value, **more)

    def __enter__(self):
        self.plainly.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in self.modules.items():
            watch = _Watch(functools.partial(self.attend, name), self.which(module))
            self.handles.append(module.register_forward_pre_hook(watch.open))
            self.handles.append(module.register_forward_hook(watch.close, always_call=True))
            processor = getattr(module, "processor", None)
            if hasattr(processor, "_attention_backend"):  # whatever runs the rest, this attention is PyTorch's
                self.backends.append((processor, vars(processor).get("_attention_backend")))
                processor._attention_backend = AttentionBackendName.NATIVE
        return self

    def __exit__(self, *exc):
        while self.handles:
            self.handles.pop().remove()
        while self.backends:
            processor, own = self.backends.pop()
            del processor._attention_backend  # its class's is none
            if own is not None:
                processor._attention_backend = own
        self.plainly.close()


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


def phrase_attention(
    query_BNLD, key_BNSD, phrases: Sequence[torch.Tensor], mask=None, *, heads: bool = False
) -> torch.Tensor:
    """Attention probability of each video token on each phrase, the mean over the phrase's keys.

    `query` is already scaled; `phrases` are the key indices of each; `mask` is (B, 1 or N, 1, S), boolean or added.
    The mean over heads (B, P, L), or with `heads` that of each (B, N, P, L); float32, with gradients.

    It is itself an attention, whose values say whose a key is: so a fused kernel does the softmax over all S keys, in
    float32, and in the backward pass again, and the L x S map is never held.
    """
    B, N, _, D = query_BNLD.shape
    wide = -(-len(phrases) // 8) * 8  # kernels want multiples of eight
    if query_BNLD.device.type == "cpu":  # whose fused kernel wants values as wide as keys
        wide = max(wide, D)
    value_SV = key_BNSD.new_zeros(key_BNSD.shape[2], wide)
    for p, columns in enumerate(phrases):
        value_SV[columns, p] = 1
    summed_BNLV = F.scaled_dot_product_attention(
        query_BNLD, key_BNSD, value_SV.expand(B, N, -1, -1), attn_mask=mask, scale=1.0
    )
    sizes = torch.tensor([len(columns) for columns in phrases], device=key_BNSD.device)
    mean_BNPL = (summed_BNLV[..., : len(phrases)].float() / sizes).transpose(-1, -2)
    return mean_BNPL if heads else mean_BNPL.mean(1)
