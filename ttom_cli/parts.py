"""A user's own parts of a model: LoRAs that act on every step beside the guide, and a denoiser from a single file."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from .backbones import Backbone
from .config import LoadConfig
from .errors import ModelError
from .pictures import digest_of


class Lora(NamedTuple):
    """A LoRA as --lora names it."""

    source: str
    """An absolute path, a hub id, or a hub id and a file in it: owner/name/file.safetensors."""
    scale: float = 1.0

    @classmethod
    def read(cls, text: str) -> Lora:
        """'style.safetensors:0.8' -> its path and 0.8. Raises ModelError for what is neither a file nor a hub id."""
        source, _, scale = text.rpartition(":")
        try:
            lora = cls(source, float(scale)) if source else cls(text)
        except ValueError:
            lora = cls(text)  # the colon is in its name
        path = Path(lora.source).expanduser()
        if path.is_file():
            return lora._replace(source=str(path.resolve()))
        weights = path.suffix in (".safetensors", ".bin", ".pt") and lora.source.count("/") < 2
        if weights or lora.source.startswith((".", "/", "~")):
            raise ModelError(f"--lora: there is no file {lora.source}", "give a LoRA's file, or its hub id: owner/name")
        if "/" not in lora.source:
            raise ModelError(f"--lora {lora.source} is neither a file nor a hub id", "a hub id is owner/name")
        return lora

    def __str__(self) -> str:
        return f"{self.source}:{self.scale:g}"


def settled(load: LoadConfig) -> LoadConfig:
    """The same with whole paths, which hold wherever it is read again. Raises ModelError for a file that is missing."""
    lora = tuple(str(Lora.read(text)) for text in load.lora) if load.lora else None
    file = Path(load.transformer).expanduser()
    if load.transformer and not file.is_file():
        raise ModelError(
            f"--transformer: there is no file {load.transformer}", "give a denoiser's .safetensors or .gguf"
        )
    return replace(load, lora=lora, transformer=load.transformer and str(file.resolve()))


def key_of(load: LoadConfig) -> dict:
    """What an adapter depends on that was learnt beside these parts, as the bank's facts; empty without any."""
    key = {}
    if load.lora:
        sources = [Path(Lora.read(text).source) for text in load.lora]
        digests = [_digest(p, p.stat().st_mtime_ns) if p.is_file() else "" for p in sources]
        key |= {"lora": list(load.lora), "lora_sha256": digests}
    if load.transformer:
        key |= {"transformer": load.transformer, "transformer_bytes": Path(load.transformer).stat().st_size}
    return key


@cache
def _digest(path: Path, changed: int) -> str:
    """Of a file as it is since it `changed`."""
    return digest_of(str(path))


def changed_since(key: dict, load: LoadConfig) -> str:
    """The part that is another than when `key_of` was taken; '' for none. Raises ModelError for one that is missing."""
    now = key_of(settled(load))
    loras = zip(key.get("lora", ()), key.get("lora_sha256", ()), now.get("lora_sha256", ()), strict=False)
    if lora := next((text for text, was, is_now in loras if was != is_now), ""):
        return f"the LoRA {Lora.read(lora).source}"
    return f"the denoiser {load.transformer}" if now != key else ""


def load_of(key: dict) -> LoadConfig:
    """How a model is loaded with the parts of a key."""
    return LoadConfig(lora=key.get("lora"), transformer=key.get("transformer", ""))


def add_loras(pipe, backbone: Backbone, texts: tuple[str, ...]) -> None:
    """Load the LoRAs onto the denoisers, and turn them on. Raises ModelError for one that cannot be read or used."""
    loras = [Lora.read(text) for text in texts]
    for i, lora in enumerate(loras):
        source, file = lora.source, {}
        if not Path(source).is_file() and source.count("/") > 1:
            owner, name, file["weight_name"] = source.split("/", 2)
            source = f"{owner}/{name}"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Already found a `peft_config`")  # there may be several
                backbone.load_lora(pipe, source, f"own{i}", **file)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"cannot load the LoRA {lora.source}: {' '.join(str(error).split())[:200]}") from None
        if f"own{i}" not in {name for names in pipe.get_list_adapters().values() for name in names}:
            raise ModelError(f"the LoRA {lora.source} fits no layer of the denoiser", "is it of this model?")
    pipe.set_adapters([f"own{i}" for i in range(len(loras))], [lora.scale for lora in loras])


def denoiser_from(file: str, source: str, config: dict, dtype: torch.dtype):
    """The denoiser in a single file, of the configuration that the model `source` has; parts that diffusers keeps
    precise stay float32, and matrices of a GGUF file as they are in it. Raises ModelError."""
    import diffusers

    kind, more = getattr(diffusers, config["_class_name"]), {}
    if not hasattr(kind, "from_single_file"):
        raise ModelError(f"diffusers reads no single file of a {kind.__name__}", "give a folder with --model")
    if file.endswith(".gguf"):
        if importlib.util.find_spec("gguf") is None:
            raise ModelError("a GGUF file needs gguf to be read", "pip install 'ttom-cli[gguf]'")
        more = dict(quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype), torch_dtype=dtype)
    try:
        weights = _scaled(file, dtype) if file.endswith(".safetensors") else file
        made = kind.from_single_file(weights, config=source, subfolder="transformer", **more)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = f"it must hold all weights of a {kind.__name__} as {source} has it"
        raise ModelError(f"cannot load the denoiser {file}: {reason}", hint) from None
    precise = set(kind._keep_in_fp32_modules or ())
    for name, tensor in (*made.named_parameters(), *made.named_buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(torch.float32 if precise & set(name.split(".")) else dtype)
    return made


def _scaled(file: str, dtype: torch.dtype) -> str | dict[str, torch.Tensor]:
    """The file, or where it has fp8 matrices with their scales beside them, as ComfyUI reads them, its weights."""
    with safe_open(file, "pt") as opened:
        scales = [name for name in opened.keys() if name.endswith((".scale_weight", ".weight_scale"))]  # noqa: SIM118
    if not scales:
        return file
    weights = load_file(file)
    for name in scales:
        matrix = f"{name.rpartition('.')[0]}.weight"
        weights[matrix] = (weights[matrix].float() * weights.pop(name).float()).to(dtype)
    beside = ("scaled_fp8", ".scale_input", ".input_scale", ".comfy_quant")
    return {name: tensor for name, tensor in weights.items() if not name.endswith(beside)}
