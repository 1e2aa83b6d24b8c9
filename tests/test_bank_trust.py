"""Nothing in a bank is trusted: each record is checked, and a bad one is set aside while the rest work."""

import hashlib
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from bank_process import FACTS, LAYOUT, made_up, named, read_only, state, value

from ttom_cli.cli import main
from ttom_cli.errors import BankError, DamagedError
from ttom_cli.memory import MemoryBank, keys
from ttom_cli.memory.entry import to_entry

VERSION_1 = Path(__file__).parent / "bank_v1"


@pytest.fixture(autouse=True)
def _made_up(monkeypatch):
    monkeypatch.setattr(keys, "embed", made_up)


@pytest.fixture
def told():
    return []


@pytest.fixture
def bank(tmp_path, told):
    return MemoryBank(tmp_path / "bank", tell=told.append)


def read(bank, layout=LAYOUT):
    return bank.read(layout, model="toy", guide={"rank": 2})


def edited(bank, change, by_line=True) -> None:
    """The manifest with its entries changed, in its own form, or as an editor writes it."""
    path = bank.folder / "manifest.json"
    data = json.loads(path.read_text())
    entries = change(data["entries"]) or data["entries"]
    head = json.dumps(data | {"entries": []})[:-2]
    lines = "".join(["\n", ",\n".join(map(json.dumps, entries)), "\n]}\n"])
    path.write_text(head + lines if by_line else json.dumps(data | {"entries": entries}, indent=1))


WRONG = {
    "id": ["../../etc/passwd", "", "a" * 65, 3, None, "a\u202eb", "é"],
    "model": [3, None, "x" * 5000, ["toy"]],
    "prompt": [3, None, {}, "x" * 8001],
    "scene": [None, [], "x" * 8001],
    "layout": [None, [], {}, {"objects": []}, {"objects": [{}]}, {"objects": 3}, {"objects": [{"phrase": 3}]}],
    "guide": [None, [], {"rank": {"deep": 1}}, {"rank": [[1]]}, {"rank": float("inf")}],
    "seed": ["1", 1.5, True, None, 2**70],
    "losses": [[], None, "ab", [float("nan")], [1e999], ["a"], [True]],
    "consolidated": [-1, 1.5, "1", True],
    "check": [3, {"passed": "yes"}, {"score": float("nan")}, {"a": {"b": 1}}],
    "uses": [-1, 1.5, "1", 2**60, None],
    "updates": ["/../../../victim", -1, 1.5, None],
    "created": [3, "yesterday", "2026-01-01T00:00:00\x1b[31m"],
    "last_used": [3, None, "x"],
    "bytes": [-1, "1", 2**40],
    "sha256": ["", "../../../victim", "A" * 64, "0" * 63, 3],
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_a_bad_field_sets_its_entry_aside_and_loses_nothing(bank, told, field):
    bad, good = (bank.insert(named(name), state(n), **FACTS) for n, name in enumerate(("bad", "good")))
    forms = (False,) if field == "layout" else (True, False)  # in the bank's own form it is checked when it is used
    for wrong, by_line in itertools.product(WRONG[field], forms):
        edited(bank, lambda entries, wrong=wrong: entries[0].update({field: wrong}), by_line)
        told.clear()
        fresh = MemoryBank(bank.folder, tell=told.append)
        assert [e.id for e in fresh.entries()] == [good.id], wrong
        assert len(told) == 1 and "is set aside" in told[0] and "\n" not in told[0]
        assert value(read(fresh, named("good")).state) == 1 and read(fresh, named("bad")) is None
        added = fresh.insert(named("new"), state(5), **FACTS)
        fresh.delete([added.id])
        record = json.loads((bank.folder / "manifest.json").read_text())["entries"][-1]
        assert record[field] == wrong or wrong != wrong or field in ("losses", "check"), "kept as it was"
        assert (bank.folder / bad.file).exists(), "an adapter that is named by what is set aside stays"
        edited(bank, lambda entries: [bad.to_record(), next(e for e in entries if e["id"] == good.id)])
    assert len(bank.entries()) == 2


@pytest.mark.parametrize("harm", ["x", '{"id": ', "[" * 99999, '{"id": ' * 9999, "\udcff"])
def test_a_damaged_line_costs_no_other(bank, told, harm):
    entries = [bank.insert(named(f"{n}"), state(n), **FACTS) for n in range(3)]
    path = bank.folder / "manifest.json"
    lines = path.read_bytes().split(b"\n")
    lines[2] = harm.encode(errors="surrogateescape") + lines[2]
    path.write_bytes(b"\n".join(lines))
    assert bank.entries() == [entries[0], entries[2]] and len(told) == 1
    bank.insert(named("new"), state(5), **FACTS)
    assert len(bank.entries()) == 3 and len(bank.aside()) == 1 and (bank.folder / entries[1].file).exists()
    assert value(read(bank, named("2")).state) == 2


@pytest.mark.parametrize("record", [None, 3, "text", [], {}, {"id": "abc"}])
def test_what_is_no_record_is_set_aside(bank, told, record):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    edited(bank, lambda entries: [record, *entries, entries[0]])
    assert bank.entries() == [entry] and len(bank.aside()) == 2
    assert any("that of another" in line for line in told)
    bank.insert(named("b"), state(2), **FACTS)
    assert len(bank.aside()) == 2, "kept"
    bank.clear()
    assert (
        bank.aside() == bank.entries() == []
        and json.loads((bank.folder / "manifest.json").read_text())["entries"] == []
    )


def test_a_path_in_the_manifest_reaches_nothing_outside(capsys, bank, tmp_path):
    victim = tmp_path / "victim.safetensors"
    victim.write_text("keep")
    bank.insert(LAYOUT, state(1), **FACTS)
    path = bank.folder / "manifest.json"
    for field in ("updates", "sha256", "id", "file"):
        for text in ("/../../../victim", "../../victim", str(victim.with_suffix(""))):
            data = json.loads(path.read_text())
            for version in (1, 2):
                record = data["entries"][0] | {"id": "abc"} | {field: text, "embedding": [0.0] * 384}
                path.write_text(json.dumps(data | {"schema_version": version, "entries": [record]}))
                MemoryBank(bank.folder).delete(["abc", text])
                main(["memory", "rm", "--all", "-y", "--bank", str(bank.folder)])
                assert victim.read_text() == "keep"
            path.write_text(json.dumps(data))
    assert "Traceback" not in capsys.readouterr().err


def test_layouts_are_checked_when_they_are_used(bank, told):
    bank.insert(LAYOUT, state(1), **FACTS)
    path = bank.folder / "manifest.json"
    text = path.read_text()
    for old, new in (
        ('"word": "ball"', '"word": "cat"'),
        ("[0.0, 0.0, ", "[1e999, 0.0, "),
        ("[0.6, 0.0, 1.0", "[0.0, 0.0, 0.4"),
    ):
        harmed = text.replace(old, new, 1)
        assert harmed != text
        path.write_text(harmed)
        told.clear()
        assert read(MemoryBank(bank.folder, tell=told.append)) is None and len(told) == 1, harmed
    path.write_text(text)
    assert read(bank)


def test_what_is_no_regular_file_is_refused_without_waiting(bank, told, tmp_path):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    path, kept = bank.folder / entry.file, tmp_path / "elsewhere"
    shutil.copy(path, kept)
    for make in (os.mkfifo, lambda p: p.symlink_to(kept), lambda p: p.mkdir(), lambda p: p.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        with pytest.raises(BankError, match="no regular file"):
            bank.load(entry)
        assert read(MemoryBank(bank.folder)) is None
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copy(kept, path)
    bank.used(read(bank))
    for name in ("manifest.json", "journal", "embeddings.bin"):
        target = next(bank.folder.glob(f"{name}*"))
        content = target.read_bytes()
        target.unlink()
        os.mkfifo(target)
        if name == "embeddings.bin":
            assert MemoryBank(bank.folder).insert(named("b"), state(2), **FACTS)
        else:
            with pytest.raises(BankError, match="no regular file"):
                MemoryBank(bank.folder).entries()
        target.unlink()
        target.write_bytes(content)


def test_a_folder_of_adapters_that_is_a_link_is_refused(bank, tmp_path):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    (bank.folder / "adapters").rename(tmp_path / "outside")
    (bank.folder / "adapters").symlink_to(tmp_path / "outside")
    with pytest.raises(BankError):
        bank.load(entry)
    bank.delete([entry.id])
    assert (tmp_path / "outside" / Path(entry.file).name).exists()


def written(bank, entry, tensors) -> None:
    """An adapter as a stranger wrote it, whose size and hash are right."""
    import safetensors.torch

    content = tensors if isinstance(tensors, bytes) else safetensors.torch.save(tensors)
    sha256 = hashlib.sha256(content).hexdigest()
    (bank.folder / "adapters" / f"{sha256}.safetensors").write_bytes(content)
    edited(bank, lambda entries: entries[0].update(sha256=sha256, bytes=len(content)))


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({f"transformer.{k}": v for k, v in state(float("nan")).items()}, "not finite"),
        ({"transformer.x.lora_A.weight": torch.ones(2, 2, 2)}, "no part of an adapter"),
        ({"a\x1b[31m.lora_A.weight": torch.ones(2, 2)}, "no part of an adapter"),
        ({"transformer.x.weight": torch.ones(2, 2)}, "no part of an adapter"),
        ({"transformer.x.lora_A.weight": torch.ones(2, 2, dtype=torch.complex64)}, "no part of an adapter"),
        ({"moves.0": torch.ones(2, 2, 2, 2, 2)}, "no part of an adapter"),
        ({"transformer.x.lora_A.weight": torch.ones(2, 2)}, "no whole LoRA on x"),
        ({f"transformer.x.lora_{h}.weight": torch.ones(n, 2) for h, n in (("A", 3), ("B", 4))}, "no whole LoRA on x"),
        ({"moves.x": torch.ones(2, 2)}, "no part of an adapter"),
        ({"moves.0": torch.full((2, 2), float("inf"))}, "not finite"),
        ({}, "0 tensors"),
        (b"", "no tensors"),
        (b"\xff" * 64, "no tensors"),
    ],
)
def test_tensors_that_are_no_finite_lora_are_refused(bank, told, tensors, message):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    written(bank, entry, tensors)
    with pytest.raises(BankError, match=message):
        bank.load(bank.find(entry.id))
    assert read(bank) is None and message in told[0]


def test_a_file_larger_than_its_record_says_is_not_read(bank):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    os.truncate(bank.folder / entry.file, 2**40)  # has holes, and no blocks
    with pytest.raises(BankError, match="are the most"):
        bank.load(entry)
    os.truncate(bank.folder / "manifest.json", 2**40)
    with pytest.raises(BankError, match="are the most"):
        bank.entries()


def test_lines_of_a_journal_that_are_no_changes_are_set_aside(bank, told):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    bank.used(read(bank))
    (journal,) = bank.folder.glob("journal-*")
    with open(journal, "ab") as file:
        file.write(
            b'{"use": 3}\nnull\n{"drop": ["x"]}\n{"put": {"id": "x"}}\n\xff\xfe\n{"use": "x", "at": "x"}\n'
            + b"[" * 99999
        )
    fresh = MemoryBank(bank.folder, tell=told.append)
    assert [e.uses for e in fresh.entries()] == [1] and told and all("\n" not in line for line in told)
    fresh.insert(named("b"), state(2), **FACTS)
    assert len(fresh.entries()) == 2 and value(fresh.load(fresh.find(entry.id))) == 1


def test_damaged_embeddings_cost_nothing_but_time(bank):
    bank.insert(LAYOUT, state(1), **FACTS)
    path = bank.folder / "embeddings.bin"
    size = path.stat().st_size
    for content in (b"", b"\x00" * size, b"\xff" * size, os.urandom(size), path.read_bytes()[:-100]):
        path.write_bytes(content)
        fresh = MemoryBank(bank.folder)
        assert read(fresh).match.scene == pytest.approx(1, abs=1e-4)
        assert read(MemoryBank(bank.folder))


def test_no_control_character_reaches_the_terminal(capsys, bank):
    bank.insert(LAYOUT, state(1), **FACTS)
    evil = "\x1b[31m\u202ered\x9b\x07\x7f\u2066\ud800\u200b"
    edited(bank, lambda entries: entries[0].update(prompt=evil, scene=evil, model=evil, guide={evil: evil}))
    edited(bank, lambda entries: entries[0]["layout"].update(background=evil, prompt=evil))
    edited(
        bank,
        lambda entries: [
            *entries,
            {"id": evil},
            entries[0] | {"id": "bad", "seed": evil},
            entries[0] | {"id": "other", "model": "shapes"},
        ],
    )
    for argv in (["ls"], ["ls", "--json"], ["show", ""], ["show", bank.entries()[0].id], ["show", evil],
                 ["rm", evil], ["rm", "bad", "--dry-run"], ["rm", "--all", "--dry-run"], ["stats"], ["stats", "--json"],
                 ["search", "a red ball"], ["search", "a red ball", "--json"], ["search", evil], ["verify"],
                 ["verify", "--json"], ["verify", "--repair"], ["prune", "--keep", "0", "--dry-run"], ["merge", evil],
                 ["export", evil, "--out", f"{evil}.zip"], ["import", evil], ["ls", "--text", evil]):  # fmt: skip
        main(["memory", *argv, "--bank", str(bank.folder)])
        out, err = capsys.readouterr()
        assert all(c.isprintable() or c == "\n" for c in out + err), (argv, out + err)
        assert out + err and "Traceback" not in err


def test_an_empty_id_is_an_error(capsys, bank):
    bank.insert(LAYOUT, state(1), **FACTS)
    for argv in (["rm", "", "-y"], ["rm", " ", "-y"], ["show", ""], ["update", "", "--scene", "x"]):
        assert main(["memory", *argv, "--bank", str(bank.folder)]) == 1
        assert "an empty id names no entry" in capsys.readouterr().err
    assert len(bank.entries()) == 1


def test_what_is_set_aside_can_be_removed(capsys, bank):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    edited(bank, lambda entries: entries[0].update(seed="x"))
    assert main(["memory", "rm", entry.id[:5], "-y", "--bank", str(bank.folder)]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == entry.id and "set aside: its seed is not what it must be" in err
    assert bank.aside() == [] and not list((bank.folder / "adapters").iterdir())


def test_a_manifest_that_was_moved_away_is_missed_and_leaves_its_adapters(bank):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    os.utime(bank.folder / entry.file, (1, 1))
    (bank.folder / "manifest.json").rename(bank.folder / "manifest.old")
    for change in (lambda fresh: fresh.insert(named("b"), state(2), **FACTS), MemoryBank.prepare, MemoryBank.entries):
        with pytest.raises(DamagedError, match="is missing, and there are adapters"):
            change(MemoryBank(bank.folder))
    assert (bank.folder / entry.file).exists() and not (bank.folder / "manifest.json").exists()


def test_a_bank_that_is_read_only_is_read(bank, told):
    """A use that cannot be counted costs nothing, an insert is refused, and one line says so."""
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    told.clear()
    with read_only(bank.folder):
        before = {p: p.read_bytes() for p in bank.folder.rglob("*") if p.is_file()}
        fresh = MemoryBank(bank.folder, tell=told.append)
        for _ in range(2):
            hit = read(fresh)
            assert value(hit.state) == 1 and not told[1:], "a lookup asks for no lock"
            fresh.used(hit)
            assert fresh.find(entry.id).uses == 0 and fresh.read_only
        for change in (lambda: fresh.insert(named("b"), state(2), **FACTS), lambda: fresh.delete([entry.id])):
            with pytest.raises(BankError, match=r"cannot write to the bank .*: Permission denied"):
                change()
        assert {p: p.read_bytes() for p in bank.folder.rglob("*") if p.is_file()} == before
        assert len(told) == 1 and "what is learnt is not kept" in told[0]
        with pytest.raises(BankError, match="cannot write"):  # there is none to be read
            assert MemoryBank(bank.folder / "none").read_only
    assert not MemoryBank(bank.folder).read_only and bank.find(entry.id).uses == 0
    bank.used(read(bank))
    assert bank.find(entry.id).uses == 1


# ---------------------------------------------------------------- version 1


@pytest.fixture
def version_1(tmp_path, told):
    shutil.copytree(VERSION_1, tmp_path / "v1")
    return MemoryBank(tmp_path / "v1", tell=told.append)


def test_a_bank_of_version_1_is_read_as_it_is(version_1, told):
    """Without a change to it, as where it cannot be written."""
    before = {p: p.read_bytes() for p in version_1.folder.rglob("*.*")}
    first, second = version_1.entries()
    assert (first.seed, first.uses, first.updates, first.motion) == (1, 1, 1, ["right", "up"])
    assert value(version_1.load(first)) == 0.75 and value(version_1.load(second)) == 0.25
    assert {p: p.read_bytes() for p in version_1.folder.rglob("*.*")} == before and not told


def test_a_bank_of_version_1_is_brought_up_to_date(version_1, told, monkeypatch):
    (version_1.folder / "adapters" / "e021872b-9.safetensors.partial").write_text("of a crash")
    own = [version_1.folder / "notes.partial", version_1.folder / "adapters" / "my-lora-2.safetensors"]
    for path in own:
        path.write_text("the user's")
    old = version_1.entries()
    version_1.prepare()
    data = json.loads((version_1.folder / "manifest.json").read_text())
    assert data["schema_version"] == 2 and all("embedding" not in e for e in data["entries"])
    files = {f"adapters/{p.name}" for p in (version_1.folder / "adapters").iterdir()}
    assert files == {e.file for e in old} | {"adapters/my-lora-2.safetensors"} and not told
    assert all(path.read_text() == "the user's" for path in own)
    fresh = MemoryBank(version_1.folder)
    assert fresh.entries() == old and value(fresh.load(old[0])) == 0.75
    monkeypatch.setattr(keys, "embed", lambda text: pytest.fail(f"{text!r} was embedded again"))
    assert len(fresh._store.texts.rows) == 1 and fresh._store.texts.row(old[0].scene) == 0


def test_a_bad_entry_of_version_1_is_set_aside(version_1, told):
    path = version_1.folder / "manifest.json"
    data = json.loads(path.read_text())
    data["entries"][0]["updates"] = "/../../../victim"
    data["entries"][1]["embedding"] = ["x"]
    path.write_text(json.dumps(data))
    version_1.prepare()
    assert len(version_1.entries()) == 1 and len(told) == 1 and value(version_1.load(version_1.entries()[0])) == 0.25


def test_what_is_written_is_what_is_read(bank):
    entry = bank.insert(LAYOUT, state(1), **FACTS)
    assert to_entry(json.loads(entry.to_line())) == entry == MemoryBank(bank.folder).find(entry.id)
    text = (bank.folder / "manifest.json").read_text()
    assert len(text.splitlines()) == 3 and "\\u" not in text, "a line an entry, that a person can read"
