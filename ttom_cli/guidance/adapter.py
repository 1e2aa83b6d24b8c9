"""The inserted parameters: a LoRA that comes onto a frozen denoiser and leaves no trace."""

from __future__ import annotations

import warnings

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer

from ..errors import BankError, ModelError

NAME = "ttom"
State = dict[str, torch.Tensor]
"""A LoRA's tensors as PEFT names them: `<layer>.lora_A.weight` (rank, in) and `<layer>.lora_B.weight` (out, rank)."""


class Adapter:
    """A PEFT LoRA on the linear layers `targets` of `denoiser`; use as a context manager.

    On entry the base is frozen and the LoRA inserted: the `stored` one, or a new one with B at zero, so that
    nothing changes yet. On exit the layers and their `requires_grad` flags are as before. The LoRA is float32
    whatever the base. LoRAs that the user loaded stay, and act as they did.
    """

    def __init__(
        self, denoiser: torch.nn.Module, targets: list[str], *, rank: int, seed: int, stored: State | None = None
    ):
        self.denoiser, self.targets, self.rank, self.seed, self.stored = denoiser, targets, rank, seed, stored

    def __enter__(self):
        denoiser = self.denoiser
        others = _loras(denoiser)
        self._refuse(others)
        self._flags = [(p, p.requires_grad) for p in denoiser.parameters()]
        self._others = [(layer, list(layer.active_adapters), layer.disable_adapters) for layer in others.values()]
        denoiser.requires_grad_(False)
        config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=self.targets)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            torch.manual_seed(self.seed)
            denoiser.add_adapter(config, adapter_name=NAME)  # which turns the others off
        for layer, _, _ in self._others:
            layer.enable_adapters(True)
        self._wrapped = [name for name in _loras(denoiser) if name not in others]
        active = {layer: [] if off else names for layer, names, off in self._others}
        self._layers = [(layer, active.get(layer, [])) for layer in _loras(denoiser).values()]
        self._own = [p for name, p in denoiser.named_parameters() if f".{NAME}." in name]
        for parameter in self._own:
            parameter.data = parameter.data.float()
        if self.stored:
            set_peft_model_state_dict(denoiser, self.stored, adapter_name=NAME)
        self.switch(True)
        return self

    def _refuse(self, others: dict[str, BaseTunerLayer]) -> None:
        """Raises ModelError for LoRAs beside which there can be no other."""
        if any(layer.merged for layer in others.values()):
            raise ModelError(
                "a LoRA is fused into the layers that hold it", "call unload_lora_weights() after fuse_lora()"
            )
        if any(NAME in layer._all_available_adapter_names() for layer in others.values()):
            raise ModelError(f"a LoRA of the name {NAME!r} is loaded", "load it under another adapter_name")

    def __exit__(self, *exc):
        self.switch(False)
        self.denoiser.delete_adapters(NAME)
        for name in self._wrapped:
            self.denoiser.set_submodule(name, self.denoiser.get_submodule(name).get_base_layer())
        for layer, names, off in self._others:
            layer.set_adapter(names)
            layer.enable_adapters(not off)
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self._own)

    def switch(self, on: bool) -> None:
        """Apply the LoRA in the forwards to come, or not; others stay as they were."""
        for layer, others in self._layers:
            layer.set_adapter([*others, NAME] if on else others, inference_mode=True)
        for parameter in self._own:
            parameter.requires_grad_(True)

    def state(self) -> State:
        state = get_peft_model_state_dict(self.denoiser, adapter_name=NAME)
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _loras(denoiser: torch.nn.Module) -> dict[str, BaseTunerLayer]:
    """The layers that hold LoRAs, by name."""
    return {name: module for name, module in denoiser.named_modules() if isinstance(module, BaseTunerLayer)}


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
