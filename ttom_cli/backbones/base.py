"""What is to be known of a model family, and what most families have in common.

Letters: B batch, C channels, N heads, F frames, L video tokens, S keys, T phrase tokens, D head dim.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, ClassVar

from ..config import GuideConfig, SampleConfig
from ..errors import ModelError
from ..layout.times import latent_times
from ..pictures import read_picture
from .card import ModelCard

if TYPE_CHECKING:
    import numpy as np
    import torch

PROJECTIONS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


class Backbone:
    """A family of pipelines of diffusers. The defaults are those of rectified-flow models whose text enters by a
    cross-attention of its own, and whose pipelines make videos of text, and call the denoiser once a branch."""

    family: str
    cards: tuple[ModelCard, ...] = ()
    """The models of the family that have a name."""

    per_sample = ("encoder_hidden_states", "encoder_attention_mask")
    """Of the denoiser's arguments, beside latents and timestep, those that have the batch as their first dimension."""

    said: ClassVar[dict[str, str]] = {
        "prompt": "the prompt", "negative_prompt": "--negative-prompt", "height": "--size", "width": "--size",
        "num_frames": "--frames", "num_inference_steps": "--steps", "guidance_scale": "--cfg", "generator": "--seed",
        "image": "--image",
    }  # fmt: skip
    """The arguments of the pipeline's call that an option says."""

    lacks: tuple[str, ...] = ()
    """Those of them, and `max_sequence_length`, that the call has not."""

    conditioned = False
    """Whether the latents have further channels, of what the video is to keep to."""

    still = False
    """Whether it makes pictures, of one frame each."""

    image = "none"
    """Whether the pipeline starts from a picture: none, may, or must."""

    cfg_in_batch = False
    """Whether classifier-free guidance is one call with [unconditional, conditional] as its batch."""

    pipeline_step = 1
    """What the pipeline wants width and height to be multiples of, whatever its parts could."""

    precise: tuple[str, ...] = ()
    """Parts of the pipeline that are float32 whatever the rest."""

    def like(self, index: dict, config: dict) -> str:
        """Name of the listed model whose settings one of this `model_index.json` and denoiser's `config.json` takes."""
        raise NotImplementedError

    def load_lora(self, pipe, source: str, name: str, **file) -> None:
        """Load a LoRA from a file or a hub id onto all denoisers. Raises what diffusers does, and ModelError."""
        if not hasattr(pipe, "load_lora_weights"):
            raise ModelError(f"diffusers loads no LoRAs onto a {type(pipe).__name__}", "leave out --lora")
        pipe.load_lora_weights(source, adapter_name=name, **file)

    # ------------------------------------------------------------ the modules

    def denoiser(self, pipe) -> torch.nn.Module:
        """The transformer that runs the guided steps."""
        return pipe.transformer

    def block_names(self, denoiser) -> list[str]:
        """Name of each transformer block's attention to the text, in the order in which they run."""
        raise NotImplementedError

    def blocks(self, denoiser) -> int:
        """How many transformer blocks the denoiser has."""
        return len(self.block_names(denoiser))

    def attention_name(self, denoiser, block: int) -> str:
        """Raises ModelError for a block that is not there."""
        names = self.block_names(denoiser)
        if block >= len(names):
            raise ModelError(f"there is no block {block}", f"the model has blocks 0 to {len(names) - 1}")
        return names[block]

    def text_attention(self, denoiser, block: int) -> torch.nn.Module:
        """The attention module of `block` whose keys hold the prompt. Raises ModelError if there is none."""
        return denoiser.get_submodule(self.attention_name(denoiser, block))

    def block(self, denoiser, block: int) -> torch.nn.Module:
        """The transformer block itself."""
        return denoiser.get_submodule(self.attention_name(denoiser, block).rpartition(".")[0])

    def lora_targets(self, denoiser, config: GuideConfig) -> list[str]:
        """Full names of the linear layers that carry the adapter.

        Values and outputs of the last aligned block come after its map, and are left out.
        """
        last, names = max(config.blocks), []
        for block in (last, *config.adapted):
            self.attention_name(denoiser, block)
        for block in config.adapted:
            for p in config.projections:
                if config.self_attention and (own := self.self_attention_name(denoiser, block)):
                    names.append(f"{own}.{PROJECTIONS[p]}")
                if block < last or (block == last and p in ("q", "k")) or config.keep_on:
                    names.append(f"{self.attention_name(denoiser, block)}.{PROJECTIONS[p]}")
        modules = dict(denoiser.named_modules())
        return [name for name in names if name in modules]

    def self_attention_name(self, denoiser, block: int) -> str | None:
        """Name of the attention among the video's tokens, None where it is the same as that to the text."""
        return None

    def which(self, attention: torch.nn.Module) -> int:
        """Which of the attentions in such a module is the one to the text, counted from 0 as they run."""
        return 0

    def text_encoder(self, pipe) -> torch.nn.Module:
        """What reads the prompt's words."""
        return pipe.text_encoder

    def beside(self, denoiser) -> list[torch.nn.Module]:
        """Modules that run ahead of all blocks and carry no adapter."""
        return []

    # ------------------------------------------------------------ the shapes

    def grid(self, denoiser, kwargs: dict) -> tuple[int, int, int]:
        """Token grid (F, H, W) of a denoiser call."""
        patch = denoiser.config.patch_size
        return tuple(n // p for n, p in zip(kwargs["hidden_states"].shape[-3:], patch, strict=True))

    def cell(self, pipe) -> tuple[int, int]:
        """Pixels (height, width) of a token."""
        raise NotImplementedError

    def token_grid(self, pipe, height: int, width: int) -> tuple[int, int]:
        """Tokens (H, W) of a frame of this size in pixels. Raises ModelError for a size it cannot take."""
        cell = self.cell(pipe)
        steps = [math.lcm(side, self.pipeline_step) for side in cell]
        if height % steps[0] or width % steps[1]:
            near = [max(1, round(n / c)) * c for n, c in zip((width, height), steps[::-1], strict=True)]
            raise ModelError(
                f"the model cannot make {width}x{height} pixels", f"the nearest size that it can is {near[0]}x{near[1]}"
            )
        return height // cell[0], width // cell[1]

    def group(self, pipe) -> int:
        """Frames of a latent frame, but for the first, which is one frame alone."""
        return 1 if self.still else pipe.vae_scale_factor_temporal

    def frame_step(self, pipe) -> int:
        """Numbers of frames that the model can make are 1 more than multiples of this."""
        return self.group(pipe)

    def latent_times(self, pipe, frames: int) -> list[float]:
        """Time of each latent frame: the last of its group, as a fraction of the video's duration.

        Raises ModelError for a number of frames that the model cannot make.
        """
        if self.still and frames != 1:
            raise ModelError(f"the model cannot make {frames} frames", "it makes pictures: --frames 1")
        group, step = self.group(pipe), self.frame_step(pipe)
        if (frames - 1) % step:
            near = max(0, round((frames - 1) / step)) * step + 1
            raise ModelError(f"the model cannot make {frames} frames", f"the nearest number that it can is {near}")
        return latent_times(frames, group)

    def times_of(self, pipe, latent_frames: int) -> list[float]:
        """Time of each latent frame of a video that has so many, as the denoiser sees them."""
        frames = itertools.count(1, self.frame_step(pipe))
        return next(t for n in frames if len(t := self.latent_times(pipe, n)) >= latent_frames)

    # ------------------------------------------------------------ the attention

    def video_rows(self, length: int, kwargs: dict) -> slice:
        """Which queries are the video's, where there are `length` keys."""
        return slice(None)

    def key_columns(self, tokens: torch.Tensor, length: int, kwargs: dict) -> torch.Tensor:
        """Which of the `length` keys the prompt's tokens are: (T,) -> (T,)."""
        return tokens

    def tokens(self, pipe, prompt: str, max_length: int) -> tuple[str, list[tuple[int, int]]]:
        """The prompt as the tokenizer is given it, and the characters (start, end) of each token in it."""
        encoded = pipe.tokenizer(prompt, return_offsets_mapping=True, truncation=True, max_length=max_length)
        return prompt, encoded["offset_mapping"]

    # ------------------------------------------------------------ the calls

    def check_image(self, sample: SampleConfig) -> None:
        """Raises TTOMError for a picture that is missing, not wanted, or cannot be read."""
        if sample.image and self.image == "none":
            raise ModelError("--image: the model makes videos of text alone", "`ttom models` says which take one")
        if self.image == "must" and not sample.image:
            raise ModelError("the model makes videos of a picture and a prompt", "give the picture: --image FILE")
        if sample.image:
            read_picture(sample.image, (sample.width, sample.height))

    def prepare(self, pipe, sample: SampleConfig) -> None:
        """Set what the pipeline's parts hold, and its call does not take: the scheduler's shift."""
        scheduler = pipe.scheduler
        name = next((n for n in ("shift", "flow_shift") if n in scheduler.config), None)
        if name and sample.shift is not None and scheduler.config[name] != sample.shift:
            pipe.scheduler = type(scheduler).from_config(scheduler.config, **{name: sample.shift})

    def arguments(self, pipe, sample: SampleConfig) -> dict:
        """What the pipeline is called with, beside the prompt. Raises ModelError for what it would pass over."""
        said = dict(
            negative_prompt=sample.negative_prompt or None, height=sample.height, width=sample.width,
            num_frames=sample.frames, num_inference_steps=sample.steps, guidance_scale=sample.guidance_scale,
            max_sequence_length=sample.max_sequence_length,
        )  # fmt: skip
        if sample.image:
            said["image"] = read_picture(sample.image, (sample.width, sample.height))
        return {name: value for name, value in said.items() if name not in self.lacks} | sample.more

    def call(self, pipe, prompt: str, sample: SampleConfig, generator: torch.Generator) -> np.ndarray:
        """The frames that the pipeline makes of it: (F, H, W, 3), from 0 to 1."""
        return pipe(prompt=prompt, **self.arguments(pipe, sample), generator=generator, output_type="np").frames[0]

    def branches(self, pipe, kwargs: dict, *, new_step: bool) -> list[tuple[bool, dict]]:
        """The branches of guidance in a call: (whether it is the conditional one, its arguments)."""
        if not self.cfg_in_batch:
            return [(new_step, kwargs)]  # pipelines call the conditional branch first
        if not pipe.guidance_scale > 1:
            return [(True, kwargs)]
        half = len(kwargs["hidden_states"]) // 2
        halved = ("hidden_states", "timestep", *self.per_sample)
        parts = {k: (kwargs[k][:half], kwargs[k][half:]) for k in halved if kwargs.get(k) is not None}
        return [(bool(i), {**kwargs, **{k: halves[i] for k, halves in parts.items()}}) for i in (0, 1)]

    def noisy(self, denoiser, kwargs: dict) -> torch.Tensor:
        """The noisy latents in a call's arguments, as the scheduler steps them."""
        states = kwargs["hidden_states"]
        return states[:, : denoiser.config.out_channels] if self.conditioned else states

    def with_noisy(self, denoiser, kwargs: dict, latents: torch.Tensor) -> dict:
        """A call's arguments with other latents in the place of these."""
        if self.conditioned:
            import torch

            latents = torch.cat([latents, kwargs["hidden_states"][:, latents.shape[1] :]], 1)
        return {**kwargs, "hidden_states": latents}

    def denoiser_steps(self, pipe) -> int:
        """How many denoising steps of a call that has begun the denoiser runs, from the first."""
        return len(pipe.scheduler.timesteps)

    def noise_level(self, pipe, step: int) -> float:
        """Standard deviation of the noise at a denoising step, 0 to 1."""
        return float(pipe.scheduler.sigmas[step])

    def add_noise(self, pipe, clean, noise, timesteps):
        """Latents noised to the level of each timestep: all (B, ...). Rectified flow: s = t / 1000."""
        s = (timesteps / pipe.scheduler.config.num_train_timesteps).to(clean)
        s = s.view(-1, *[1] * (clean.ndim - 1))
        return (1 - s) * clean + s * noise

    def timestep(self, kwargs: dict, timesteps: torch.Tensor) -> torch.Tensor:
        """What the denoiser is told of the scheduler's timesteps (B,), in a call like this one.

        Where tokens have timesteps each, (B, L), those that are done stay at zero.
        """
        each = kwargs["timestep"]
        return timesteps[:, None] * (each > 0) if each.ndim == 2 else timesteps

    def batched(self, denoiser, kwargs: dict, latents: torch.Tensor, timesteps: torch.Tensor) -> dict:
        """A conditional call's arguments with other latents and timesteps (B,), all else repeated to their batch."""
        repeated = {
            k: kwargs[k].expand(len(latents), *kwargs[k].shape[1:])
            for k in ("hidden_states", *self.per_sample)
            if kwargs.get(k) is not None
        }
        repeated["timestep"] = self.timestep(kwargs, timesteps.to(latents.device))
        return self.with_noisy(denoiser, {**kwargs, **repeated}, latents)
