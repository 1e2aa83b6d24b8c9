"""How a loaded model is held: in how many bits, where its parts wait, and what of it is compiled."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import torch

from .backbones import Backbone
from .config import LoadConfig
from .errors import ModelError, unknown
from .quantize import quantize


def check_placement(load: LoadConfig) -> None:
    """Before anything is loaded. Raises ModelError for what the device cannot do, or what does not go together."""
    if load.offload != "none" and load.device == "cpu":
        raise ModelError("--offload needs a GPU: on the CPU there is nowhere to offload to", "leave it out")
    if load.offload == "stream" and not hasattr(torch.get_device_module(load.device), "Stream"):
        raise ModelError(f"--offload stream needs CUDA's streams, and {load.device} has none", "use --offload group")
    if load.grouped and load.quantize != "none":
        raise ModelError(f"--offload {load.offload} and --quantize do not go together", "use --offload model")


def place(pipe, backbone: Backbone, load: LoadConfig, *, resident: int) -> None:
    """Put the pipeline's parts where `load` says, the first `resident` blocks on the device for good, and plain."""
    if load.quantize != "none":
        quantize(_frozen(pipe, backbone), load.quantize, dtype=getattr(torch, load.dtype), device=load.device)
    if load.tiling:
        pipe.vae.enable_tiling()
    if load.attention_backend:
        _set_attention(backbone.denoiser(pipe), load.attention_backend)
    if load.compile:
        _compile(pipe, backbone, resident)
    if load.offload == "model":
        pipe.enable_model_cpu_offload(device=load.device)
    elif load.grouped:
        _offload_groups(pipe, backbone, load, resident)
    else:
        pipe.to(load.device)


def _denoisers(pipe, backbone: Backbone, resident: int) -> Iterator[tuple[torch.nn.Module, list[torch.nn.Module]]]:
    """Each denoiser, and its blocks that no gradient passes through: of the guided one those from `resident` on."""
    main = backbone.denoiser(pipe)
    for part in pipe.components.values():
        if type(part) is type(main):
            first = resident if part is main else 0
            yield part, [backbone.block(part, b) for b in range(first, backbone.blocks(part))]


def _frozen(pipe, backbone: Backbone) -> Iterator[torch.nn.Module]:
    """What is quantised: the blocks of the denoisers, and the text encoder."""
    for _, blocks in _denoisers(pipe, backbone, 0):
        yield from blocks
    yield backbone.text_encoder(pipe)


def _set_attention(denoiser, name: str) -> None:
    """Raises ModelError for a backend that is none, or is not installed."""
    from diffusers.models.attention_dispatch import AttentionBackendName
    from diffusers.utils import logging

    known = [backend.value for backend in AttentionBackendName]
    if name not in known:
        raise unknown("attention backend", name, known, "diffusers' documentation lists them")
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it tells that backends are experimental
    try:
        denoiser.set_attention_backend(name)
    except (ValueError, RuntimeError, ImportError) as error:
        raise ModelError(f"attention backend {name}: {' '.join(str(error).split())[:200]}") from None
    finally:
        logging.set_verbosity(level)


def _compile(pipe, backbone: Backbone, resident: int) -> None:
    """Compile block by block, so that all of a kind share what is compiled.

    Not those that the guide's gradients pass through: adapters come and go in them with every video, each a reason to
    compile anew, and what is computed again in a backward pass must be computed as in the forward. It is the forward
    that is compiled, and not the call, so that the hooks that bring a block's weights are outside. The weights are
    frozen, as the guide has them: that is part of what is compiled.
    """
    for _, blocks in _denoisers(pipe, backbone, resident):
        for block in blocks:
            block.requires_grad_(False).forward = _plainly(torch.compile(block.forward))


def _plainly(forward):
    """The forward with plain tensors: the kind that diffusers holds GGUF's weights in comes out of compiled code."""

    def plain(part):
        return part.as_subclass(torch.Tensor) if torch.is_tensor(part) else part

    @functools.wraps(forward)
    def run(*args, **kwargs):
        output = forward(*args, **kwargs)
        return tuple(map(plain, output)) if isinstance(output, tuple) else plain(output)

    return run


def _offload_groups(pipe, backbone: Backbone, load: LoadConfig, resident: int) -> None:
    """Move blocks to the device when they run, and what is not a denoiser leaf by leaf.

    A backward pass would find the weights of an offloaded block gone. So the blocks that the guide needs gradients
    through, which are few and the first, stay: offloading and guidance go together.
    """
    from diffusers.hooks import apply_group_offloading

    options = dict(onload_device=torch.device(load.device), offload_device=torch.device("cpu"))
    streams = {}
    if load.offload == "stream":
        streams = dict(use_stream=True, record_stream=True, low_cpu_mem_usage=not load.pin)
    later = dict(_denoisers(pipe, backbone, resident))
    for part in pipe.components.values():
        if not isinstance(part, torch.nn.Module):
            continue
        if part not in later:
            apply_group_offloading(part, offload_type="leaf_level", **options)
            continue
        for module in set(part.modules()) - {m for block in later[part] for m in block.modules()}:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                tensor.data = tensor.data.to(load.device)
        tail = torch.nn.Module()
        tail.blocks = torch.nn.ModuleList(later[part])
        apply_group_offloading(tail, offload_type="block_level", num_blocks_per_group=1, **streams, **options)
        if streams:
            fetch_ahead(later[part])


def fetch_ahead(blocks: list[torch.nn.Module]) -> None:
    """Of offloaded blocks, let each bring the next one's weights while it computes; those of the first are waited for.

    diffusers links blocks so itself, once it has seen a forward of the module that it was told to offload. Here that is
    a part of one, without a forward.
    """
    hooks = [block._diffusers_hook.get_hook("group_offloading") for block in blocks]
    for hook, following in itertools.pairwise(hooks):
        hook.next_group, following.group.onload_self = following.group, False
    for hook in hooks[:1]:
        hook.group.non_blocking = False
