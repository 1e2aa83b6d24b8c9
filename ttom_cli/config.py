"""Settings, validated where they are made, and all that is said of each option. What is no option has a doc line."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import ClassVar

from .errors import TTOMError
from .options import Checked, option

PANELS = "", "Output", "Sampling", "Loading", "Guidance", "Check", "Planning", "Memory"
WAYS = "attention", "latents", "params"
MODES = (*("+".join(ways) for n in (1, 2, 3) for ways in combinations(WAYS, n)), "off")


def _orders(modes: tuple[str, ...]) -> dict[str, str]:
    """Every other order of the parts of a mode, and the mode."""
    orders = {"+".join(parts): mode for mode in modes for parts in permutations(mode.split("+"))}
    return {said: mode for said, mode in orders.items() if said != mode}


_, OUTPUT, SAMPLING, LOADING, GUIDANCE, CHECK, PLANNING, MEMORY = PANELS


@dataclass(frozen=True, kw_only=True)
class RunConfig(Checked):
    """Which model makes what, and where it goes."""

    model: str = option("shapes", "A name that `ttom models` lists, a hub id, or a diffusers folder.", short="m")
    layout: Path | None = option(None, "A layout in JSON or YAML, in place of a planner; - is standard input.")
    out: str = option(
        "videos", "A folder, one video's file (.mp4, .mov, .mkv, .webm, .gif; a picture's .png), or a pattern such as "
        "{slug}-{seed}.mp4, of slug, prompt, seed, number, take and model.", short="o", panel=OUTPUT, like="a path",
        elsewhere=("output", "output-dir", "output-file", "save-file", "save-path", "filename"),
    )  # fmt: skip
    overwrite: bool = option(
        False, "Write over files that are there; without it one that you name is refused, and a name made of the "
        "prompt gets the next number.", panel=OUTPUT,
    )  # fmt: skip
    resume: bool = option(
        False, "Leave out videos that are in the output's folder, by the recipes in them: of the same prompt, seed, "
        "model and settings.", panel=OUTPUT,
    )  # fmt: skip
    compare: bool = option(False, "Also write unguided beside guided, with the boxes drawn.", panel=OUTPUT)
    seed: int | None = option(
        None, "Of the noise; drawn and shown if not given.", panel=SAMPLING, least=-(2**63), below=2**63,
        like="a whole number of 64 bits",
    )  # fmt: skip
    seeds: tuple[int, ...] | None = option(
        None, "Of several videos of each prompt: 1-4, or 1,3,7.", panel=SAMPLING, least=-(2**63), most=2**63 - 1,
        like="different numbers such as 1-4 or 1,3,7, at most 1000 of them",
    )  # fmt: skip
    num_videos: int = option(
        1, "Videos of each prompt, with seeds that count up.", panel=SAMPLING, least=1, most=1000,
        elsewhere=("n", "num", "count", "number", "num-samples", "num-videos-per-prompt"),
    )  # fmt: skip
    profile: Path | None = option(None, "A file of `ttom probe --profile`, whose blocks are aligned.", panel=GUIDANCE)
    bank: Path | None = option(None, "The memory bank's folder.", panel=MEMORY, env="TTOM_BANK")


def _check_count(name: str, value: object) -> None:
    """For what is no option. Raises TTOMError for what counts nothing."""
    if type(value) is not int or value < 1:
        raise TTOMError(f"{name} must be a whole number of at least 1, not {value}")


def _size(text: str) -> dict[str, int]:
    """'832x480' or '832*480' -> width and height."""
    width, height = (int(side) for side in text.lower().replace("*", "x").split("x"))
    if not 1 <= min(width, height) <= max(width, height) <= 16384:
        raise ValueError
    return {"width": width, "height": height}


def _picture(text: str) -> dict[str, str]:
    """A file's name -> its whole path, which holds wherever it is read again."""
    return {"image": text and str(Path(text).expanduser().absolute())}


def _address(text: str) -> dict[str, str]:
    """Of a server, with its scheme; empty for none."""
    if text and not re.match(r"https?://[^/\s]", text):
        raise ValueError
    return {"llm_base_url": text}


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Checked):
    """What the pipeline is called with."""

    PANEL: ClassVar[str] = SAMPLING

    height: int
    """Pixels."""
    width: int = option(
        help="WIDTHxHEIGHT in pixels.", name="size", kind=str,
        like="WIDTHxHEIGHT in pixels, such as 832x480, at most 16384 each",
        into=_size, back=lambda sample: f"{sample.width}x{sample.height}", elsewhere=("resolution", "width", "height"),
    )  # fmt: skip
    frames: int = option(
        help="Frames of the video.", least=1, most=10_000, elsewhere=("num-frames", "frame-num", "video-length")
    )
    fps: int = option(
        help="Frames a second in the video.", least=1, most=1000, elsewhere=("frame-rate", "framerate", "rate")
    )
    steps: int = option(
        help="Denoising steps.", least=1, most=1000,
        elsewhere=("num-inference-steps", "inference-steps", "sampling-steps", "num-steps"),
    )  # fmt: skip
    guidance_scale: float = option(
        help="Scale of classifier-free guidance; 1 or less is none.", name="cfg",
        elsewhere=("guidance-scale", "cfg-scale", "guidance"),
    )  # fmt: skip
    shift: float | None = option(
        None, "Of the flow-matching noise levels.", above=0, elsewhere=("flow-shift", "sample-shift")
    )
    negative_prompt: str = option("", "What the video should not show.", elsewhere=("negative", "neg-prompt"))
    image: str = option(
        "", "A picture that the video starts from (with VACE: refers to), for models that want one; its middle is cut "
        "to the video's shape.",
        like="a picture's file", into=_picture, back=lambda sample: sample.image,
    )  # fmt: skip
    enlarge: int = option(
        1, "Times that each side is enlarged in the video, for models whose frames are tiny.", least=1, most=64
    )
    max_sequence_length: int = 512
    """Prompt tokens that the model reads, padding included."""
    more: dict = option(
        help="A further argument of the pipeline's call, such as decode_timestep=0.05 of LTX; several times.",
        name="set", factory=dict, repeated=True, like="name=value, an argument of the pipeline's call",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        for name in ("height", "width", "max_sequence_length"):
            _check_count(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class LoadConfig(Checked):
    """How the model is held in memory."""

    PANEL: ClassVar[str] = LOADING

    device: str = option("", "cpu, cuda, ...; without it a GPU where there is one.")
    dtype: str = option(
        "", "Of the frozen model: float32 (or fp32), bfloat16 (bf16) or float16 (fp16); without it bfloat16 on a GPU, "
        "float32 on a CPU.",
        choices=("float32", "bfloat16", "float16"), also={"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"},
    )  # fmt: skip
    variant: str = option("", "Of the weights' files: fp16 for `.fp16.safetensors`; without it the one that is there.")
    lora: tuple[str, ...] | None = option(
        None, "A file or hub id, and perhaps :SCALE: a LoRA that is always on, beside the guide's; several times.",
        repeated=True, like="a file or a hub id, and perhaps :SCALE",
    )  # fmt: skip
    transformer: str = option(
        "", "A denoiser's single file, in place of the model's own: .safetensors, also in fp8, or .gguf."
    )
    offload: str = option(
        "none", "none, model (one part of the pipeline on the GPU at a time), group (one block at a time as well, but "
        "for the blocks that the guide needs gradients through), or stream (group, and while a block computes the next "
        "one comes).", choices=("none", "model", "group", "stream"),
    )  # fmt: skip
    pin: bool = option(
        True, "With --offload stream, keep the blocks that wait in page-locked memory, from which they come fastest; "
        "without it they are locked one by one, which takes less memory.",
    )  # fmt: skip
    quantize: str = option(
        "none", "Of the frozen denoiser's and text encoder's matrices: none, int8 or nf4.",
        choices=("none", "int8", "nf4"),
    )  # fmt: skip
    tiling: bool = option(False, "Decode the video in tiles from the start; without it, only once memory runs out.")
    attention_backend: str = option(
        "", "One of diffusers', for all attention that is not read: flash, sage, xformers, ...; without it PyTorch's."
    )
    compile: bool = option(
        False, "Compile the denoiser's blocks by torch.compile, but for those that the guide needs gradients through; "
        "the first video waits for it.",
    )  # fmt: skip

    @property
    def grouped(self) -> bool:
        """Whether blocks are off the device until they run."""
        return self.offload in ("group", "stream")

    @property
    def divides(self) -> bool:
        """Whether the blocks that the guide needs gradients through are held otherwise than the rest."""
        return self.grouped or self.compile


@dataclass(frozen=True, kw_only=True)
class GuideConfig(Checked):
    """How the denoiser's attention is brought to the layout (paper section 3.2)."""

    PANEL: ClassVar[str] = GUIDANCE

    mode: str = option(
        "params", "params (the paper's way: optimise an inserted LoRA), latents (move the noisy latents), attention (a "
        "bias on the attention; costs nothing), sums of them (attention+latents, attention+params, latents+params, "
        "attention+latents+params), or off.", name="guide",
        choices=MODES, also=_orders(MODES),
    )  # fmt: skip
    loss: str = option(
        "jsd", "jsd (Jensen-Shannon divergence) or l2 (squared distance of the distributions).", choices=("jsd", "l2")
    )
    blocks: tuple[int, ...] = option(
        (3,), "Denoiser blocks whose attention is aligned, from 0: 2,3,4 or 2-4.", least=0, most=999,
        like="block numbers from 0, such as 2,3,4",
    )  # fmt: skip
    adapt: tuple[int, ...] | None = option(
        None, "Blocks that carry the adapter; without it every block up to the last aligned one.", least=0, most=999,
        like="block numbers from 0, such as 2,3,4",
    )  # fmt: skip
    train_from: int = option(
        0, "First block that guided steps train, the first aligned one at the latest, in mode params alone. What comes "
        "before runs once a step; where it carries the adapter, it learns in consolidation.", least=0, most=999,
    )  # fmt: skip
    projections: tuple[str, ...] = option(
        ("q", "k", "v", "o"), "Of q,k,v,o of the attention to the text: those that carry the adapter.",
        choices=("q", "k", "v", "o"),
    )  # fmt: skip
    self_attention: bool = option(False, "Put the adapter on the attention among the video tokens as well.")
    rank: int = option(32, "Of the LoRA; its alpha is the same, so that the scale is 1.", least=1, most=4096)
    lr: float = option(1e-4, "Learning rate of AdamW on the adapter.", above=0)
    latent_lr: float = option(
        0.05, "Length of a step on the latents, times the noise level, per root-mean-square of the latents.", above=0
    )
    bias: float = option(
        4.0, "In mode attention, what is added to the scores of an object's words inside its box, and taken off "
        "outside.", above=0,
    )  # fmt: skip
    bias_blocks: tuple[int, ...] | None = option(
        None, "Blocks whose attention is biased; without it all.", least=0, like="block numbers from 0, such as 2,3,4",
    )  # fmt: skip
    steps: int = option(5, "Denoising steps that are guided, from the first.", name="guided-steps", least=1, most=1000)
    share: float = option(
        0.5, "Of all denoising steps, the share that is guided at most; all of them where --guided-steps is given.",
        name="guided-share", above=0, most=1,
    )  # fmt: skip
    iterations: int = option(8, "Optimisation iterations in each guided step, at most.", least=1, most=10_000)
    stop_loss: float = option(0.0, "A guided step ends early once the loss is below this.")
    conditional_only: bool = option(
        True, "The adapter on the unconditional branch too; without it, classifier-free guidance amplifies it.",
        name="both-branches", into=lambda both: {"conditional_only": not both},
        back=lambda guide: not guide.conditional_only,
    )  # fmt: skip
    keep_on: bool = option(False, "Leave the adapter on after the guided steps.")
    checkpointing: str = option(
        "none", "What is computed again in the backward pass rather than kept, for less memory and more time: none, "
        "blocks (one block's activations are there at a time), or parts (and its attentions' apart).",
        panel=LOADING, choices=("none", "blocks", "parts"),
    )  # fmt: skip
    consolidate: int = option(
        0, "Iterations over random noises after the video is written, so that the adapter holds for any.", panel=MEMORY,
        least=0, most=100_000,
    )  # fmt: skip
    consolidate_batch: int = 4
    """Random noises and noise levels in each of these iterations."""

    def __post_init__(self):
        super().__post_init__()
        _check_count("consolidate_batch", self.consolidate_batch)
        if self.adapt and min(self.adapt) > max(self.blocks):
            raise TTOMError(
                f"adapt must name a block of at most {max(self.blocks)}, the last of blocks, not {list(self.adapt)}"
            )

    def guided_of(self, steps: int) -> int:
        """How many of so many denoising steps are guided."""
        return min(self.steps, math.ceil(self.share * steps))

    @property
    def ways(self) -> set[str]:
        """What the mode is the sum of; none where it is off."""
        return set(self.mode.split("+")) - {"off"}

    @property
    def learns(self) -> bool:
        """Whether there is anything to remember: a LoRA, or moves of the latents."""
        return bool(self.ways & {"params", "latents"})

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


def meant(guide: dict) -> dict:
    """Fields of a guide as they are said: a number of guided steps holds whatever their share of all is, and the blocks
    that a card has the adapter on are of no matter where others are aligned."""
    share = {"share": 1.0} if "steps" in guide else {}
    adapt = {"adapt": None} if "blocks" in guide else {}
    return share | adapt | guide


@dataclass(frozen=True, kw_only=True)
class CheckConfig(Checked):
    """How a finished video is looked at."""

    PANEL: ClassVar[str] = CHECK

    enabled: bool | None = option(
        None, "Look whether the planned objects are there; without it where there is a detector.", name="check"
    )
    tries: int = option(
        1,
        "Videos at most, each with the next seed (beyond those asked for), until one passes; the best is kept.",
        least=1,
        most=1000,
    )
    strict: bool = option(False, "Exit with 1 for a video that does not pass.")
    anyway: bool = option(False, "Make videos of objects, too, that the model is known not to know.")
    detector: str = option(
        "", "What looks at the video: shapes (the embedded models' world) or grounded-sam2; without it the one of the "
        "model's world, if it has one.", choices=("shapes", "grounded-sam2"),
    )  # fmt: skip
    detector_model: str = option(
        "IDEA-Research/grounding-dino-tiny", "Of grounded-sam2: a GroundingDINO, as a hub id or a folder."
    )
    segmenter_model: str = option("facebook/sam2.1-hiera-large", "Of grounded-sam2: a SAM 2, as a hub id or a folder.")

    def __post_init__(self):
        super().__post_init__()
        if self.enabled is False and (self.tries > 1 or self.strict):
            raise TTOMError("--tries and --strict need the check", "leave out --no-check")


@dataclass(frozen=True, kw_only=True)
class PlannerConfig(Checked):
    """What makes a layout of a prompt. An endpoint's key comes from OPENAI_API_KEY and nowhere else."""

    PANEL: ClassVar[str] = PLANNING

    planner: str = option(
        "auto", "What makes the layout: rules (offline), openai (a language model), or auto (rules where they are "
        "sure, else the language model where one is configured, else what the rules are sure of).",
        choices=("auto", "rules", "openai"),
    )  # fmt: skip
    planner_fallback: str = option(
        "", "For what cannot be planned: none (a video without guidance), rules (what they are sure of), or error; "
        "without it rules and then none for auto, error for the others.", choices=("none", "rules", "error"),
    )  # fmt: skip
    llm_model: str = option("", "Of the openai planner.", env="TTOM_LLM_MODEL")
    llm_base_url: str = option(
        "", "Any OpenAI-compatible endpoint; without it OpenAI's own. Its key: OPENAI_API_KEY.",
        env="TTOM_LLM_BASE_URL", like="an address such as http://localhost:8000/v1", into=_address,
        back=lambda planner: planner.llm_base_url, elsewhere=("base-url", "api-base", "endpoint"),
    )  # fmt: skip
    llm_timeout: float = option(120.0, "Seconds that the server may be silent.", above=0, below=86400)
    llm_total_timeout: float = option(
        600.0, "Seconds that a prompt's plan may take, corrections and tries again included.", above=0, below=86400,
        elsewhere=("timeout",),
    )  # fmt: skip
    llm_max_tokens: int = option(
        8192, "Tokens of a reply at most, the model's thinking included.", least=1, most=10_000_000
    )
    llm_retries: int = option(
        4, "Tries again after a transport error, a 429 or a 5xx, with backoff.", least=0, most=100
    )
    template: Path | None = option(None, "A folder with files in place of the shipped prompt template.")
    trust_layout: bool = option(False, "Only note where a layout and the words of the prompt disagree.")
    cache: bool = option(True, "Keep the model's answers, and do not ask for them again.")
    refresh: bool = option(False, "Ask the model again, and keep the new answer.")
    cache_folder: Path | None = None
    """None: the user's cache directory, or TTOM_CACHE."""

    def __post_init__(self):
        super().__post_init__()
        if self.planner == "openai" and not self.llm_model:
            raise TTOMError("the openai planner needs a model", "name one with --llm-model")

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


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(Checked):
    """How the bank is used."""

    PANEL: ClassVar[str] = MEMORY

    enabled: bool = option(True, "Use the memory bank.", name="memory")
    on_hit: str = option(
        "auto", "skip (use the adapter as it is), continue (optimise it further, then update the entry), or auto: "
        "skip, but continue a LoRA of a scene less alike; and where a look at a skip's video fails, optimise anew.",
        choices=("auto", "skip", "continue"),
    )  # fmt: skip
    blend: int = option(
        1, "Entries whose adapters are blended for a hit, by their likeness: the best, and so many in all.", least=1,
        most=16,
    )  # fmt: skip
    capacity: int = option(
        256,
        "Entries at most; above it the least worth keeping goes first: what was of use seldom, or long ago.",
        least=1,
        most=10_000_000,
    )
    scene: float = 0.7
    """Least cosine between abstracted scenes for a hit."""
    objects: float = 0.9
    """Least cosine between the phrases of corresponding objects for a hit."""
    overlap: float = 0.5
    """Least mean IoU of corresponding boxes for a hit."""
    sure: float = 0.8
    """Least likeness (of scene, objects as far as they count, and boxes the least) for a skip of a LoRA in auto."""
