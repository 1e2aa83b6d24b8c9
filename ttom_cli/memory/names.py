"""A LoRA's tensors by the names of other tools.

diffusers takes `transformer.` and PEFT's names, as the bank has them. ComfyUI takes `diffusion_model.` and the layer's
name in the code that its model was published with: that of Wan has other words than diffusers, that of LTX the same.
HunyuanVideo has queries, keys and values in one layer there, which a LoRA on each of them does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import BankError

if TYPE_CHECKING:
    from .adapters import State

CONVENTIONS = ("diffusers", "comfyui")
COMFYUI = "diffusion_model."
WAN = {"attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}
_WAN_LAYER = re.compile(r"(blocks\.\d+)\.(\w+)\.([\w.]+)\.(lora_[AB]\.weight)")
_LTX_LAYER = re.compile(r"transformer_blocks\.\d+\.attn[12]\.to_[\w.]+\.lora_[AB]\.weight")


def to_comfyui(state: State) -> State:
    """Raises BankError for layers that ComfyUI has none for."""
    names = _all_in_wan(state, WAN)
    if not names and all(map(_LTX_LAYER.fullmatch, state)) and any(".attn2." in name for name in state):
        names = list(state)
    if not names:
        raise BankError(
            f"ComfyUI's name of {next(iter(state))} is not known, or it has no such layer",
            "its names are known for Wan and LTX; leave out --names, for diffusers",
        )
    return {COMFYUI + name: tensor for name, tensor in zip(names, state.values(), strict=True)}


def from_comfyui(state: State) -> State:
    """By diffusers' names; what has them already stays."""
    plain = {name.removeprefix(COMFYUI): tensor for name, tensor in state.items()}
    names = _all_in_wan(plain, {theirs: ours for ours, theirs in WAN.items()}) or plain
    return dict(zip(names, plain.values(), strict=True))


def _all_in_wan(names: Iterable[str], words: dict[str, str]) -> list[str]:
    """The names in other words; none where they are not those of Wan's attention in the first ones."""
    found = [_WAN_LAYER.fullmatch(name) for name in names]
    if not all(f and f[2] in words and f[3] in words for f in found):
        return []
    return [f"{f[1]}.{words[f[2]]}.{words[f[3]]}.{f[4]}" for f in found]
