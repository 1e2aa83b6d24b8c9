"""Pictures for people: sheets of video frames and loss curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROW_FRAMES = 5


def video_sheet(
    path: Path, videos: list[np.ndarray], titles: list[str] | None = None, *, scale: int = 2, columns: int = 2
) -> None:
    """Write videos (F, H, W, 3) as rows of evenly spaced frames, with a title above each."""
    head = 14 if titles else 2
    rows = [_row(video, scale) for video in videos]
    height, width = rows[0].shape[0] + head, rows[0].shape[1] + 6
    sheet = Image.new("RGB", (width * columns, height * -(-len(rows) // columns)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        x, y = (i % columns) * width, (i // columns) * height
        sheet.paste(Image.fromarray(row), (x, y + head))
        if titles:
            draw.text((x + 2, y + 1), titles[i][: width // 6], fill=(0, 0, 0))
    sheet.save(path)


def _row(video: np.ndarray, scale: int) -> np.ndarray:
    frames = video[np.linspace(0, len(video) - 1, ROW_FRAMES).round().astype(int)]
    strip = np.concatenate([np.pad(f, ((0, 0), (0, 1), (0, 0))) for f in frames], axis=1)
    return strip.repeat(scale, 0).repeat(scale, 1)


def loss_curve(path: Path, losses: list[float], title: str) -> None:
    """Plot the loss, smoothed over about a hundredth of the run, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    window = max(1, len(losses) // 100)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot(np.arange(len(smooth)) + window, smooth)
    axes.set(title=title, xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
