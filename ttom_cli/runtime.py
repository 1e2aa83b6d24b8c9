"""The composition root: one loaded model, its backbone and the bank, for any number of prompts."""

from __future__ import annotations

import functools
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .backbones import FAMILIES, Backbone
from .catalog import ModelCard, find_card
from .config import SampleConfig
from .errors import ModelError, unknown
from .memory import MemoryBank

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Runtime:
    """What a stream of prompts shares."""

    card: ModelCard
    pipe: object
    backbone: Backbone
    bank: MemoryBank | None = None

    @classmethod
    def open(
        cls, model: str, *, bank: MemoryBank | None = None, device: str | None = None, dtype: str | None = None
    ) -> Runtime:
        """Load a model. Raises ModelError where it cannot be had."""
        card = find_card(model)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        pipe = load_pipeline(card, DTYPES[dtype]).to(device)
        family = type(pipe).__name__
        if family not in FAMILIES:
            raise ModelError(f"{card.source} is a {family}, which ttom cannot guide", f"known: {', '.join(FAMILIES)}")
        return cls(card, pipe, FAMILIES[family], bank)

    def prepare(self, sample: SampleConfig) -> None:
        """Set the scheduler's shift; before a guide is opened, which holds on to the scheduler."""
        scheduler = self.pipe.scheduler
        name = next((n for n in ("shift", "flow_shift") if n in scheduler.config), None)
        if name and sample.shift is not None and scheduler.config[name] != sample.shift:
            self.pipe.scheduler = type(scheduler).from_config(scheduler.config, **{name: sample.shift})

    def sample(self, prompt: str, sample: SampleConfig, seed: int, on_step=None) -> np.ndarray:
        """Call the pipeline, plainly; any guide acts through its hooks: (F, H, W, 3) uint8.

        Raises ModelError where the memory does not suffice.
        """
        try:
            with _tiled_if_need_be(self.pipe.vae):
                return self._call(prompt, sample, seed, on_step)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"out of memory: {' '.join(str(error).split())[:160]}",
                "in this order: --dtype bfloat16, a smaller --size, fewer --frames, a smaller --model",
            ) from None

    def _call(self, prompt: str, sample: SampleConfig, seed: int, on_step) -> np.ndarray:
        video = self.pipe(
            prompt=prompt,
            negative_prompt=sample.negative_prompt or None,
            height=sample.height,
            width=sample.width,
            num_frames=sample.frames,
            num_inference_steps=sample.steps,
            guidance_scale=sample.guidance_scale,
            max_sequence_length=sample.max_sequence_length,
            **sample.more,
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=on_step and (lambda pipe, i, t, kwargs: on_step(i) or {}),
            output_type="np",
        ).frames[0]
        return (video * 255).round().astype(np.uint8)


@contextmanager
def _tiled_if_need_be(vae):
    """While open, a decode that runs out of memory is tried again in tiles; the latents are not lost."""
    decode = vae.decode

    @functools.wraps(decode)
    def patient(*args, **kwargs):
        try:
            return decode(*args, **kwargs)
        except torch.OutOfMemoryError:
            vae.enable_tiling()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return decode(*args, **kwargs)

    vae.decode = patient
    try:
        yield
    finally:
        del vae.decode  # the instance's attribute; the class's method is seen again


def load_pipeline(card: ModelCard, dtype: torch.dtype):
    """`DiffusionPipeline.from_pretrained`, quietly. Raises ModelError with what diffusers says."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    local = Path(card.source).expanduser()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `dtype` in place of `torch_dtype`, since diffusers 0.42
            source = str(local) if local.is_dir() else card.source
            pipe = diffusers.DiffusionPipeline.from_pretrained(source, torch_dtype=dtype)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot load {card.source}: {reason[:300]}",
            "give a folder in diffusers' layout with --model, or --model shapes, which is built in",
        ) from None
    pipe.set_progress_bar_config(disable=True)
    return pipe
