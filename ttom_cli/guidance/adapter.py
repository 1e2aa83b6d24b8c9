"""The inserted parameters: a PEFT LoRA that comes onto a frozen denoiser and leaves no trace."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer

from ..errors import BankError

NAME = "ttom"


class Adapter:
    """A LoRA on the linear layers `targets` of `denoiser`; use as a context manager.

    On entry the base is frozen and the LoRA inserted, B at zero, so that nothing changes yet; on exit
    the plain layers and their `requires_grad` flags are back. The LoRA is float32 whatever the base.
    """

    def __init__(self, denoiser: torch.nn.Module, targets: list[str], *, rank: int, seed: int):
        self.denoiser, self.targets, self.rank, self.seed = denoiser, targets, rank, seed

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

    def state(self) -> dict[str, torch.Tensor]:
        """The LoRA's tensors under PEFT's names, without the adapter's own name in them."""
        state = get_peft_model_state_dict(self.denoiser, adapter_name=NAME)
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Set the LoRA's tensors. Raises BankError where names or shapes are not this adapter's."""
        own = {name: tensor.shape for name, tensor in self.state().items()}
        given = {name: tensor.shape for name, tensor in state.items()}
        if own != given:
            odd = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))
            raise BankError(
                f"the stored adapter does not fit: {len(odd)} tensors differ, first {odd[0]}",
                "use the guide's options that it was made with, or another bank",
            )
        set_peft_model_state_dict(self.denoiser, state, adapter_name=NAME)
