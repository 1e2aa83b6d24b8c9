"""The probe itself (paper section 3.2): sample unguided, read all blocks, compare with what is seen.

The protocol is the reference's: masks of a detector in the finished video, or the planned boxes, as in its
CogVideoX script.

Letters: V videos, K blocks, C columns (step ranges, and last the window), N heads, P phrases, F x H x W tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..config import GuideConfig
from ..errors import VideoError
from ..generate import make_targets, sample
from ..guidance.guide import Guide
from ..guidance.targets import Targets
from ..jobs import Job, Report, Silent
from ..layout import Layout
from ..runtime import Runtime
from ..seeing.masks import planned_masks, seen_masks
from .measures import MEASURES, Figure, figure, measure
from .sums import Sums


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How alike the attention of a block, or of one of its heads, in the window and the masks are."""

    block: int
    head: int | None = None
    soft: Figure
    hard: Figure
    jsd: Figure

    def to_json(self) -> dict:
        row = {"block": self.block} | ({} if self.head is None else {"head": self.head})
        for name in MEASURES:
            one = getattr(self, name)
            row |= {name: one.mean, f"{name}_interval": one.interval}
        return row


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the videos say of each block."""

    model: str
    seed: int
    detector: str
    """What the attention was compared with: a detector's name, or layout."""
    steps: int
    """Denoising steps of the denoiser that is guided."""
    ranges: list[tuple[int, int]]
    """First and last step of each."""
    window: tuple[int, int]
    """The steps by which blocks are compared."""
    values_VKCM: np.ndarray
    """MEASURES of each video; its last column is the window."""
    heads_VKNM: np.ndarray | None = None
    """The same of each head, in the window."""

    @property
    def videos(self) -> int:
        return len(self.values_VKCM)

    @property
    def about(self) -> str:
        """What was compared, in words."""
        against = "the planned boxes" if self.detector == "layout" else f"what the detector {self.detector} sees"
        return f"{self.videos} video{'s' * (self.videos > 1)} of {Path(self.model).name}, against {against}"

    @property
    def when(self) -> str:
        """The window, in words."""
        first, last = self.window
        return f"step {last} of {self.steps}" if first == last else f"steps {first} to {last} of {self.steps}"

    @property
    def blocks(self) -> list[Scores]:
        """All blocks, in order."""
        return [Scores(block=k, **_figures(self.values_VKCM[:, k, -1])) for k in range(self.values_VKCM.shape[1])]

    @property
    def heads(self) -> list[Scores]:
        """All heads of all blocks, in order; none if they were not told apart."""
        if self.heads_VKNM is None:
            return []
        return [
            Scores(block=k, head=n, **_figures(self.heads_VKNM[:, k, n]))
            for k, n in np.ndindex(self.heads_VKNM.shape[1:3])
        ]

    def table(self, name: str) -> np.ndarray:
        """One of MEASURES for each block and step range, mean over videos: (K, C - 1)."""
        return self.values_VKCM[:, :, :-1, MEASURES.index(name)].mean(0)

    def to_json(self) -> dict:
        facts = {"model": self.model, "videos": self.videos, "seed": self.seed, "detector": self.detector}
        facts |= {"steps": self.steps, "window": list(self.window), "blocks": [s.to_json() for s in self.blocks]}
        facts |= {"ranges": [list(r) for r in self.ranges], "table": {m: self.table(m).tolist() for m in MEASURES}}
        return facts | ({} if self.heads_VKNM is None else {"heads": [s.to_json() for s in self.heads]})


def _figures(values_VM: np.ndarray) -> dict[str, Figure]:
    return {name: figure(values_VM[:, m]) for m, name in enumerate(MEASURES)}


def best_first(scores: list[Scores]) -> list[Scores]:
    """By soft IoU in the window."""
    return sorted(scores, key=lambda s: -s.soft.mean)


def probe(
    runtime: Runtime,
    jobs: list[Job],
    *,
    ranges: int = 10,
    heads: bool = False,
    layout_only: bool = False,
    report: Report | None = None,
) -> Probe:
    """Scores of all blocks over the videos of `jobs`, whose guide is not used.

    With `layout_only` against the planned boxes, else against what the runtime's detector sees. A video in which
    none of its objects is seen counts for nothing; that is noted. Raises VideoError where none is left.
    """
    report, values, by_head = report or Silent(), [], []
    targets = [make_targets(runtime, job) for job in jobs]  # what is wrong with a layout is said before all sampling
    for job, target in zip(jobs, targets, strict=True):
        try:
            sums, video = sample_sums(runtime, job, target, ranges=ranges, heads=heads, report=report)
        except VideoError as error:
            report.note(f"{job.layout.prompt!r}, seed {job.seed}, counts for nothing: {error.message}")
            continue
        report.stage("check")
        masks_PFHW = object_masks(runtime, job.layout, target, video, layout_only=layout_only)
        if not masks_PFHW.any():
            report.note(f"{job.layout.prompt!r}, seed {job.seed}, counts for nothing: none of its objects is seen")
            continue
        blocks = range(len(sums.total))
        values.append(torch.stack([measure(sums.means(k), masks_PFHW) for k in blocks]).numpy())
        if heads:
            by_head.append(torch.stack([measure(sums.head_means(k), masks_PFHW) for k in blocks]).numpy())
    if not values:
        raise VideoError("no object is seen in any video", "try other prompts, or --layout-only")
    return Probe(
        model=runtime.card.name, seed=jobs[0].seed, detector="layout" if layout_only else runtime.detector.name,
        steps=sums.steps, ranges=sums.ranges, window=sums.window, values_VKCM=np.stack(values),
        heads_VKNM=np.stack(by_head) if heads else None,
    )  # fmt: skip


def sample_sums(
    runtime: Runtime, job: Job, targets: Targets, *, ranges: int, heads: bool, report: Report
) -> tuple[Sums, np.ndarray]:
    """The attention of all blocks in the conditional calls, added up, and the video (F, H, W, 3) uint8."""
    runtime.prepare(job.sample)
    backbone, pipe = runtime.backbone, runtime.pipe
    blocks = tuple(range(backbone.blocks(backbone.denoiser(pipe))))
    sums = None

    @torch.no_grad()
    def read(step: int, kwargs: dict) -> None:
        nonlocal sums
        sums = sums or Sums(backbone.denoiser_steps(pipe), ranges)
        maps = guide.attention(kwargs, heads=heads and sums.in_window(step))
        sums.add(step, [maps[b][0] for b in blocks], backbone.grid(guide.denoiser, kwargs))

    config = replace(GuideConfig(), mode="latents", blocks=blocks, steps=job.sample.steps)
    guide = Guide(pipe, backbone, config, targets, adapter=None, optimise=False, on_conditional=read, truncate=False)
    report.stage("sample", job.sample.steps)
    with guide:
        video = sample(runtime, job, report)
    return sums, video


def object_masks(
    runtime: Runtime, layout: Layout, targets: Targets, video: np.ndarray, *, layout_only: bool
) -> torch.Tensor:
    """Where each phrase's objects are in each latent frame: (P, F, H, W) on the token grid."""
    times = runtime.backbone.latent_times(runtime.pipe, len(video))
    tracks = [
        [t for t, row in zip(layout.objects, targets.rows, strict=True) if row == p]
        for p in range(len(targets.phrases))
    ]
    grid = tuple(targets.mass.shape[-2:])
    if layout_only:
        return planned_masks(tracks, times, grid)
    phrases = [row[0].phrase for row in tracks]
    seen = dict(zip(unique := list(dict.fromkeys(phrases)), runtime.see(video, unique), strict=True))
    return seen_masks([seen[phrase] for phrase in phrases], len(video), times, grid)
