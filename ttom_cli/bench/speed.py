"""What guidance costs: plain sampling, a cold run, the reference's way and a memory hit, side by side."""

from __future__ import annotations

import statistics
import time
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from ..catalog import ModelCard
from ..config import GuideConfig, MemoryConfig
from ..generate import Job, Silent, make_targets, sample
from ..guidance.guide import Guide, attach
from ..guidance.targets import Targets
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


def speed_arms(guide: GuideConfig, blocks: int) -> dict[str, Arm]:
    """Of a model with so many blocks. The reference carries adapters on all of them, and runs all of them each time."""
    return {
        "plain": Arm(replace(guide, mode="off")),
        "cold": Arm(guide),
        "the reference's way": Arm(replace(guide, adapt=tuple(range(blocks)), keep_on=True), truncate=False),
        "hit, skip": Arm(guide, optimise=False),
    }


def speed_table(runtime: Runtime, *, repeats: int, seed: int, tell: Tell) -> Table:
    """Seconds of sampling, the arms in turn, `repeats` times; decoding is part of it, loading and writing are not."""
    backbone, pipe, card = runtime.backbone, runtime.pipe, runtime.card
    arms = speed_arms(card.guide, backbone.blocks(backbone.denoiser(pipe)))
    job = Job(
        layout=make_planner().plan(PROMPT), seed=seed, path=Path("-"), sample=card.sample, guide=card.guide,
        memory=MemoryConfig(enabled=False),
    )  # fmt: skip
    runtime.prepare(job.sample)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    peaks = {}
    for turn in range(repeats + 1):  # the first turn warms up, and counts the memory
        for i, (name, arm) in enumerate(arms.items()):
            tell(name, turn * len(arms) + i, (repeats + 1) * len(arms))
            if turn == 0:
                peaks[name] = peak_bytes(runtime, job, arm)
                continue
            _synchronize()
            began = time.perf_counter()
            _sample(runtime, job, arm)
            _synchronize()
            seconds[name].append(time.perf_counter() - began)
    rows = []
    plain = statistics.median(seconds["plain"])
    for name, times in seconds.items():
        took = statistics.median(times)
        figures = {"seconds": took, "times plain": took / plain, "overhead": took / plain - 1}
        rows.append(Row(name, figures | {"peak MB": peaks[name] / 1e6, "peak": peaks[name] / peaks["plain"]}))
    what = "as allocated on the GPU" if runtime.load.device.startswith("cuda") else "weights and live tensors, counted"
    note = f"{card.name}, median of {repeats}, seed {seed}; peak memory: {what}"
    return Table("The cost", note, rows)


def _sample(runtime: Runtime, job: Job, arm: Arm) -> None:
    job = replace(job, guide=arm.guide)
    with attach(runtime.pipe, runtime.backbone, arm.guide, seed=job.seed) as adapter:
        hooks = nullcontext()
        if arm.guide.mode != "off":
            hooks = Guide(
                runtime.pipe, runtime.backbone, arm.guide, make_targets(runtime, job), adapter=adapter,
                optimise=arm.optimise, truncate=arm.truncate,
            )  # fmt: skip
        with hooks:
            sample(runtime, job, Silent())


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


# ---------------------------------------------------------------- memory


def peak_bytes(runtime: Runtime, job: Job, arm: Arm) -> int:
    """Most memory held at once while the video is sampled and decoded, weights included."""
    if runtime.load.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        _sample(runtime, job, arm)
        return torch.cuda.max_memory_allocated()
    weights = sum(p.nbytes for part in runtime.pipe.components.values() for p in _parameters(part))
    with LiveBytes() as live:
        _sample(runtime, job, arm)
    return weights + live.peak


def _parameters(part):
    return part.parameters() if isinstance(part, torch.nn.Module) else ()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it and still live; `peak` is the most at once."""

    def __init__(self):
        super().__init__()
        self.seen: set[int] = set()
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


# ---------------------------------------------------------------- operations


def count_table(card: ModelCard) -> Table:
    """Operations of the denoiser at the model's real size, counted on tensors without content.

    Plain sampling is two forwards a step. The text encoder and the decoder, which are the same for all, are left
    out, so the overheads are a little overstated.
    """
    from .sizes import denoiser_call

    backbone, pipe, call = denoiser_call(card)
    arms = speed_arms(card.guide, backbone.blocks(pipe.transformer))
    counted = {name: _operations(backbone, pipe, call, arm, card.sample.steps) for name, arm in arms.items()}
    plain = counted["plain"]
    rows = [
        Row(n, {"PFLOP": c / 1e15, "times plain": c / plain, "overhead": c / plain - 1}) for n, c in counted.items()
    ]
    s, g = card.sample, card.guide
    note = (
        f"{card.name} at {s.width}x{s.height}x{s.frames}, {s.steps} steps, {g.iterations} iterations in each of "
        f"{g.steps} guided ones; the denoiser alone"
    )
    return Table("The cost, counted", note, rows)


def _operations(backbone, pipe, call: dict, arm: Arm, steps: int) -> int:
    """Of all denoiser calls of a video with two phrases of two words."""
    config = arm.guide
    forward = _counted(lambda: pipe.transformer(**call))
    if config.mode == "off":
        return 2 * steps * forward
    targets = Targets(torch.empty(0), torch.empty(0), phrases=((1, 2), (5, 6)))
    with attach(pipe, backbone, config, seed=0) as adapter:
        adapter.switch(True)
        adapted = _counted(lambda: pipe.transformer(**call))
        guide = Guide(pipe, backbone, config, targets, adapter=adapter, truncate=arm.truncate)
        with guide.prefix_kept():
            first, later = (_counted(lambda: _iteration(guide, call)) for _ in range(2))
    on = steps if config.keep_on else config.steps
    optimising = config.steps * (first + (config.iterations - 1) * later) if arm.optimise else 0
    return (2 * steps - on) * forward + on * adapted + optimising


@torch.enable_grad()
def _iteration(guide: Guide, call: dict) -> None:
    """Forward to the aligned blocks and back; the loss itself is next to nothing."""
    sum(maps.sum() for maps in guide.attention(call).values()).backward()


def _counted(work) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
