"""Two pictures of a probe, as PNG: soft IoU by block and step range, and all measures by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files import put_whole
from .measures import MEASURES
from .run import Probe

PLOTS = "heatmap.png", "curve.png"
TITLE = "How well attention to its words tells where an object ends up"
NUMBERED = 150  # cells at most that have their number written in
STYLES = {"soft": ("soft IoU", "C0", "-o"), "hard": ("hard IoU", "C1", "-s"), "jsd": ("JSD", "C2", "--^")}


def write_plots(folder: Path, probe: Probe) -> list[Path]:
    """Write the PLOTS; their paths."""
    paths = [folder / name for name in PLOTS]
    for path, draw in zip(paths, (_heatmap, _curve), strict=True):
        figure = draw(probe)
        put_whole(path, lambda partial, figure=figure: figure.savefig(partial, dpi=120), overwrite=True)
    return paths


def figure_of(width: float, height: float):
    """A figure of so many inches, which Agg draws: it needs neither a display nor pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _heatmap(probe: Probe):
    """Soft IoU by block and step range; the steps run from noise to video."""
    table_KR = probe.table("soft")
    blocks, ranges = table_KR.shape
    width, height = (0.62 if ranges <= 12 else 0.25) * ranges, (0.42 if blocks <= 12 else 0.2) * blocks
    figure = figure_of(max(5.5, 2 + width), max(3.2, 1.6 + height))
    axes = figure.subplots()
    image = axes.imshow(table_KR, aspect="auto", cmap="viridis", vmin=0)
    axes.set_title(f"{TITLE}\n{probe.about}", fontsize=9)
    axes.set_xlabel(f"denoising steps, of {probe.steps}, from noise (0) to video")
    axes.set_ylabel("block")
    names = [str(a) if a == b else f"{a}–{b}" for a, b in probe.ranges]
    axes.set_xticks(range(ranges), names, fontsize=8, rotation=90 if ranges > 12 else 0)
    axes.set_yticks(range(0, blocks, 1 if blocks <= 20 else 2))
    if table_KR.size <= NUMBERED:
        for (k, r), value in np.ndenumerate(table_KR):
            color = "white" if value < 0.6 * table_KR.max() else "black"
            axes.text(r, k, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(image, ax=axes, label="soft IoU, mean over videos")
    return figure


def _curve(probe: Probe):
    """All measures in the window by block, with their 95 % intervals as bands."""
    scores = probe.blocks
    x = np.array([s.block for s in scores])
    figure = figure_of(max(6.5, 3 + 0.16 * len(scores)), 4.2)
    axes = figure.subplots()
    right = axes.twinx()
    for name in MEASURES:
        label, color, style = STYLES[name]
        side = right if name == "jsd" else axes
        mean = np.array([getattr(s, name).mean for s in scores])
        half = np.array([getattr(s, name).interval or 0 for s in scores])
        side.plot(x, mean, style, color=color, label=label, markersize=4)
        side.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
    bands = "; bands: 95 % intervals" if probe.videos > 1 else ""
    axes.set_title(f"{TITLE}\n{probe.about}\n{probe.when}{bands}", fontsize=9)
    axes.set_xlabel("block")
    axes.set_ylabel("IoU (more is better)")
    right.set_ylabel("JSD in nats (less is better)")
    axes.set_ylim(0, 1)
    right.set_ylim(0, float(np.log(2)))
    axes.set_xticks(x if len(x) <= 20 else x[::2])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(MEASURES), fontsize=9)
    return figure
