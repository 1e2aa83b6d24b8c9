"""The composition root: one loaded model, its backbone and the bank, for any number of prompts."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
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
    seconds: dict[str, float] = field(default_factory=dict)

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
        began = time.monotonic()
        pipe = load_pipeline(card, DTYPES[dtype]).to(device)
        family = type(pipe).__name__
        if family not in FAMILIES:
            raise ModelError(f"{card.source} is a {family}, which ttom cannot guide", f"known: {', '.join(FAMILIES)}")
        return cls(card, pipe, FAMILIES[family], bank, {"load": time.monotonic() - began})

    def prepare(self, sample: SampleConfig) -> None:
        """Set the scheduler's shift; before a guide is opened, which holds on to the scheduler."""
        scheduler = self.pipe.scheduler
        name = next((n for n in ("shift", "flow_shift") if n in scheduler.config), None)
        if name and sample.shift is not None and scheduler.config[name] != sample.shift:
            self.pipe.scheduler = type(scheduler).from_config(scheduler.config, **{name: sample.shift})

    def sample(self, prompt: str, sample: SampleConfig, seed: int, on_step=None) -> np.ndarray:
        """Call the pipeline, plainly; any guide acts through its hooks: (F, H, W, 3) uint8."""
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
