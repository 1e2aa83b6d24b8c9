"""What guidance costs: plain sampling, a cold run, the reference's way and a memory hit, side by side."""

from __future__ import annotations

import functools
import statistics
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from ..backbones.card import ModelCard
from ..config import GuideConfig, MemoryConfig
from ..generate import make_targets, sample
from ..guidance.adapter import Adapter, State
from ..guidance.guide import Guide, attach
from ..guidance.targets import Targets
from ..jobs import Job, Silent
from ..planning import make_planner
from ..runtime import Runtime
from .report import Row, Table
from .shapes import Tell

PROMPT = "a red ball rolls right while a blue cube rises"


@dataclass(frozen=True)
class Arm:
    """A way to make the video."""

    guide: GuideConfig
    optimise: bool = True
    truncate: bool = True


def speed_arms(card: ModelCard, blocks: int) -> dict[str, Arm]:
    """Of a model with so many blocks. The reference carries adapters on all of them, and runs all of them each time."""
    guide, params = card.guide, card.guide_in("params")
    return {
        "plain": Arm(card.guide_in("off")),
        "attention": Arm(card.guide_in("attention")),
        "hit, skip": Arm(guide, optimise=False),
        **({} if guide.mode == "params" else {f"cold, {guide.mode}": Arm(guide)}),
        "cold, params": Arm(params),
        "the reference's way": Arm(
            replace(params, adapt=tuple(range(blocks)), train_from=0, keep_on=True), truncate=False
        ),
    }


def speed_table(runtime: Runtime, *, repeats: int, seed: int, tell: Tell) -> Table:
    """Seconds of sampling, the arms in turn, `repeats` times; decoding is part of it, loading and writing are not.

    An arm's ratio to plain is the median over the turns, so that a machine that is slower for a while does no harm.
    """
    backbone, pipe, card = runtime.backbone, runtime.pipe, runtime.card
    arms = speed_arms(card, backbone.blocks(backbone.denoiser(pipe)))
    job = Job(
        layout=make_planner().plan(PROMPT), seed=seed, path=Path("-"), sample=card.sample, guide=card.guide,
        memory=MemoryConfig(enabled=False),
    )  # fmt: skip
    runtime.prepare(job.sample)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    learnt = _sample(runtime, job, Arm(card.guide))
    peaks = {}
    for turn in range(repeats + 1):  # the first turn warms up, and counts the memory
        for i, (name, arm) in enumerate(arms.items()):
            tell(name, turn * len(arms) + i, (repeats + 1) * len(arms))
            if turn == 0:
                peaks[name] = peak_bytes(runtime, job, arm, learnt)
                continue
            _synchronize()
            began = time.perf_counter()
            _sample(runtime, job, arm, learnt)
            _synchronize()
            seconds[name].append(time.perf_counter() - began)
    rows = []
    for name, times in seconds.items():
        ratio = statistics.median(took / plain for took, plain in zip(times, seconds["plain"], strict=True))
        figures = {"seconds": statistics.median(times), "times plain": ratio, "overhead": ratio - 1}
        rows.append(Row(name, figures | {"peak MB": peaks[name] / 1e6, "peak": peaks[name] / peaks["plain"]}))
    what = "as allocated on the GPU" if runtime.load.device.startswith("cuda") else "weights and live tensors, counted"
    note = f"{card.name}, median of {repeats}, seed {seed}; peak memory: {what}"
    return Table("The cost", note, rows)


def _sample(runtime: Runtime, job: Job, arm: Arm, learnt: State | None = None) -> State | None:
    """Make a video; an arm that does not optimise uses what was `learnt`. The adapter's tensors, where one was."""
    job = replace(job, guide=arm.guide)
    stored = None if arm.optimise else learnt
    with attach(
        runtime.pipe, runtime.backbone, arm.guide, seed=job.seed, stored=stored, optimise=arm.optimise
    ) as adapter:
        hooks = nullcontext()
        if arm.guide.mode != "off":
            hooks = Guide(
                runtime.pipe, runtime.backbone, arm.guide, make_targets(runtime, job), adapter=adapter,
                optimise=arm.optimise, truncate=arm.truncate,
            )  # fmt: skip
        with hooks:
            sample(runtime, job, Silent())
        return adapter.state() if isinstance(adapter, Adapter) else None


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ---------------------------------------------------------------- memory


def peak_bytes(runtime: Runtime, job: Job, arm: Arm, learnt: State | None = None) -> int:
    """Most memory held at once while the video is sampled and decoded, weights included."""
    if runtime.load.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        _sample(runtime, job, arm, learnt)
        return torch.cuda.max_memory_allocated()
    weights = [p for part in runtime.pipe.components.values() for p in _parameters(part)]
    with LiveBytes(weights) as live:
        _sample(runtime, job, arm, learnt)
    return sum(w.nbytes for w in weights) + live.peak


def _parameters(part):
    return part.parameters() if isinstance(part, torch.nn.Module) else ()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it and still live; `peak` is the most at once.

    `weights` are not counted, nor are views of them.
    """

    def __init__(self, weights: Iterable[torch.Tensor] = ()):
        super().__init__()
        self.seen = {w.untyped_storage()._cdata for w in weights}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._enter, output)
        return output

    def _enter(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._leave, key, size)

    def _leave(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


# ---------------------------------------------------------------- counted


class Cost(NamedTuple):
    """What some work takes."""

    operations: int
    peak: int
    """Bytes held at once, beside the weights."""


def count_table(card: ModelCard) -> Table:
    """Operations of the denoiser and bytes held at the model's real size, counted on tensors without content.

    Plain sampling is two forwards a step. The operations of the text encoder and the decoder, which are the same for
    all, are left out, so the overheads are a little overstated. The bytes are those of all weights in bfloat16 and of
    the tensors that live at once, in sampling or in decoding; what a GPU's kernels need beside them is not in it.
    """
    from .sizes import real_size

    backbone, pipe, call = real_size(card)
    arms = speed_arms(card, backbone.blocks(pipe.transformer))
    decoding = _cost(pipe, lambda: pipe.vae.decode(call["hidden_states"].float())).peak
    plain = _cost(pipe, lambda: pipe.transformer(**call))
    costs = {name: _arm_cost(backbone, pipe, call, arm, card.sample.steps, plain) for name, arm in arms.items()}
    held = {name: card.weights * 1e9 + max(cost.peak, decoding) for name, cost in costs.items()}
    rows = []
    for name, (operations, _) in costs.items():
        ratio = operations / costs["plain"].operations
        figures = {"PFLOP": operations / 1e15, "times plain": ratio, "overhead": ratio - 1}
        rows.append(Row(name, figures | {"peak GB": held[name] / 1e9, "peak": held[name] / held["plain"]}))
    s, g = card.sample, card.guide
    note = (
        f"{card.name} at {s.width}x{s.height}x{s.frames}, {s.steps} steps, {g.iterations} iterations in each of "
        f"{g.guided_of(s.steps)} guided ones; operations of the denoiser alone"
    )
    return Table("The cost, counted", note, rows)


def _arm_cost(backbone, pipe, call: dict, arm: Arm, steps: int, plain: Cost) -> Cost:
    """Of all denoiser calls of a video with two phrases of two words; `plain` is that of one without an adapter."""
    config = arm.guide
    if config.mode == "off":
        return Cost(2 * steps * plain.operations, plain.peak)
    guided = config.guided_of(steps)
    on = steps if config.keep_on else guided
    grid = backbone.grid(pipe.transformer, call)
    targets = Targets(torch.empty(2, *grid), torch.empty(2, grid[0]), torch.empty(2, *grid), ((1, 2), (5, 6)))
    with attach(pipe, backbone, config, seed=0) as adapter:
        guide = Guide(pipe, backbone, config, targets, adapter=adapter, optimise=arm.optimise, truncate=arm.truncate)
        steered = _cost(pipe, functools.partial(_steered, guide, call))
        sampling = Cost((2 * steps - on) * plain.operations + on * steered.operations, steered.peak)
        if not any(way.learns for way in guide.ways):
            return sampling
        one, two = (_cost(pipe, functools.partial(_iterate, guide, call, n)) for n in (1, 2))
    step = one.operations + (config.iterations - 1) * (two.operations - one.operations)
    return Cost(sampling.operations + guided * step, max(sampling.peak, two.peak))


def _steered(guide: Guide, call: dict) -> None:
    """A conditional call of a guided step, as it is steered."""
    with ExitStack() as steered:
        for way in guide.ways:
            call = steered.enter_context(way.applied(True, call))
        guide.denoiser(**call)


@torch.enable_grad()
def _iterate(guide: Guide, call: dict, times: int) -> None:
    with guide.prefix_kept(), guide.checkpointed():
        for _ in range(times):
            guide.loss(call).backward()


@torch.no_grad()
def _cost(pipe, work: Callable[[], object]) -> Cost:
    with FlopCounterMode(display=False) as counter:
        work()
    weights = [*pipe.transformer.parameters(), *pipe.vae.parameters()]
    with _fused_attention(), LiveBytes(weights) as live:
        work()
    return Cost(counter.get_total_flops(), live.peak)


@contextmanager
def _fused_attention():
    """Without content PyTorch holds an attention's map whole; within this, what its fused kernel holds."""

    def fused(query, key, value, mask=None, dropout=0.0, causal=False, scale=None, enable_gqa=False):
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return kernel(query, key, value, dropout, causal, attn_mask=mask, scale=scale)[0]

    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("scaled_dot_product_attention", fused, "AutogradMeta")
        yield
