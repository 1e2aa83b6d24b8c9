"""The composition root: one loaded model, its backbone and the bank, for any number of prompts."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import torch
from torch._dynamo.exc import TorchDynamoException

from .backbones import FAMILIES, Backbone
from .backbones.card import ModelCard
from .catalog import denoiser_config, find_card
from .config import CheckConfig, GuideConfig, LoadConfig, SampleConfig
from .errors import ModelError, TTOMError, VideoError, unknown
from .memory import MemoryBank
from .options import shown
from .parts import add_loras, denoiser_from, key_of, settled
from .placement import check_placement, place
from .seeing.detector import Detector, Sighting, make_detector

OWN = (  # arguments of a pipeline's call that are ttom's
    "callback_on_step_end", "callback_on_step_end_tensor_inputs", "output_type", "return_dict",
    "num_videos_per_prompt", "num_images_per_prompt", "max_sequence_length",
)  # fmt: skip
PLAIN = {bool, int, float, str, list, tuple, dict, NoneType, Any, inspect.Parameter.empty}  # types that texts can say
FLAT = 8  # of 255; a video that varies by no more shows nothing


@dataclass
class Runtime:
    """What a stream of prompts shares."""

    card: ModelCard
    pipe: object
    backbone: Backbone
    bank: MemoryBank | None = None
    load: LoadConfig = field(default_factory=LoadConfig)
    """As asked for, but for the device and dtype, which are those found."""
    resident: int | None = None
    """How many blocks, from the first, stay on the device, and are not compiled; None: all, or none is."""
    detector: Detector | None = None
    """What looks at the videos."""
    parts: dict = field(default_factory=dict)
    """The user's own parts of the model, as the bank's key has them."""

    @classmethod
    def open(
        cls,
        model: str,
        *,
        bank: MemoryBank | None = None,
        load: LoadConfig | None = None,
        guide: GuideConfig | None = None,
        check: CheckConfig | None = None,
    ) -> Runtime:
        """Load a model; offloaded in groups, so that `guide` can be used. Raises ModelError where it cannot be had.

        With `check`, the detector that it asks for is loaded too, if it asks for one.
        """
        card, load = find_card(model), load or LoadConfig()
        detector = make_detector(check) if check and (check := detector_for(card, check)) else None
        reach = (guide or card.guide).reach
        device = find_device(load.device)
        dtype = load.dtype or ("bfloat16" if device.startswith("cuda") else "float32")
        load = settled(replace(load, device=device, dtype=dtype))
        check_placement(load)
        pipe = load_pipeline(card, load)
        backbone = FAMILIES[card.pipeline]
        if load.lora:
            add_loras(pipe, backbone, load.lora)
        place(pipe, backbone, load, resident=reach)
        return cls(
            card, pipe, backbone, bank, load, resident=reach if load.divides else None, detector=detector,
            parts=key_of(load),
        )  # fmt: skip

    def takes(self, guide: GuideConfig) -> bool:
        """Whether the blocks that the guide needs gradients through are there, and plain."""
        return self.resident is None or guide.mode == "off" or guide.reach <= self.resident

    def check(self, guide: GuideConfig) -> None:
        """Raises ModelError for a guide that needs gradients through blocks that are offloaded, or compiled."""
        if not self.takes(guide):
            how = f"with --offload {self.load.offload} blocks from {self.resident} on are off the GPU"
            if not self.load.grouped:
                how = f"with --compile blocks from {self.resident} on are compiled"
            raise ModelError(f"the guide needs block {guide.reach - 1}, and {how}", "give --blocks for the whole run")

    def prepare(self, sample: SampleConfig) -> None:
        """Set what the pipeline's parts hold; before a guide is opened, which holds on to the scheduler.

        Raises ModelError for a size, a number of frames or an argument that the model cannot take.
        """
        check_arguments(self.backbone, type(self.pipe), sample)
        self.backbone.check_image(sample)
        self.backbone.arguments(self.pipe, sample)
        self.backbone.token_grid(self.pipe, sample.height, sample.width)
        self.backbone.latent_times(self.pipe, sample.frames)
        self.backbone.prepare(self.pipe, sample)

    def sample(self, prompt: str, sample: SampleConfig, seed: int, on_step=None) -> np.ndarray:
        """Call the pipeline, plainly; any guide acts through its hooks: (F, H, W, 3) uint8.

        Raises ModelError where the memory does not suffice or nothing can be compiled, and VideoError for a video that
        is not finite, or is a single flat colour.
        """
        try:
            with _tiled_if_need_be(self.pipe.vae):
                video = self._call(prompt, sample, seed, on_step)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"out of memory: {' '.join(str(error).split())[:160]}",
                "in this order: --dtype bfloat16, --tiling, --offload model, --offload group, "
                "--quantize int8 or nf4, a smaller --size, fewer --frames",
            ) from None
        except TorchDynamoException as error:
            raise ModelError(
                f"torch.compile fails: {' '.join(str(error).split())[:200]}",
                "leave out --compile; it needs a C++ compiler on a CPU, and Triton on a GPU",
            ) from None

        if not np.isfinite(video).all():
            raise self._not_finite("the decoded frames are")
        frames = (video * 255).round().astype(np.uint8)
        if np.ptp(frames.reshape(-1, 3), axis=0).max() <= FLAT:
            shade = "black" if frames.max() <= FLAT else f"flat colour, rgb{tuple(map(int, frames[0, 0, 0]))}"
            raise VideoError(
                f"the video is all {shade}",
                "try another --seed; where it was guided, --guide off shows the model alone",
            )
        return frames

    def _not_finite(self, what: str) -> VideoError:
        hint = (
            "use --dtype bfloat16" if self.load.dtype == "float16" else "lower --lr or --latent-lr where it is guided"
        )
        return VideoError(f"{what} not finite", f"{hint}; else look at --cfg, --shift, and the model's weights")

    def see(self, frames_FHWC: np.ndarray, phrases: list[str]) -> list[list[Sighting]]:
        """What the detector sees for each phrase. On a GPU the denoiser leaves it for that time."""
        denoisers = [self.pipe.components[n] for n in self._aside()]
        try:
            for part in denoisers:
                part.to("cpu")
            self.detector.to(self.load.device)
            return self.detector.see(frames_FHWC, phrases)
        finally:
            self.detector.to("cpu")
            for part in denoisers:
                part.to(self.load.device)

    def _aside(self) -> list[str]:
        """Names of the denoisers that can leave the device: not where they are off it already, nor quantised ones."""
        if self.load.device == "cpu" or self.load.offload != "none" or self.load.quantize != "none":
            return []
        kind = type(self.backbone.denoiser(self.pipe))
        return [name for name, part in self.pipe.components.items() if type(part) is kind]

    def _call(self, prompt: str, sample: SampleConfig, seed: int, on_step) -> np.ndarray:
        def after_step(i: int, latents: torch.Tensor) -> None:
            if not latents.isfinite().all():
                raise self._not_finite(f"after step {i + 1} the latents are")
            if on_step:
                on_step(i)

        try:
            with _each_step(self.pipe.scheduler, after_step):
                return self.backbone.call(self.pipe, prompt, sample, torch.Generator().manual_seed(seed))
        except (TypeError, ValueError) as error:
            if not sample.more:
                raise
            said = ", ".join(f"{name}={value}" for name, value in sample.more.items())
            raise ModelError(
                f"the pipeline's call fails with {said}: {' '.join(str(error).split())[:200]}", "see --set"
            ) from error


def pipeline_class(card: ModelCard) -> type:
    """The class of diffusers' that the model's pipeline is of."""
    import diffusers

    return getattr(diffusers, card.pipeline)


def check_arguments(backbone: Backbone, pipeline: type, sample: SampleConfig) -> None:
    """Raises TTOMError for a further argument that this pipeline's call has not, that no text can give, or that another
    option says; and for a value of a wrong type."""
    said, parameters = backbone.said, inspect.signature(pipeline.__call__).parameters
    free = {name: p.annotation for name, p in parameters.items() if name not in ("self", *said, *OWN)}
    plain = {name: annotation for name, annotation in free.items() if _types_in(annotation) <= PLAIN}
    for name, value in sample.more.items():
        if name in said:
            raise TTOMError(f"--set cannot set {name}", f"{said[name]} does")
        if name in free.keys() - plain.keys():
            raise TTOMError(f"--set cannot set {name}: no text can say it", f"{', '.join(plain)} can be set")
        if name not in plain:
            raise unknown(f"argument of {pipeline.__name__}", name, plain)
        kinds = {get_origin(part) or part for part in _parts(plain[name])} | {NoneType}
        fits = type(value) in kinds or (type(value) is int and float in kinds)
        if not fits and not kinds & {Any, inspect.Parameter.empty}:
            wanted = " or ".join(sorted(kind.__name__ for kind in kinds - {NoneType}))
            raise TTOMError(f"--set {name} must be {wanted}, not {shown(value)}")


def _parts(annotation) -> tuple:
    """Of a union its parts."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _types_in(annotation) -> set:
    """All types that an annotation is made of, those within lists and the like too."""
    if get_origin(annotation) is Callable:
        return {Callable}
    return set().union(*map(_types_in, get_args(annotation))) or {annotation}


def find_device(name: str) -> str:
    """The device of that name, or without one a GPU where there is one. Raises ModelError where it cannot be used."""
    if not name:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError:
        raise ModelError(f"there is no device {name[:80]!r}", "such as cpu, cuda, cuda:1 or mps") from None
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(
            f"the device {name} cannot be used with this PyTorch, {torch.__version__}: {reason}",
            "use --device cpu, or install a build of PyTorch for it",
        ) from None
    return name


def detector_for(card: ModelCard, check: CheckConfig) -> CheckConfig | None:
    """The check with its detector named; None where nothing looks. Raises ModelError where one is wanting."""
    if check.enabled is False:
        return None
    named = check.detector or card.world
    if named:
        return replace(check, detector=named)
    if check.enabled or check.tries > 1 or check.strict:
        raise ModelError(
            f"nothing at hand can look at the videos of {card.name}", "name a detector: --detector grounded-sam2"
        )
    return None


@contextmanager
def _each_step(scheduler, after: Callable[[int, torch.Tensor], None]):
    """While open, `after` is told of each of the scheduler's steps: its number, from 0, and its latents."""
    step, own, numbers = scheduler.step, vars(scheduler).get("step"), itertools.count()

    @functools.wraps(step)  # pipelines look into its signature
    def told(*args, **kwargs):
        output = step(*args, **kwargs)
        after(next(numbers), output[0] if isinstance(output, tuple) else output.prev_sample)
        return output

    scheduler.step = told
    try:
        yield
    finally:
        del scheduler.step
        if own:  # a guide's
            scheduler.step = own


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


def find_variant(folder: Path) -> str | None:
    """The variant that all of a folder's denoiser weights are of ('fp16'), None where there are plain ones."""
    kinds = set()
    for file in (folder / "transformer").glob("diffusion_pytorch_model*"):
        found = re.fullmatch(r"diffusion_pytorch_model(?:\.(\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)", file.name)
        kinds |= {found[1]} if found else set()
    return None if None in kinds else min(kinds, default=None)


def load_pipeline(card: ModelCard, load: LoadConfig):
    """The pipeline's `from_pretrained`, quietly. Raises ModelError with what diffusers says."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    local, precise = Path(card.source).expanduser(), FAMILIES[card.pipeline].precise
    variant = load.variant or (find_variant(local) if local.is_dir() else None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `dtype` in place of `torch_dtype`, since diffusers 0.42
            source = str(local) if local.is_dir() else card.source
            dtypes = {"default": getattr(torch, load.dtype)} | dict.fromkeys(precise, torch.float32)
            own = {}
            if load.transformer:
                own["transformer"] = denoiser_from(load.transformer, source, denoiser_config(source), dtypes["default"])
            pipe = pipeline_class(card).from_pretrained(source, torch_dtype=dtypes, variant=variant, **own)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot load {card.source}: {reason[:300]}",
            "give a folder in diffusers' layout with --model, or --model shapes, which is built in; where all of its "
            "files are of one variant, such as fp16, name that with --variant",
        ) from None
    pipe.set_progress_bar_config(disable=True)
    return pipe
