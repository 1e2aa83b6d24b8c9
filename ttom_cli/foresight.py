"""What can be told of a job before it costs time: what the model cannot make, and where nothing can be written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from .backbones.card import ModelCard
from .errors import BankError, LayoutError, ModelError, TTOMError
from .guidance.targets import absent
from .jobs import Job
from .layout import Layout
from .layout.times import latent_times
from .memory import MemoryBank
from .runtime import Runtime
from .shapes.captions import cannot_draw
from .video import find_ffmpeg, prepare_place

ROOM = 2**20  # bytes that must be free for an adapter and the manifest, whatever the model


def check_places(out: Path, bank: MemoryBank | None) -> None:
    """Raises TTOMError where there is no ffmpeg, or where the videos or the bank cannot be written."""
    find_ffmpeg()
    prepare_place(out)
    if bank and not bank.read_only and _free(bank.folder) < ROOM:
        raise BankError(f"the disk of the bank {bank.folder} is full", "make room, or leave it out: --no-memory")


def foresee(card: ModelCard, job: Job) -> Iterator[str]:
    """A line for each thing that the user should know: objects that the model cannot draw, where that is wanted anyway.

    Raises TTOMError for those where it is not, for objects that no latent frame holds, for a place that cannot be
    written, and for a disk too full.
    """
    prepare_place(job.path)
    sample = job.sample
    room = sample.width * sample.height * sample.enlarge**2 * sample.frames * 3 // 10  # a tenth of the raw frames
    if _free(job.path.parent) < room:
        raise TTOMError(
            f"the disk of {job.path.parent} has no room for a video of about {room / 1e6:.1f} MB",
            "make room, or choose another place with --out",
        )
    if card.world == "shapes":
        strange = dict.fromkeys(line for track in job.layout.objects if (line := cannot_draw(track.phrase)))
        if strange and not job.check.anyway:
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


def absent_lines(layout: Layout, times: list[float]) -> list[str]:
    """A line for each object that is in the frame at none of the model's `times`, and so cannot be guided.

    Raises LayoutError where none is left.
    """
    gone = [track.phrase for track in absent(layout, times)]
    if len(gone) == len(layout.objects):
        listed = ", ".join(map(repr, dict.fromkeys(gone)))
        raise LayoutError(
            [f"no object is in the frame in any of the {len(times)} latent frames: {listed}"],
            hint="give more --frames, boxes within the frame, or --guide off",
        )
    return [f"object {phrase!r} is in the frame in no latent frame, and is not guided" for phrase in gone]


def untaught(runtime: Runtime, job: Job) -> str:
    """A size or a number of frames that a model of one world was not trained for, in words."""
    card = runtime.card
    taught, asked = ((s.width, s.height, s.frames) for s in (card.sample, job.sample))
    if not card.world or asked == taught:
        return ""
    names = ["{}x{} pixels, frames: {}".format(*size) for size in (taught, asked)]
    return f"{Path(card.name).name} was trained for {names[0]}; this is {names[1]}"


def unread(runtime: Runtime, job: Job) -> str:
    """The end of the prompt that is beyond the tokens that the model reads, in words; empty if there is none."""
    text, limit = job.layout.text, job.sample.max_sequence_length
    (_, read), (_, whole) = (runtime.backbone.tokens(runtime.pipe, text, n) for n in (limit, limit + len(text)))
    if len(whole) == len(read):
        return ""
    return f"the model reads {limit} tokens, and not the prompt's end: {text[max(b for _, b in read) :].strip()!r}"
