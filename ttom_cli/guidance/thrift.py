"""What a guided step need not do twice, and what it computes again rather than keep."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import contextmanager

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ..backbones import Backbone
from ..config import GuideConfig


class Thrift:
    """Saves time and memory in the guide's own forwards and backward passes.

    `modules` are the attention that is read, by its block; whoever runs a forward counts it in `forwards`.
    """

    def __init__(
        self, backbone: Backbone, denoiser: torch.nn.Module, config: GuideConfig, modules: dict[int, torch.nn.Module]
    ):
        self.backbone, self.denoiser, self.config, self.modules = backbone, denoiser, config, modules
        self.forwards = 0

    @contextmanager
    def prefix_kept(self):
        """Within it what is ahead of all that is trained runs once: as long as the latents stand, its output does.

        What is beside the blocks, the first blocks, and in the first that is trained the self-attention, where it is
        ahead of the adapter.
        """
        if "latents" in self.config.ways:
            yield
            return
        first = self.config.trained_from
        blocks = [self.backbone.block(self.denoiser, b) for b in range(first)]
        parts = [*self.backbone.beside(self.denoiser), *self._self_attentions([first])]
        before = [vars(module).get("forward") for module in (*blocks, *parts)]
        kept = []

        def once(forward, is_last: bool):
            def run(*args, **kwargs):
                if kept:
                    return kept[0]
                with torch.no_grad():
                    output = forward(*args, **kwargs)
                if is_last:
                    kept.append(output)
                return output

            return run

        def constant(forward):
            kept = []  # the output, and which forward it is of: that one's backward pass must do what it did

            def run(*args, **kwargs):
                if kept and kept[0] < self.forwards:
                    return kept[1]
                output = forward(*args, **kwargs)
                if not kept and not any(tensor.requires_grad for tensor in _tensors(output)):
                    kept.extend((self.forwards, output))
                return output

            return run

        for i, block in enumerate(blocks):
            block.forward = once(block.forward, i == first - 1)
        for part in parts:
            part.forward = constant(part.forward)
        try:
            yield
        finally:
            for module, own in zip((*blocks, *parts), before, strict=True):
                restore(module, own)

    def _self_attentions(self, blocks: Iterable[int]) -> list[torch.nn.Module]:
        """The attention among the video's tokens of each block, but for those that are read."""
        names = [
            self.backbone.self_attention_name(self.denoiser, b) or self.backbone.attention_name(self.denoiser, b)
            for b in blocks
        ]
        return [m for m in map(self.denoiser.get_submodule, names) if m not in self.modules.values()]

    def _apart(self) -> list[torch.nn.Module]:
        """Self-attentions, and in the last block that is computed again, when most is held, that to the text too."""
        reach = range(self.config.reach)
        last = [b for b in reach if b not in self.config.blocks][-1:]
        texts = [self.backbone.text_attention(self.denoiser, b) for b in last]
        return list(dict.fromkeys([*self._self_attentions(reach), *texts]))

    @contextmanager
    def checkpointed(self):
        """Within it, if asked for, activations are not kept for the backward pass but computed again there.

        Block by block, but for those that are read; or also those of attentions apart, so that they and the rest's are
        not there at once. What is dear to compute and small is kept all the same.
        """
        if self.config.checkpointing == "none":
            yield
            return
        read = [self.backbone.block(self.denoiser, b) for b in self.config.blocks]
        parts = self._apart() if self.config.checkpointing == "parts" else []
        before = [vars(part).get("forward") for part in parts]

        def run(block, *args):
            return block(*args) if block in read else _again(block.__call__, *args)

        for part in parts:
            part.forward = functools.partial(_again, part.forward)
        self.denoiser.enable_gradient_checkpointing(run)
        try:
            yield
        finally:
            self.denoiser.disable_gradient_checkpointing()
            for part, own in zip(parts, before, strict=True):
                restore(part, own)


_ATTENTION_KERNELS = {
    getattr(torch.ops.aten, f"_scaled_dot_product_{name}").default
    for name in ("flash_attention", "efficient_attention", "cudnn_attention", "flash_attention_for_cpu")
}


def _kept(context, operation, *args, **kwargs) -> CheckpointPolicy:
    """What attentions put out, which take half of the time, and matrix products that make less of more."""
    narrows = operation is torch.ops.aten.addmm.default and args[1].shape[1] > args[2].shape[1]
    dear = narrows or operation in _ATTENTION_KERNELS
    return CheckpointPolicy.MUST_SAVE if dear else CheckpointPolicy.PREFER_RECOMPUTE


_again = functools.partial(
    checkpoint, use_reentrant=False, preserve_rng_state=False,
    context_fn=functools.partial(create_selective_checkpoint_contexts, _kept),
)  # fmt: skip


def _tensors(output) -> tuple:
    return output if isinstance(output, tuple) else (output,)


def restore(module: torch.nn.Module, own_forward) -> None:
    """Give a module back the forward of its own that it had (an offloading hook's), or its class's."""
    del module.forward
    if own_forward is not None:
        module.forward = own_forward
