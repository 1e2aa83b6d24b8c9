"""When the latent frames are."""

from __future__ import annotations


def latent_times(frames: int, group: int) -> list[float]:
    """Time of each latent frame, as a fraction of the video's duration: the middle of its group of frames.

    The first latent frame is the first frame alone; each of the others holds `group` frames.
    """
    last = max(frames - 1, 1)
    middles = [0.0] + [group * k - (group - 1) / 2 for k in range(1, (frames - 1) // group + 1)]
    return [m / last for m in middles]
