"""The frozen model's matrices in 8 or 4 bits, by bitsandbytes; gradients pass through them to the adapter."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

import torch
from torch import nn

from .errors import ModelError


def quantize(modules: Iterable[nn.Module], kind: str, *, dtype: torch.dtype, device: str) -> None:
    """Replace the linear layers within `modules` by int8 (LLM.int8) or nf4 (QLoRA) ones, on `device`.

    `dtype` is what they compute in; layers of another dtype are kept, for their model wants them so. Raises
    ModelError where bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError("--quantize needs bitsandbytes", "pip install 'ttom-cli[quantize]'")
    make = {"int8": _int8, "nf4": _nf4}[kind]
    for module in modules:
        for parent in list(module.modules()):
            for name, layer in list(parent.named_children()):
                own = isinstance(parent, nn.ModuleDict)  # a LoRA's
                if type(layer) is nn.Linear and layer.weight.dtype == dtype and not own:
                    setattr(parent, name, make(layer, dtype).to(device))


def _int8(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    made = Linear8bitLt(
        layer.in_features, layer.out_features, bias=layer.bias is not None, has_fp16_weights=False, device="meta"
    )
    made.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    return _with_bias(made, layer)


def _nf4(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    from bitsandbytes.nn import Linear4bit, Params4bit

    made = Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, quant_type="nf4", compute_dtype=dtype,
        device="meta",
    )  # fmt: skip
    made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=made)
    return _with_bias(made, layer)


def _with_bias(made: nn.Linear, layer: nn.Linear) -> nn.Linear:
    made.bias = layer.bias
    return made.requires_grad_(False)
