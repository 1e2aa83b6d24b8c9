"""What can be told of a job before a model is loaded: what it cannot make, and where it cannot write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from .catalog import ModelCard
from .errors import BankError, ModelError, TTOMError
from .generate import Job, absent_lines
from .layout.times import latent_times
from .memory import MemoryBank
from .shapes.captions import cannot_draw
from .video import find_ffmpeg, prepare_place

ROOM = 2**20  # bytes that must be free for an adapter and the manifest, whatever the model


def check_places(out: Path, bank: MemoryBank | None) -> None:
    """Raises TTOMError where there is no ffmpeg, or where the videos or the bank cannot be written."""
    find_ffmpeg()
    prepare_place(out)
    if bank:
        bank.prepare()
        if _free(bank.folder) < ROOM:
            raise BankError(f"the disk of the bank {bank.folder} is full", "make room, or leave it out: --no-memory")


def foresee(card: ModelCard, job: Job, *, anyway: bool = False) -> Iterator[str]:
    """A line for each thing that the user should know; with `anyway` also for objects that the model cannot draw.

    Raises TTOMError for those without it, for objects that no latent frame holds, and for a disk too full.
    """
    sample = job.sample
    room = sample.width * sample.height * sample.enlarge**2 * sample.frames * 3 // 10  # a tenth of the raw frames
    if _free(job.path.parent) < room:
        raise TTOMError(
            f"the disk of {job.path.parent} has no room for a video of about {room / 1e6:.1f} MB",
            "make room, or choose another place with --out",
        )
    if card.world == "shapes":
        strange = dict.fromkeys(line for track in job.layout.objects if (line := cannot_draw(track.phrase)))
        if strange and not anyway:
            raise ModelError(
                f"{Path(card.name).name} draws circles, squares, triangles and crosses in six colours; "
                + "; ".join(strange),
                "use their words, or another model with --model, or make the video --anyway",
            )
        yield from (f"{Path(card.name).name}: {line}" for line in strange)
    if job.guide.mode != "off":
        # Those that are in no latent frame are named once the model's own times are known; none left is said now.
        absent_lines(job.layout, latent_times(sample.frames, card.group))


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free
