"""When the latent frames are."""

from __future__ import annotations


def latent_times(frames: int, group: int) -> list[float]:
    """Time of each latent frame, as a fraction of the video's duration: the last of its group of frames.

    The first latent frame is the first frame alone; each of the others holds `group` frames, and the causal VAEs have
    what is where at their end. (So has the paper's code, whose last keyframe is at the last latent frame. At the middle
    of each group, objects lagged behind their boxes by half a group: see the log.)
    """
    return [k / max(frames - 1, 1) for k in range(0, frames, group)]
