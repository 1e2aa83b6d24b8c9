"""What guidance costs: plain sampling, a cold run, the reference's way and a memory hit, side by side."""

from __future__ import annotations

import functools
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from ..backbones.card import ModelCard
from ..config import GuideConfig, MemoryConfig
from ..generate import make_targets, sample
from ..guidance.adapter import Adapter, State
from ..guidance.guide import Guide, attach
from ..guidance.targets import Targets
from ..jobs import Job, Silent
from ..planning import make_planner
from ..runtime import Runtime
from .making import Tell
from .report import Row, Table
from .sizes import RealSize, real_size

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
    Those whose guide the model cannot take as it is held are left out.
    """
    backbone, pipe, card = runtime.backbone, runtime.pipe, runtime.card
    arms = speed_arms(card, backbone.blocks(backbone.denoiser(pipe)))
    arms = {name: arm for name, arm in arms.items() if runtime.takes(arm.guide)}
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
    moved: int
    """Bytes that its operations read and write, each as one kernel."""


class Counted(LiveBytes):
    """Counts what each operation does, too."""

    def __init__(self, weights: Iterable[torch.Tensor] = ()):
        super().__init__(weights)
        self.operations = self.moved = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = super().__torch_dispatch__(func, types, args, kwargs)
        if not func.is_view:
            self.moved += sum(t.nbytes for t in tree_leaves((args, kwargs, output)) if isinstance(t, torch.Tensor))
        if formula := flop_registry.get(func.overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=output)
        return output


def count_table(card: ModelCard) -> Table:
    """Operations of the denoiser and bytes at the model's real size, counted on tensors without content.

    The operations of the text encoder and the decoder, which are the same for all, are left out, so the overheads are a
    little overstated. The bytes held are those of all weights in bfloat16 and of the tensors that live at once, in
    sampling or in decoding; what a GPU's kernels need beside them is not in it. The bytes moved are all that PyTorch's
    operations read and write: what a fused kernel keeps to itself does not count.
    """
    real = real_size(card)
    arms = speed_arms(card, real.backbone.blocks(real.pipe.transformer))
    decoding = _cost(real.pipe, lambda: real.pipe.vae.decode(*real.decoded)).peak
    plain = _cost(real.pipe, lambda: real.pipe.transformer(**real.call))
    costs = {name: _arm_cost(real, arm, card.sample.steps, plain) for name, arm in arms.items()}
    held = {name: card.weights * 1e9 + max(cost.peak, decoding) for name, cost in costs.items()}
    rows = []
    for name, (operations, _, moved) in costs.items():
        ratio = operations / costs["plain"].operations
        figures = {"PFLOP": operations / 1e15, "times plain": ratio, "overhead": ratio - 1, "TB moved": moved / 1e12}
        rows.append(Row(name, figures | {"peak GB": held[name] / 1e9, "peak": held[name] / held["plain"]}))
    s, g = card.sample, card.guide
    note = (
        f"{card.name} at {s.width}x{s.height}x{s.frames}, {s.steps} steps, {g.iterations} iterations in each of "
        f"{g.guided_of(s.steps)} guided ones; operations of the denoiser alone"
    )
    return Table("The cost, counted", note, rows)


def _arm_cost(real: RealSize, arm: Arm, steps: int, plain: Cost) -> Cost:
    """Of all denoiser calls of a video with two phrases of two words; `plain` is that of one without an adapter."""
    backbone, pipe, call, config = real.backbone, real.pipe, real.call, arm.guide
    calls = real.branches * steps
    if config.mode == "off":
        return Cost(calls * plain.operations, plain.peak, calls * plain.moved)
    guided = config.guided_of(steps)
    on = steps if config.keep_on else guided
    grid = backbone.grid(pipe.transformer, call)
    targets = Targets(torch.empty(2, *grid), torch.empty(2, grid[0]), torch.empty(2, *grid), ((1, 2), (5, 6)))
    with attach(pipe, backbone, config, seed=0) as adapter:
        guide = Guide(pipe, backbone, config, targets, adapter=adapter, optimise=arm.optimise, truncate=arm.truncate)
        parts = [(calls - on, plain), (on, _cost(pipe, functools.partial(_steered, guide, call)))]
        if any(way.learns for way in guide.ways):
            first, later = _costs(pipe, _iterations(guide, call, 2))  # the first runs what is kept for the others
            parts += [(guided, first), (guided * (config.iterations - 1), later)]
    operations, moved = (sum(n * cost[i] for n, cost in parts) for i in (0, 2))
    return Cost(operations, max(cost.peak for _, cost in parts), moved)


def _steered(guide: Guide, call: dict) -> None:
    """A conditional call of a guided step, as it is steered."""
    with ExitStack() as steered:
        for way in guide.ways:
            call = steered.enter_context(way.applied(True, call))
        guide.denoiser(**call)


def _iterations(guide: Guide, call: dict, times: int) -> Iterator[None]:
    with torch.enable_grad(), guide.thrift.prefix_kept(), guide.thrift.checkpointed():
        for _ in range(times):
            guide.loss(call).backward()
            yield


def _cost(pipe, work: Callable[[], object]) -> Cost:
    return _costs(pipe, (work() for _ in range(1)))[0]


@torch.no_grad()
def _costs(pipe, works: Iterable) -> list[Cost]:
    """Of each of the works, which are done as they are asked for."""
    costs = []
    with _fused_attention(), Counted([*pipe.transformer.parameters(), *pipe.vae.parameters()]) as count:
        for _ in works:
            done = (sum(cost.operations for cost in costs), sum(cost.moved for cost in costs))
            costs.append(Cost(count.operations - done[0], count.peak, count.moved - done[1]))
    return costs


@contextmanager
def _fused_attention():
    """Without content PyTorch takes an attention apart; within this it is the kernel that a GPU would take."""

    def fused(query, key, value, mask=None, dropout=0.0, causal=False, scale=None, enable_gqa=False):
        if mask is None and query.shape[-1] == value.shape[-1]:
            return aten._scaled_dot_product_flash_attention(query, key, value, dropout, causal, scale=scale)[0]
        if mask is not None:
            mask = (mask if mask.is_floating_point() else query.new_empty(mask.shape)).expand(*query.shape[:3], -1)
        wanted = any(tensor.requires_grad for tensor in (query, key, value))
        return aten._scaled_dot_product_efficient_attention(
            query, key, value, mask, wanted, dropout, causal, scale=scale
        )[0]

    aten = torch.ops.aten
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("scaled_dot_product_attention", fused, "AutogradMeta")
        yield
