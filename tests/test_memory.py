"""The bank on disk, with the real sentence embeddings."""

from dataclasses import replace

import pytest
import torch

from ttom_cli.errors import BankError
from ttom_cli.layout import Keyframe
from ttom_cli.memory import MemoryBank, disk
from ttom_cli.memory.choice import by_value
from ttom_cli.memory.index import Group
from ttom_cli.memory.keys import cosine, embed
from ttom_cli.memory.texts import Texts

FACTS = {"model": "toy", "guide": {"rank": 2}, "seed": 1, "losses": [0.4, 0.1]}


def state(value=1.0, rank=2):
    return {
        "blocks.0.attn2.to_q.lora_A.weight": torch.full((rank, 8), value),
        "blocks.0.attn2.to_q.lora_B.weight": torch.full((8, rank), value),
    }


def moved(layout, dx=0.0, dy=0.0):
    """The layout with every box shifted."""
    shift = (dx, dy, dx, dy)
    tracks = [
        replace(t, boxes=tuple(Keyframe(k.t, tuple(v + s for v, s in zip(k.box, shift, strict=True))) for k in t.boxes))
        for t in layout.objects
    ]
    return replace(layout, objects=tuple(tracks))


def reversed_in_time(layout):
    tracks = [replace(t, boxes=tuple(Keyframe(1 - k.t, k.box) for k in reversed(t.boxes))) for t in layout.objects]
    return replace(layout, objects=tuple(tracks))


@pytest.fixture
def bank(tmp_path):
    return MemoryBank(tmp_path / "bank", capacity=3)


def read(bank, layout):
    return bank.read(layout, model="toy", guide={"rank": 2})


def use(bank, layout, passed=None):
    bank.used(read(bank, layout), passed)


def test_miss_insert_hit(bank, layout):
    assert read(bank, layout) is None
    entry = bank.insert(layout, state(0.5), **FACTS)
    hit = read(bank, layout)
    assert hit.entry == entry and bank.entries()[0].uses == 0, "a lookup alone is no use"
    assert hit.match.scene == pytest.approx(1, abs=1e-4) and hit.match.overlap == pytest.approx(1)
    assert hit.state.keys() == state().keys() and all(torch.equal(hit.state[k], state(0.5)[k]) for k in hit.state)
    bank.used(hit)
    assert bank.entries()[0].uses == 1


def test_other_directions_are_no_hit_though_the_embedding_cannot_tell(bank, layout):
    a, b = "<object A> goes from left to right", "<object A> goes from right to left"
    assert cosine(embed(a), embed(b)) > 0.98
    bank.insert(layout, state(), **FACTS)
    assert read(bank, reversed_in_time(layout)) is None


def test_the_same_scene_told_in_another_order_is_a_hit(bank, layout):
    """Objects correspond by where they are and which way they move; each one's phrase is held against its own."""
    entry = bank.insert(layout, state(), **FACTS)
    told = replace(
        layout, prompt="a blue cube rises while a red ball rolls right", objects=layout.objects[::-1],
        scene="<object A> rises while <object B> rolls right",
    )  # fmt: skip
    hit = read(bank, told)
    assert hit.entry.id == entry.id
    assert hit.match.overlap == pytest.approx(1) and hit.match.objects == pytest.approx(1) and hit.match.scene > 0.9
    exchanged = [replace(a, boxes=b.boxes) for a, b in zip(layout.objects, layout.objects[::-1], strict=True)]
    assert read(bank, replace(layout, objects=tuple(exchanged))) is None, "there the ball rises"


def test_five_objects_are_assigned_too(bank, layout):
    (one, *_), places = layout.objects, [0.0, 0.2, 0.4, 0.6, 0.8]
    still = [replace(one, id=f"b{x}", boxes=(Keyframe(0.0, (x, 0.4, x + 0.2, 0.6)),)) for x in places]
    many = replace(layout, objects=tuple(still))
    bank.insert(many, state(), **FACTS)
    assert read(bank, replace(many, objects=tuple(still[i] for i in (3, 0, 4, 2, 1)))).match.overlap == pytest.approx(1)


def test_what_was_learnt_for_any_objects_asks_for_none_of_them(bank, layout):
    other = [replace(t, phrase=p) for t, p in zip(layout.objects, ("old oak", "tall giraffe"), strict=True)]
    other = replace(layout, objects=tuple(other))
    bank.insert(layout, state(), **FACTS)
    assert read(bank, other) is None
    guide = FACTS["guide"] | {"any_objects": True}
    entry = bank.insert(layout, state(), **FACTS | {"guide": guide})
    assert bank.read(other, model="toy", guide=guide).entry.id == entry.id


def test_other_places_objects_models_and_settings_are_no_hit(bank, layout):
    bank.insert(layout, state(), **FACTS)
    assert read(bank, moved(layout, dx=0.02)) is not None
    assert read(bank, moved(layout, dx=0.35)) is None
    animals = replace(
        layout,
        objects=tuple(
            replace(t, phrase=p) for t, p in zip(layout.objects, ("grey elephant", "tall ship"), strict=True)
        ),
    )
    assert read(bank, animals) is None
    assert read(bank, replace(layout, objects=layout.objects[:1])) is None
    assert bank.read(layout, model="other", guide={"rank": 2}) is None
    assert bank.read(layout, model="toy", guide={"rank": 4}) is None


def test_the_least_frequently_used_is_evicted_and_the_oldest_of_equals(bank, layout):
    layouts = [moved(layout, dx=0.1 * i, dy=0.1 * i) for i in range(5)]
    bank.thresholds, told = replace(bank.thresholds, overlap=0.95), []
    bank._store.tell = told.append
    ids = [bank.insert(part, state(), **FACTS).id for part in layouts[:3]]
    assert not told
    use(bank, layouts[0])
    use(bank, layouts[2])
    ids.append(bank.insert(layouts[3], state(), **FACTS).id)
    assert [e.id for e in bank.entries()] == [ids[0], ids[2], ids[3]]
    assert told == [f"the bank {bank.folder} is full: 1 entry left it"]
    use(bank, layouts[3])
    ids.append(bank.insert(layouts[4], state(), **FACTS).id)  # all were used once: the longest unused goes
    assert [e.id for e in bank.entries()] == [ids[2], ids[3], ids[4]]
    files = {p.name for p in (bank.folder / "adapters").iterdir()}
    assert files == {e.file.split("/")[1] for e in bank.entries()}


def valued(bank):
    return [entry.id for entry in by_value(bank.entries())]


def test_what_is_new_has_its_time_and_what_was_of_use_long_ago_goes(bank, layout):
    bank.capacity, bank.thresholds = 8, replace(bank.thresholds, overlap=0.999)
    old = [bank.insert(moved(layout, dx=0.02 * i), state(), **FACTS).id for i in range(8)]
    for _ in range(3):
        for i in range(8):
            use(bank, moved(layout, dx=0.02 * i))
    new = [bank.insert(moved(layout, dy=0.02 * (i + 1)), state(), **FACTS).id for i in range(2)]
    assert {*new} < {e.id for e in bank.entries()}, "none took the place of the other"
    for i in range(40):
        bank.insert(moved(layout, dx=0.1, dy=0.002 * i), state(), **FACTS)
    assert not {*old} & {e.id for e in bank.entries()}


def test_uses_that_failed_and_seconds_count(bank, layout):
    bank.capacity, bank.thresholds = 8, replace(bank.thresholds, overlap=0.999)
    dear, cheap, bad, _ = [
        bank.insert(moved(layout, dx=0.02 * i), state(), seconds=seconds, **FACTS).id
        for i, seconds in enumerate((60.0, 2.0, 2.0, 2.0))
    ]
    for i in (2, 1, 0):
        use(bank, moved(layout, dx=0.02 * i), passed=False if i == 2 else None)
    assert valued(bank)[:3] == [bad, cheap, dear]
    use(bank, moved(layout, dx=0.04), passed=False)
    assert read(bank, moved(layout, dx=0.04)) is None, "it failed twice"
    again = MemoryBank(bank.folder)
    assert again.find(bad).failed == 2 and [e.clock for e in again.entries()] == [7, 6, 8, 4]


def test_a_blend_passes_over_what_cannot_be_blended_and_compares_once(tmp_path, layout, monkeypatch):
    """Adapters of other layers or sizes than the best one's, and those that are damaged; a line for each."""
    told = []
    bank = MemoryBank(tmp_path / "bank", tell=told.append)
    best, wide, other, good, harmed, last = [
        bank.insert(moved(layout, dx=0.02 * i), made, **FACTS)
        for i, made in enumerate(
            (state(1.0), state(rank=3), {f"x{k}": v for k, v in state().items()}, state(2.0), state(4.0), state(3.0))
        )
    ]
    (bank.folder / harmed.file).write_bytes(b"x")
    compared, matches = [], Group.matches
    monkeypatch.setattr(Group, "matches", lambda *given: compared.append(1) or matches(*given))
    for _ in range(2):
        hit = bank.read(layout, model="toy", guide={"rank": 2}, blend=3)
    assert [part.entry.id for part in hit.parts] == [best.id, good.id, last.id] and len(compared) == 2
    assert hit.state.keys() == state().keys() and hit.parts[1].state["blocks.0.attn2.to_q.lora_A.weight"][0, 0] == 2
    passed_over = {id for line in told for id in (wide.id, other.id, harmed.id) if f"the entry {id}" in line}
    assert len(told) == 3 and len(passed_over) == 3 and f"not blended with {best.id}" in told[0]


def test_a_use_and_what_it_led_to_take_the_lock_once(bank, layout, monkeypatch):
    bank.thresholds = replace(bank.thresholds, overlap=0.5)
    for i in range(2):
        bank.insert(moved(layout, dx=0.02 * i), state(), **FACTS)
    locked, lock = [], disk.lock
    monkeypatch.setattr(disk, "lock", lambda *given: locked.append(1) or lock(*given))
    hit = bank.read(layout, model="toy", guide={"rank": 2}, blend=2)
    assert not locked and [entry.uses for entry in bank.entries()] == [0, 0], "a lookup takes none, and is no use"
    bank.used(hit, passed=True)
    bank.used(hit, passed=False)
    assert len(locked) == 2
    again = MemoryBank(bank.folder).entries()
    assert [(entry.uses, entry.passed, entry.failed) for entry in again] == [(2, 1, 1), (2, 1, 1)]


def test_the_texts_outgrow_their_first_matrix(tmp_path):
    texts = Texts(tmp_path)
    said = [f"scene {n}" for n in range(70)]
    rows = [texts.vector(text).copy() for text in said]
    assert all(row == pytest.approx(embed(text), abs=1e-6) for row, text in zip(rows[60:], said[60:], strict=True))
    assert texts.cosines(said[69], said[60:])[-1] == pytest.approx(1.0, abs=1e-5)
    texts.save()
    assert len(Texts(tmp_path).rows) == 0 and len(fresh(tmp_path).rows) == 70


def fresh(folder):
    texts = Texts(folder)
    texts.refresh()
    return texts


def test_update_replaces_tensors_and_key(bank, layout):
    entry = bank.insert(layout, state(1), **FACTS)
    use(bank, layout)
    new = bank.update(entry.id, state(2), losses=[0.1, 0.05])
    assert (new.updates, new.uses, new.losses) == (1, 1, [0.1, 0.05])
    assert read(bank, layout).state["blocks.0.attn2.to_q.lora_A.weight"][0, 0] == 2
    assert len(list((bank.folder / "adapters").iterdir())) == 1
    bank.update(entry.id, scene="a recipe for apple pie")
    assert read(bank, layout) is None


def test_delete_and_find(bank, layout):
    entry = bank.insert(layout, state(), **FACTS)
    assert bank.find(entry.id[:4]) == entry
    bank.delete([entry.id])
    assert bank.entries() == [] and not list((bank.folder / "adapters").iterdir())
    with pytest.raises(BankError, match="names no entry"):
        bank.find(entry.id)


@pytest.mark.parametrize("harm", ["cut", "alter", "remove"])
def test_a_harmed_adapter_is_said_and_nothing_is_lost(bank, layout, harm):
    entry = bank.insert(layout, state(), **FACTS)
    path = bank.folder / entry.file
    content = path.read_bytes()
    {
        "cut": lambda: path.write_bytes(content[: len(content) // 2]),
        "alter": lambda: path.write_bytes(content[:-1] + b"x"),
        "remove": path.unlink,
    }[harm]()
    with pytest.raises(BankError, match="adapter") as caught:
        bank.load(entry)
    assert f"ttom memory rm {entry.id}" in caught.value.hint
    told = []
    bank = MemoryBank(bank.folder, tell=told.append)
    assert read(bank, layout) is None and read(bank, layout) is None
    assert len(told) == 1 and entry.id in told[0] and "adapter" in told[0], "said once, and the stream goes on"
    assert bank.entries()[0].id == entry.id


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 2, "entries": []}', "\x00", "[" * 99999]
)
def test_a_damaged_manifest_is_said_and_kept(bank, layout, content):
    bank.insert(layout, state(), **FACTS)
    path = bank.folder / "manifest.json"
    path.write_text(content)
    for action in (bank.entries, lambda: bank.insert(layout, state(), **FACTS), lambda: bank.delete(["x"])):
        with pytest.raises(BankError, match="is damaged"):
            action()
    assert path.read_text() == content


def test_a_newer_schema_is_refused(bank):
    bank.folder.mkdir()
    (bank.folder / "manifest.json").write_text('{"schema_version": 99, "entries": []}')
    with pytest.raises(BankError, match="schema version 99"):
        bank.entries()


def test_an_adapter_loads_in_diffusers(toy, bank, layout):
    """`pipe.load_lora_weights` takes a stored file and gives the denoiser the same weights."""
    from ttom_cli.config import GuideConfig
    from ttom_cli.guidance.guide import attach

    config = GuideConfig(blocks=(1,), rank=2)
    with attach(toy.pipe, toy.backbone, config, seed=0) as adapter:
        with torch.no_grad():
            for p in adapter.parameters():
                p.normal_()
        tensors = adapter.state()
        adapter.switch(True)
        call = {
            "hidden_states": torch.randn(1, 16, 4, 8, 8), "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": torch.randn(1, 64, 128),
        }  # fmt: skip
        with torch.no_grad():
            expected = toy.pipe.transformer(**call).sample
    entry = bank.insert(layout, tensors, **FACTS)
    toy.pipe.load_lora_weights(str(bank.folder / entry.file))
    with torch.no_grad():
        loaded = toy.pipe.transformer(**call).sample
    toy.pipe.unload_lora_weights()
    with torch.no_grad():
        plain = toy.pipe.transformer(**call).sample
    assert torch.allclose(loaded, expected, atol=1e-5)
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_nothing_that_is_not_finite_is_kept_or_used(bank, layout):
    with pytest.raises(BankError, match=r"the adapter is not finite .*lora_A"):
        bank.insert(layout, state(float("nan")), **FACTS)
    assert bank.entries() == [] and not list(bank.folder.glob("adapters/*"))
    entry = bank.insert(layout, state(), **FACTS)
    with pytest.raises(BankError, match="not finite"):
        bank.update(entry.id, state(float("inf")))
    assert bank.load(bank.find(entry.id)).keys() == state().keys()
