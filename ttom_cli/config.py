"""Settings, validated where they are made. Times and sizes carry their unit in their doc line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from .errors import TTOMError, unknown

DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "group")
QUANTIZATIONS = ("none", "int8", "nf4")


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How the model is held in memory, for all prompts of a run."""

    device: str = ""
    """cpu, cuda, ...; empty: a GPU where there is one."""
    dtype: str = ""
    """Of the frozen model; empty: bfloat16 on a GPU, float32 on a CPU."""
    offload: str = "none"
    """none, model (one part of the pipeline on the GPU at a time), or group (one block at a time as well, but for
    the blocks that the guide needs gradients through)."""
    quantize: str = "none"
    """Of the frozen denoiser's and text encoder's matrices: none, int8, or nf4."""
    tiling: bool = False
    """Decode the video in tiles from the start; without it, only once memory runs out."""
    attention_backend: str = ""
    """Of diffusers, for all attention that is not read: flash, sage, xformers, ...; empty: PyTorch's own."""

    def __post_init__(self):
        for kind, name, known in (
            ("dtype", self.dtype, ("", *DTYPES)),
            ("offload", self.offload, OFFLOADS),
            ("quantize", self.quantize, QUANTIZATIONS),
        ):
            if name not in known:
                raise unknown(kind, name, [k for k in known if k])


GUIDES = ("params", "latents", "both", "off")
LOSSES = ("jsd", "l2")
PROJECTIONS = ("q", "k", "v", "o")
CHECKPOINTINGS = ("none", "blocks", "parts")


@dataclass(frozen=True, kw_only=True)
class GuideConfig:
    """How the denoiser's attention is brought to the layout (paper section 3.2)."""

    mode: str = "params"
    """params (optimise an inserted LoRA), latents, both, or off."""
    loss: str = "jsd"
    """jsd (Jensen-Shannon divergence) or l2 (squared distance of the distributions)."""
    blocks: tuple[int, ...] = (3,)
    """Denoiser blocks whose attention is aligned, from 0."""
    adapt: tuple[int, ...] | None = None
    """Blocks that carry the adapter; None: every block up to the last aligned one."""
    train_from: int = 0
    """First block that the guided steps train, the first aligned one at the latest; mode params alone. What comes
    before runs once a step, not in every iteration; where it carries the adapter, consolidation alone trains it."""
    projections: tuple[str, ...] = ("q", "k", "v", "o")
    """Projections of the attention to the text that the adapter is put on."""
    self_attention: bool = False
    """Put the adapter on the attention among the video tokens as well."""
    rank: int = 32
    """Rank of the LoRA; its alpha is the same, so that the scale is 1."""
    lr: float = 1e-4
    """Learning rate of AdamW on the adapter."""
    latent_lr: float = 0.05
    """Length of a step on the latents, times the noise level, per root-mean-square of the latents."""
    steps: int = 5
    """Denoising steps that are guided, from the first."""
    iterations: int = 8
    """Optimisation iterations in each guided step, at most."""
    stop_loss: float = 0.0
    """A guided step ends early once the loss is below this."""
    conditional_only: bool = True
    """Apply the adapter to the conditional branch alone, so that classifier-free guidance amplifies it."""
    keep_on: bool = False
    """Leave the adapter on after the guided steps."""
    checkpointing: str = "none"
    """Activations that are computed again in the backward pass instead of kept, for less memory and more time: none,
    blocks (one block's are there at a time), or parts (one attention's or feed-forward's, computed twice again)."""
    consolidate: int = 0
    """Iterations over random noises after the video is written, so that the adapter holds for any."""
    consolidate_batch: int = 4
    """Random noises and noise levels in each of these iterations."""

    def __post_init__(self):
        for kind, name, known in (
            ("guide", self.mode, GUIDES),
            ("loss", self.loss, LOSSES),
            ("checkpointing", self.checkpointing, CHECKPOINTINGS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        for projection in self.projections:
            if projection not in PROJECTIONS:
                raise unknown("projection", projection, PROJECTIONS)
        for name in ("rank", "steps", "iterations", "consolidate_batch"):
            if getattr(self, name) < 1:
                raise TTOMError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("lr", "latent_lr"):
            if not getattr(self, name) > 0:
                raise TTOMError(f"{name} must be above 0, not {getattr(self, name)}")
        if not self.blocks or min(self.blocks) < 0:
            raise TTOMError(f"blocks must name at least one block from 0, not {list(self.blocks)}")
        if self.adapt is not None and not (self.adapt and 0 <= min(self.adapt) <= max(self.blocks)):
            raise TTOMError(
                f"adapt must name blocks from 0, one of them at most {max(self.blocks)}, the last of blocks, "
                f"not {list(self.adapt)}"
            )
        if self.train_from < 0:
            raise TTOMError(f"train_from must be 0 or more, not {self.train_from}")
        if self.consolidate < 0:
            raise TTOMError(f"consolidate must be 0 or more, not {self.consolidate}")

    @property
    def adapted(self) -> tuple[int, ...]:
        """Blocks that carry the adapter. Later ones than the last aligned one would get no gradient."""
        return self.adapt or tuple(range(max(self.blocks) + 1))

    @property
    def trained_from(self) -> int:
        """`train_from`, within the blocks that carry the adapter and no later than the first aligned one."""
        return min(max(self.train_from, min(self.adapted)), max(self.adapted), *self.blocks)

    @property
    def reach(self) -> int:
        """How many blocks, from the first, gradients pass through."""
        return max(*self.blocks, *self.adapted) + 1


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What the pipeline is called with."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    frames: int
    fps: int
    """Frames a second in the MP4."""
    steps: int
    """Denoising steps."""
    guidance_scale: float
    """Of classifier-free guidance; 1 or less is none."""
    shift: float | None = None
    """Of the flow-matching noise levels; None: the model's own."""
    negative_prompt: str = ""
    max_sequence_length: int = 512
    """Prompt tokens that the model reads, padding included."""
    enlarge: int = 1
    """Times that each side is enlarged in the MP4, for models whose frames are tiny."""
    more: dict = field(default_factory=dict)
    """Further arguments of the pipeline's call, which only its family has."""

    def __post_init__(self):
        for name in ("height", "width", "frames", "fps", "steps", "max_sequence_length", "enlarge"):
            if getattr(self, name) < 1:
                raise TTOMError(f"{name} must be at least 1, not {getattr(self, name)}")


PLANNERS = ("auto", "rules", "openai")
FALLBACKS = ("none", "rules", "error")


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """What makes a layout of a prompt. An endpoint's key comes from OPENAI_API_KEY and nowhere else."""

    planner: str = "auto"
    """rules (offline), openai (a language model behind any OpenAI-compatible endpoint), or auto (rules where they are
    sure, else the language model where one is configured, else what the rules are sure of)."""
    llm_model: str = ""
    llm_base_url: str = ""
    """Of the endpoint; empty: OpenAI's own."""
    llm_timeout: float = 120.0
    """Seconds that the server may be silent."""
    llm_total_timeout: float = 600.0
    """Seconds that the plan of a prompt may take, corrections and tries again included."""
    llm_max_tokens: int = 8192
    """Tokens of a reply at most, the model's thinking included."""
    llm_retries: int = 4
    """Tries again after a transport error, a 429 or a 5xx, with backoff."""
    planner_fallback: str = ""
    """For what cannot be planned: rules (what they are sure of), none (a video without guidance), or error. Empty:
    rules and then none for auto, error for the others."""
    template: Path | None = None
    """Folder with files in place of the shipped prompt template."""
    trust_layout: bool = False
    """Only note where a layout and the words of the prompt disagree."""
    cache: bool = True
    """Keep the answers, and do not ask for them again."""
    cache_folder: Path | None = None
    """None: the user's cache directory, or TTOM_CACHE."""
    refresh: bool = False
    """Ask again, and keep the new answer."""

    def __post_init__(self):
        if self.planner not in PLANNERS:
            raise unknown("planner", self.planner, PLANNERS)
        if self.planner_fallback not in ("", *FALLBACKS):
            raise unknown("planner to fall back on", self.planner_fallback, FALLBACKS)
        if self.planner == "openai" and not self.llm_model:
            raise TTOMError("the openai planner needs a model", "name one with --llm-model")
        if not 0 < self.llm_timeout < 86400:
            raise TTOMError(f"llm-timeout must be above 0 seconds and below a day, not {self.llm_timeout}")
        if not 0 < self.llm_total_timeout < 86400:
            raise TTOMError(f"llm-total-timeout must be above 0 seconds and below a day, not {self.llm_total_timeout}")
        if self.llm_max_tokens < 1:
            raise TTOMError(f"llm-max-tokens must be at least 1, not {self.llm_max_tokens}")
        if self.llm_retries < 0:
            raise TTOMError(f"llm-retries must be 0 or more, not {self.llm_retries}")

    @property
    def has_model(self) -> bool:
        """Whether there is a language model to ask: it is named, and its endpoint or the key of OpenAI's is known."""
        return bool(self.llm_model and (self.llm_base_url or os.environ.get("OPENAI_API_KEY", "").strip()))

    @property
    def unguided(self) -> bool:
        """Whether a prompt that cannot be planned makes a video all the same."""
        return self.planner_fallback == "none" or (self.planner == "auto" and self.planner_fallback != "error")

    @property
    def label(self) -> str:
        """What recipes and tables call it: 'rules', or 'openai' and the model."""
        return f"openai {self.llm_model}" if self.planner == "openai" else self.planner


DETECTORS = ("shapes", "grounded-sam2")


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """How a finished video is looked at."""

    enabled: bool | None = None
    """Look whether the planned objects are there; None: where there is a detector."""
    detector: str = ""
    """shapes (the embedded models' world) or grounded-sam2; empty: the one of the model's world, if it has one."""
    detector_model: str = "IDEA-Research/grounding-dino-tiny"
    """Of grounded-sam2: a GroundingDINO, as a hub id or a folder."""
    segmenter_model: str = "facebook/sam2.1-hiera-large"
    """Of grounded-sam2: a SAM 2, as a hub id or a folder."""
    tries: int = 1
    """Videos made at most, each with the next seed, until one passes; the best is kept."""
    strict: bool = False
    """A video that does not pass is an error."""
    anyway: bool = False
    """Make videos of objects, too, that the model is known not to know."""

    def __post_init__(self):
        if self.detector and self.detector not in DETECTORS:
            raise unknown("detector", self.detector, DETECTORS)
        if self.tries < 1:
            raise TTOMError(f"tries must be at least 1, not {self.tries}")
        if self.enabled is False and (self.tries > 1 or self.strict):
            raise TTOMError("--tries and --strict need the check", "leave out --no-check")


ON_HIT = ("skip", "continue")


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """How the bank is used."""

    enabled: bool = True
    on_hit: str = "skip"
    """skip (use the adapter as it is) or continue (optimise it further, then update the entry)."""
    capacity: int = 256
    """Entries at most; above it the least frequently used is evicted."""
    scene: float = 0.7
    """Least cosine between abstracted scenes for a hit."""
    objects: float = 0.9
    """Least cosine between the phrases of corresponding objects for a hit."""
    overlap: float = 0.5
    """Least mean IoU of corresponding boxes for a hit."""

    def __post_init__(self):
        if self.on_hit not in ON_HIT:
            raise unknown("on-hit action", self.on_hit, ON_HIT)
        if self.capacity < 1:
            raise TTOMError(f"capacity must be at least 1, not {self.capacity}")
