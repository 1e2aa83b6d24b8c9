"""Which blocks' attention tells where objects end up (paper section 3.2, the attention-layout probe).

An unguided video is sampled; in the last denoising steps each block's attention to each phrase is read,
scaled to [0, 1], and compared with where the object is in the finished video. Where no detector knows the
model's world, the layout's own boxes stand in for that, as in the reference's CogVideoX script.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .config import GuideConfig
from .generate import Job, Report, Silent, make_targets, sample
from .guidance.guide import Guide
from .layout import Layout
from .layout.model import Box
from .runtime import Runtime

WINDOW = (0.84, 0.98)  # of the denoising steps: 42 to 49 of 50 in the reference


@dataclass(frozen=True)
class BlockScore:
    """Soft IoU of one block's attention with the objects' masks: mean and 95 % interval over videos."""

    block: int
    mean: float
    interval: float


def probe(runtime: Runtime, jobs: list[Job], report: Report | None = None) -> list[BlockScore]:
    """Scores of all blocks, in order, over the videos of `jobs` (their guide is not used)."""
    report = report or Silent()
    per_video = []
    for job in jobs:
        runtime.prepare(job.sample)
        per_video.append(_probe_one(runtime, job, report))
    scores_VK = np.array(per_video)
    spread = scores_VK.std(0, ddof=1) if len(jobs) > 1 else np.zeros(scores_VK.shape[1])
    intervals = 1.96 * spread / np.sqrt(len(jobs))
    return [
        BlockScore(k, float(m), float(i)) for k, (m, i) in enumerate(zip(scores_VK.mean(0), intervals, strict=True))
    ]


def _probe_one(runtime: Runtime, job: Job, report: Report) -> list[float]:
    """Mean soft IoU of each block over the steps of the window, the phrases and the latent frames."""
    backbone, pipe = runtime.backbone, runtime.pipe
    blocks = tuple(range(backbone.blocks(backbone.denoiser(pipe))))
    targets = make_targets(runtime, job)
    first, last = (round(w * job.sample.steps) for w in WINDOW)
    total, seen = 0.0, 0

    @torch.no_grad()
    def read(step: int, kwargs: dict) -> None:
        nonlocal total, seen
        if first <= step < max(last, first + 1):
            maps = guide.attention(kwargs)
            grid = backbone.grid(guide.denoiser, kwargs)
            total = total + torch.stack([maps[b][0].float().cpu().unflatten(-1, grid) for b in blocks])
            seen += 1

    config = replace(GuideConfig(), mode="latents", blocks=blocks, steps=job.sample.steps)
    guide = Guide(pipe, backbone, config, targets, adapter=None, optimise=False, on_conditional=read, truncate=False)
    with guide:
        report.stage("sample", job.sample.steps)
        video = sample(runtime, job, report)
    maps_KPFHW = total / seen
    masks_PFHW = object_masks(runtime, job.layout, targets, video, maps_KPFHW.shape[-3:])
    return [soft_iou(map_PFHW, masks_PFHW) for map_PFHW in maps_KPFHW]


def object_masks(runtime: Runtime, layout: Layout, targets, video: np.ndarray, grid) -> torch.Tensor:
    """Where each phrase's objects are in each latent frame, as the covered share of each token's cell."""
    times = runtime.backbone.latent_times(runtime.pipe, len(video))
    rows: dict = {}
    for track, row in zip(layout.objects, targets.rows, strict=True):
        rows.setdefault(row, []).append(track)
    boxes_at = _detected(video) if runtime.card.embedded else None
    masks = torch.zeros(len(rows), *grid)
    for p, tracks in rows.items():
        for f, t in enumerate(times):
            boxes = boxes_at(tracks[0].phrase, t) if boxes_at else [track.box_at(t) for track in tracks]
            for box in filter(None, boxes):
                masks[p, f] = torch.maximum(masks[p, f], coverage(box, grid[1:]))
    return masks


def _detected(video: np.ndarray):
    """A function from (phrase, time) to the boxes that the shapes detector finds there."""
    from .shapes.captions import look_of
    from .shapes.detect import track

    found = track(video)

    def boxes(phrase: str, t: float) -> list[Box | None]:
        frame = round(t * (len(video) - 1))
        return [f.boxes[frame] for f in found if (f.color, f.shape) == look_of(phrase)]

    return boxes


def coverage(box: Box, grid: tuple[int, int]) -> torch.Tensor:
    """Share of each cell of the grid (H, W) that the box covers."""

    def along(low: float, high: float, cells: int) -> torch.Tensor:
        edges = torch.linspace(0, 1, cells + 1).clamp(low, high)
        return edges.diff() * cells

    return along(box[1], box[3], grid[0])[:, None] * along(box[0], box[2], grid[1])[None, :]


def soft_iou(maps_PFHW: torch.Tensor, masks_PFHW: torch.Tensor) -> float:
    """Mean over phrases and frames of sum(A M) / sum(A + M - A M), A scaled to [0, 1] per phrase."""
    low, high = maps_PFHW.amin((1, 2, 3), keepdim=True), maps_PFHW.amax((1, 2, 3), keepdim=True)
    a = (maps_PFHW - low) / (high - low).clamp_min(1e-8)
    both = (a * masks_PFHW).sum((-1, -2))
    return float((both / (a + masks_PFHW - a * masks_PFHW).sum((-1, -2)).clamp_min(1e-8)).mean())
