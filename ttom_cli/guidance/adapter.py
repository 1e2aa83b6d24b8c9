"""The inserted parameters: a LoRA that comes onto a frozen denoiser and leaves no trace."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer

from ..errors import BankError

NAME = "ttom"
State = dict[str, torch.Tensor]
"""A LoRA's tensors as PEFT names them: `<layer>.lora_A.weight` (rank, in) and `<layer>.lora_B.weight` (out, rank)."""


class Adapter:
    """A PEFT LoRA on the linear layers `targets` of `denoiser`; use as a context manager.

    On entry the base is frozen and the LoRA inserted: the `stored` one, or a new one with B at zero, so that
    nothing changes yet. On exit the plain layers and their `requires_grad` flags are back. The LoRA is float32
    whatever the base.
    """

    def __init__(
        self, denoiser: torch.nn.Module, targets: list[str], *, rank: int, seed: int, stored: State | None = None
    ):
        self.denoiser, self.targets, self.rank, self.seed, self.stored = denoiser, targets, rank, seed, stored

    def __enter__(self):
        self._flags = {name: p.requires_grad for name, p in self.denoiser.named_parameters()}
        self.denoiser.requires_grad_(False)
        config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=self.targets)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.denoiser.add_adapter(config, adapter_name=NAME)
        self._layers = [m for m in self.denoiser.modules() if isinstance(m, BaseTunerLayer)]
        self._own = [p for p in self.denoiser.parameters() if p.requires_grad]
        for parameter in self._own:
            parameter.data = parameter.data.float()
        if self.stored:
            set_peft_model_state_dict(self.denoiser, self.stored, adapter_name=NAME)
        return self

    def __exit__(self, *exc):
        self.denoiser.unload_lora()
        # PEFT leaves its config behind; a later adapter of the same name would be refused.
        if hasattr(self.denoiser, "peft_config"):
            del self.denoiser.peft_config
        self.denoiser._hf_peft_config_loaded = False
        for name, parameter in self.denoiser.named_parameters():
            parameter.requires_grad_(self._flags[name])

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self._own)

    def switch(self, on: bool) -> None:
        """Apply the LoRA in the forwards to come, or not."""
        for layer in self._layers:
            layer.enable_adapters(on)
        for parameter in self._own:  # PEFT's switch also freezes
            parameter.requires_grad_(True)

    def state(self) -> State:
        state = get_peft_model_state_dict(self.denoiser, adapter_name=NAME)
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


class Folded:
    """A stored LoRA that is not trained, added to the weights beforehand: a switch trades them for the plain ones.

    So that no forward costs more than without it. For float32 weights that stay where they are: in fewer bits the
    LoRA would be lost.
    """

    def __init__(self, denoiser: torch.nn.Module, targets: list[str], stored: State):
        self.weights = []
        for name in targets:
            weight = denoiser.get_submodule(name).weight
            b, a = (stored[f"{name}.lora_{x}.weight"] for x in "BA")
            self.weights.append((weight, weight.data, torch.addmm(weight.data, b, a)))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.switch(False)

    def switch(self, on: bool) -> None:
        """Apply the LoRA in the forwards to come, or not."""
        for weight, plain, folded in self.weights:
            weight.data = folded if on else plain


def check_fit(denoiser: torch.nn.Module, targets: list[str], rank: int, state: State) -> None:
    """Raises BankError where the tensors' names or shapes are not those of a LoRA on these layers."""
    own = {}
    for name in targets:
        layer = denoiser.get_submodule(name)
        own |= {f"{name}.lora_A.weight": (rank, layer.in_features), f"{name}.lora_B.weight": (layer.out_features, rank)}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if own != given:
        odd = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))
        raise BankError(
            f"the stored adapter does not fit: {len(odd)} tensors differ, first {odd[0]}",
            "use the guide's options that it was made with, or another bank",
        )
