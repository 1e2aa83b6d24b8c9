"""What the memory bank costs as it grows: lookups, inserts, a page of the list, removals.

The banks hold two objects an entry, of few phrases and many scenes, as a long stream leaves them; adapters are tiny
and embeddings made up, for neither the tensors nor the encoder are what is measured.
"""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch

from ..layout import Layout, layout_from_json
from ..memory import MemoryBank, adapters, keys, manifest
from ..memory.choice import Choice, Page
from ..memory.entry import to_entry
from ..memory.texts import Texts
from .report import Row, Table

SIZES = (100, 1_000, 10_000)
PAGE = 50
MODEL, GUIDE = "shapes", {"blocks": [1, 2], "rank": 8, "steps": 5, "size": [64, 64, 13], "loss": "jsd"}
FACTS = {"model": MODEL, "guide": GUIDE, "seed": 1, "losses": [0.4, 0.1], "consolidated": 40}
WAYS = {"right": (0.5, 0), "left": (-0.5, 0), "up": (0, -0.5), "down": (0, 0.5)}
COLOURS, SHAPES = "red blue green yellow purple orange".split(), "ball cube cross cat dog car boat kite".split()

Tell = Callable[[str, int, int], None]


def growth_tables(sizes: tuple[int, ...] = SIZES, *, seed: int = 0, tell: Tell) -> list[Table]:
    """A row a size: milliseconds of each operation, medians of many, and the megabytes that a lookup holds at most."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            tell("filling", size, size)
            layouts = list(_layouts(Random(seed), size + 40))
            fill(Path(folder), layouts, size)
            tell("measuring", size, size)
            rows.append(Row(f"{size} entries", _figures(Path(folder), layouts, size)))
    note = (
        "milliseconds; tiny adapters, embeddings known; lookup and insert are medians in one stream, the rest is of a "
    )
    return [Table("The bank as it grows", note + f"fresh process's first call; a page has {PAGE} entries", rows)]


def fill(folder: Path, layouts: list[Layout], size: int) -> None:
    """A bank of so many entries, and the embeddings of all layouts."""
    state = manifest.State()
    (folder / adapters.FOLDER).mkdir()
    for n, layout in enumerate(layouts[:size]):
        about = {"prompt": layout.prompt, "scene": layout.scene, "layout": layout.to_json()}
        entry = to_entry(FACTS | about | {"id": f"{n:08x}", "bytes": 0, "sha256": "0" * 64, "clock": n + 1})
        entry, content = adapters.sealed(entry, _tensors(n))
        state.entries[entry.id] = entry
        (folder / entry.file).write_bytes(content)
    manifest.fold(folder, state)
    texts, random = Texts(folder), np.random.default_rng(0)
    wanted = {text for layout in layouts for text in (layout.scene, *(track.phrase for track in layout.objects))}
    texts.adopt({text: _unit(random) for text in sorted(wanted)})
    texts.save()


def _figures(folder: Path, layouts: list[Layout], size: int) -> dict[str, float]:
    asked = [layouts[i % size] for i in range(0, 41 * 7, 7)]
    bank = MemoryBank(folder, capacity=2 * size)

    def use(layout: Layout) -> None:
        bank.used(bank.read(layout, model=MODEL, guide=GUIDE))

    first, _ = _afresh(lambda: use(asked[0]))
    for layout in asked:  # each kind of motion is asked for once
        use(layout)
    lookups = [_timed(lambda layout=layout: use(layout))[0] for layout in asked]
    inserts = [
        _timed(lambda n=n, layout=layout: bank.insert(layout, _tensors(size + n), **FACTS))[0]
        for n, layout in enumerate(layouts[size:])
    ]
    listing, page = _afresh(lambda: Page().of(Choice().of(MemoryBank(folder).entries()), PAGE))
    removal, _ = _afresh(lambda: MemoryBank(folder).delete([entry.id for entry in page[:10]]))
    tracemalloc.start()
    MemoryBank(folder).read(asked[0], model=MODEL, guide=GUIDE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "first lookup": first, "lookup": float(np.median(lookups)), "insert": float(np.median(inserts)),
        "slowest insert": max(inserts), "list a page": listing, "remove ten": removal,
        "manifest MB": (folder / manifest.NAME).stat().st_size / 1e6, "peak MB": peak / 1e6,
    }  # fmt: skip


def _afresh(call: Callable) -> tuple[float, object]:
    """As `_timed`, without what earlier calls left to be collected, as a process of its own would."""
    gc.collect()
    return _timed(call)


def _timed(call: Callable) -> tuple[float, object]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    result = call()
    return 1e3 * (time.perf_counter() - began), result


def _layouts(random: Random, count: int) -> Iterator[Layout]:
    for n in range(count):
        phrases, ways = [], []
        while len(phrases) < 2:
            phrase = f"{random.choice(COLOURS)} {random.choice(SHAPES)}"
            if phrase not in phrases:
                phrases.append(phrase)
                ways.append(random.choice(list(WAYS)))
        objects = [
            {"phrase": phrase, "boxes": _path(random, *WAYS[way])} for phrase, way in zip(phrases, ways, strict=True)
        ]
        says = [f"a {phrase} moves {way}" for phrase, way in zip(phrases, ways, strict=True)]
        scene = f"<object A> moves {ways[0]} while <object B> moves {ways[1]}, {n}"
        yield layout_from_json({"prompt": " while ".join(says), "scene": scene, "objects": objects})


def _path(random: Random, dx: float, dy: float) -> list[dict]:
    x, y = random.uniform(0.1, 0.6), random.uniform(0.1, 0.6)
    times = [i / 3 for i in range(4)]
    return [
        {"t": t, "box": [round(v, 4) for v in (x + dx * t, y + dy * t, x + dx * t + 0.3, y + dy * t + 0.3)]}
        for t in times
    ]


def _tensors(n: int) -> dict[str, torch.Tensor]:
    name = "blocks.1.attn2.to_q.lora_{}.weight"
    return {name.format("A"): torch.full((2, 8), float(n)), name.format("B"): torch.zeros(8, 2)}


def _unit(random: np.random.Generator) -> np.ndarray:
    vector = random.normal(size=keys.SIZE)
    return vector / np.linalg.norm(vector)
