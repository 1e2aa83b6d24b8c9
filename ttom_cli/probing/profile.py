"""Profiles: the blocks that a probe chooses, in a YAML file with what they were chosen by and the command for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..files import put_text
from .run import Probe, Scores, best_first

HEAD = """\
# Written by the command in it. `blocks` is what `ttom generate` aligns: the `keep` blocks with the highest soft IoU in
# the window; of those within the best one's 95 % interval the shallowest.
"""


def choose(scores: Sequence[Scores], keep: int) -> tuple[int, ...]:
    """The `keep` blocks with the highest soft IoU in the window; of those as good as the best, the shallowest.

    As good is what lies within the best's 95 % interval: there the data name no winner, and the cost of guidance
    grows with depth.
    """
    ranked = best_first(scores)
    best = ranked[0].soft
    good = [s.block for s in ranked if s.soft.mean >= best.mean - (best.interval or 0)]
    chosen = sorted(good)[:keep] if len(good) > keep else [s.block for s in ranked[:keep]]
    return tuple(sorted(chosen))


def write_profile(path: Path, probe: Probe, keep: int, command: Sequence[str]) -> None:
    """Write a file that `read_profile` reads; `command` is the command line that this comes of."""
    import yaml

    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in s.to_json().items()} for s in probe.blocks]
    profile = {
        "ttom": __version__, "model": probe.model, "command": list(command), "videos": probe.videos, "seed": probe.seed,
        "steps": probe.steps, "window": list(probe.window), "detector": probe.detector, "keep": keep,
        "blocks": list(choose(probe.blocks, keep)), "scores": rows,
    }  # fmt: skip
    text = yaml.safe_dump(profile, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    put_text(path, HEAD + text, overwrite=True)
