"""`ttom memory`, as a user has it."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from bank_process import FACTS, LAYOUT, A, B, made_up, named, state, value
from test_bank_trust import VERSION_1, edited

from ttom_cli.cli import main
from ttom_cli.errors import BankError
from ttom_cli.memory import MemoryBank, blend, keys, manifest


@pytest.fixture(autouse=True)
def _made_up(monkeypatch):
    monkeypatch.setattr(keys, "embed", made_up)


@pytest.fixture
def bank(tmp_path):
    """Where `ttom` finds it, with entries of three prompts."""
    made = MemoryBank(tmp_path / "bank")
    for n, (prompt, check) in enumerate(
        [("a red ball rolls right", {"passed": True, "score": 0.8}), ("a red ball is here", {"passed": False}),
         ("two: a red ball and more", None)]
    ):  # fmt: skip
        made.insert(replace(named(f"{n}"), prompt=prompt), state(n + 1), **FACTS, check=check)
    return made


@pytest.fixture
def run(capsys):
    def run(*argv) -> tuple[int, str, str]:
        code = main(["memory", *map(str, argv)])
        return code, *capsys.readouterr()

    return run


def ids(bank) -> list[str]:
    return [entry.id for entry in bank.entries()]


def used(bank, id: str, times: int = 1, passed: bool | None = None) -> None:
    scene = bank.find(id).scene
    for _ in range(times):
        hit = bank.read(replace(LAYOUT, scene=scene), model="toy", guide={"rank": 2})
        assert hit.entry.id == id
        bank.used(hit, passed)


def test_a_bank_that_is_named_must_be_there(run, monkeypatch, tmp_path):
    """What the variable names may come to be with the first video, and then there is nothing to verify."""
    commands = ["ls"], ["stats"], ["show", "x"], ["rm", "--all"], ["verify"], ["export", "--out", "a.zip"]
    for command in commands:
        code, out, err = run(*command, "--bank", "none")
        assert (code, out, err) == (1, "", "error: there is no bank none (see --bank)\n")
    monkeypatch.setenv("TTOM_BANK", str(tmp_path / "later"))
    assert run("ls")[0] == 0 and run("verify")[0] == 1


def test_ways_to_choose_what_goes_are_not_mixed(run, bank):
    for argv, said in (
        (["x", "--all"], "there are both ids and --all"),
        (["--all", "--text", "a"], "there are both --all and options that choose"),
        ([], "say which entries to remove"),
    ):
        code, out, err = run("rm", *argv, "-y")
        assert code == 1 and out == "" and said in err
    assert len(ids(bank)) == 3


# ---------------------------------------------------------------- looking


def test_ls_lists_a_page_of_what_is_chosen(run, bank):
    first, second, third = ids(bank)
    used(bank, third)
    code, out, err = run("ls")
    assert code == 0 and [line.split()[0] for line in out.splitlines()[1:]] == [third, first, second]
    assert "3 entries" in err and "✓" in out and "✗" in out
    assert [e["id"] for e in json.loads(run("ls", "--json", "--sort", "prompt")[1])] == [second, first, third]
    code, out, err = run("ls", "--limit", 1, "--page", 2, "--sort", "created", "--reverse")
    assert out.splitlines()[1].startswith(second) and "2 to 2 of 3 entries; --page 3 shows more" in err
    order = [third, first, second].index
    for options, wanted in (
        (["--checked", "failed"], [second]), (["--checked", "none"], [third]), (["--max-uses", 0], [first, second]),
        (["--text", "ROLLS"], [first, second, third]), (["--text", "is here"], [second]), (["--idle", 1], []),
        (["--model", "toy", "--idle", 0, "--sort", "loss", "--limit", 2], [first, second]),
    ):  # fmt: skip
        assert [e["id"] for e in json.loads(run("ls", "--json", *options)[1])] == sorted(wanted, key=order), options
    assert "no such page of 3 entries" in run("ls", "--page", 9)[2]
    code, _, err = run("ls", "--sort", "size", "--limit", 0)
    assert code == 2 and "limit must be a whole number of at least 1" in " ".join(err.split())


@pytest.mark.parametrize("width", [24, 40, 60, 80])
def test_tables_fit(run, bank, monkeypatch, width):
    bank.insert(replace(named("x"), prompt=f"a red ball {'and so on ' * 30}"), state(9), **FACTS | {"model": "b" * 300})
    monkeypatch.setenv("COLUMNS", f"{width}")
    for command in (["ls"], ["stats"], ["search", "a red ball rolls right"]):
        code, out, _ = run(*command)
        assert code == 0 and all(len(line) <= width for line in out.splitlines()), out
        said = ["never used", "passed"] if command == ["stats"] else [id[:8] for id in ids(bank)]
        assert all(word in out for word in said), out


def test_ids_are_as_long_as_they_must_be(run, bank):
    edited(bank, lambda entries: [e | {"id": f"the-same-beginning-{n}"} for n, e in enumerate(entries)])
    assert "the-same-beginning-1 " in run("ls")[1]


def test_show_draws_the_layout_for_a_terminal(run, bank, monkeypatch):
    entry = bank.entries()[0]
    assert json.loads(run("show", entry.id[:5])[1])["layout"] == entry.layout
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, out, _ = run("show", entry.id)
    assert code == 0 and "red ball" in out and "━" in out and "passed, score 0.80" in out and "never" in out
    assert entry.sha256[:30] in out and "rank 2" in out
    assert all(len(re.sub(r"\x1b\[[\d;]*m", "", line)) <= 80 for line in out.splitlines())


def test_search_says_what_is_hit_and_why_not(run, bank, monkeypatch):
    options = ["search", "a red ball rolls right", "--json", "--guide", "params"]
    assert all("made for the model toy" in c["reasons"][0] for c in json.loads(run(*options)[1]))
    from ttom_cli.commands.inputs import plan_item, settle
    from ttom_cli.memory.signature import signature_of

    _, settings = settle({"guide": "params"})
    layout = plan_item({"prompt": "a red ball rolls right"}, settings.planner)
    entry = bank.insert(
        layout, state(1), **FACTS | {"model": "shapes", "guide": signature_of(settings.guide, settings.sample, {})}
    )
    found = json.loads(run(*options)[1])
    assert found[0]["id"] == entry.id and found[0]["hit"] and not any(c["hit"] for c in found[1:])
    code, out, err = run("search", "a red ball rolls right", "--guide", "params")
    assert code == 0 and "✓" in out and f"{entry.id[:8]} is used" in err
    for argv, reason in (
        ([options[1], "--rank", 3], "rank 8, not 3"),
        ([options[1], "--steps", 9, "--guided-steps", 4], "steps 25, not 9; guided-steps 12, not 4"),
        (["a red ball rolls left"], "it has what moves right, in the place of what moves left"),
        (["a red ball and a blue cube roll right"], "it has 1 object, not 2"),
        (["a green cross moves right"], "the objects are alike by"),
    ):
        first = next(
            c for c in json.loads(run("search", *argv, "--json", "--guide", "params")[1]) if c["id"] == entry.id
        )
        assert not first["hit"] and any(reason in r for r in first["reasons"]), (argv, first)
    assert [e.uses for e in bank.entries()] == [0] * 4, "none is a use"
    (bank.folder / entry.file).write_bytes(b"x")
    code, out, err = run("search", "a red ball rolls right", "--guide", "params")
    assert code == 0 and "✓" not in out and "not what was stored" in " ".join(out.split()) and "a miss" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("a red ball\na blue cube\n"))
    assert "there are several prompts" in run("search")[2]


def test_search_counts_the_user_s_own_parts_as_generate_does(run, bank, tmp_path):
    from ttom_cli.commands.inputs import plan_item, settle
    from ttom_cli.config import LoadConfig
    from ttom_cli.memory.signature import signature_of
    from ttom_cli.parts import key_of, settled

    (tmp_path / "style.safetensors").write_bytes(b"a LoRA")
    _, settings = settle({"guide": "params"})
    parts = key_of(settled(LoadConfig(lora=(str(tmp_path / "style.safetensors"),))))
    facts = FACTS | {"model": "shapes", "guide": signature_of(settings.guide, settings.sample, parts)}
    entry = bank.insert(plan_item({"prompt": "a red ball rolls right"}, settings.planner), state(1), **facts)
    options = ["search", "a red ball rolls right", "--json", "--guide", "params"]
    assert not any(c["hit"] for c in json.loads(run(*options)[1]))
    with_it = json.loads(run(*options, "--lora", "style.safetensors")[1])
    assert [c["id"] for c in with_it if c["hit"]] == [entry.id], "by whatever path it is named"
    (tmp_path / "style.safetensors").write_bytes(b"another of that name")
    first = json.loads(run(*options, "--lora", "style.safetensors")[1])[0]
    assert not first["hit"] and "the file of lora" in first["reasons"][0] and len(first["reasons"][0]) < 80


def test_a_closed_standard_output_is_no_fault(run, bank, monkeypatch):
    for argv in (["ls"], ["show", ids(bank)[0]], ["stats", "--json"]):
        monkeypatch.setattr("sys.stdout", None)
        code, _, err = run(*argv)
        assert code == 0 and "error" not in err


def test_stats(run, bank):
    used(bank, ids(bank)[0], 2)
    sums = json.loads(run("stats", "--json")[1])
    assert (sums["entries"], sums["uses"], sums["never_used"], sums["passed"], sums["failed"]) == (3, 2, 2, 1, 1)
    assert sums["models"].keys() == {"toy"} and "toy" in run("stats")[1]


# ---------------------------------------------------------------- changing


def test_rm_lists_what_goes_and_asks_where_it_can(run, bank, monkeypatch):
    first, second, third = ids(bank)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = run("rm", "--checked", "failed")
    assert code == 1 and out == "" and f"remove {second}" in err and "say --yes" in err and len(ids(bank)) == 3
    assert run("rm", first, "--text", "x")[0] == 1 and run("rm", "--all", first, "-y")[0] == 1
    assert run("rm", "--text", "no such", "-y")[2].strip() == "there is nothing to remove"
    assert run("rm", "--checked", "failed", "-y")[1].split() == [second]
    assert run("rm", first[:6], third, "-y")[1].split() == [first, third] and ids(bank) == []


def test_an_id_that_is_named_twice_is_one(run, bank, tmp_path):
    first, second, third = ids(bank)
    code, out, err = run("rm", first, first[:6], first, second, "-y")
    assert code == 0 and out.split() == [first, second] and err.count(first) == 1, err
    assert run("export", third, third, "--out", tmp_path / "x.safetensors")[0] == 0


def test_a_no_at_the_prompt_is_said_to_change_nothing(run, bank, monkeypatch):
    first, second, _ = ids(bank)
    for argv, said in ((["rm", first], "nothing was removed"), (["merge", first, second], "nothing was merged")):
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        code, out, err = run(*argv)
        assert code == 1 and out == "" and said in err and len(ids(bank)) == 3
    monkeypatch.setattr("sys.stdin", Terminal(""))
    code, out, err = run("rm", first)
    assert code == 1 and out == "" and "there was no answer" in err and len(ids(bank)) == 3
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    code, out, err = run("rm", first)
    assert (code, out) == (0, f"{first}\n") and len(ids(bank)) == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["search", "a red ball", "--limit", "0"], "limit must be a whole number of at least 1, not 0"),
        (["search", "a red ball", "--limit", "-1"], "limit must be a whole number of at least 1, not -1"),
        (["ls", "--page", "0"], "page must be a whole number of at least 1, not 0"),
        (["ls", "--max-uses", "-1"], "max-uses must be a whole number of at least 0, not -1"),
        (["rm", "--idle", "-1"], "idle must be a number of at least 0, not -1"),
        (["prune", "--keep", "-1"], "keep must be a whole number of at least 0, not -1"),
        (["prune", "--mb", "nan"], "mb must be a number of at least 0, not nan"),
        (["merge", "--similarity", "1.5"], "similarity must be a number from 0 to 1, not 1.5"),
        (["update", "x", "--optimise", "--consolidate", "-1"], "consolidate must be a whole number from 0 to 100000"),
        (["update", "x", "--optimise", "--consolidate", "100001"], "from 0 to 100000, not 100001"),
        (["update", "x", "--optimise", "--seed", "9" * 30], "seed must be a whole number of 64 bits"),
    ],
)
def test_numbers_out_of_bounds_are_refused_by_name_and_range(run, bank, argv, said):
    code, out, err = run(*argv)
    assert code == 2 and out == "" and said in " ".join(err.split()) and len(ids(bank)) == 3


@pytest.mark.parametrize("option", [("--consolidate", "3"), ("--seed", "1"), ("--out", "x.mp4")])
def test_an_update_takes_nothing_that_it_would_not_heed(run, bank, option):
    one, *_ = ids(bank)
    code, out, err = run("update", one, "--scene", "another", *option)
    assert code == 1 and out == "" and f"{option[0]} is about optimising" in err
    assert bank.find(one).scene != "another"


def test_no_time_is_too_long_to_ask_for(run, bank):
    assert json.loads(run("ls", "--json", "--idle", "1e300")[1]) == []


def test_prune_keeps_the_most_used(run, bank):
    first, second, third = ids(bank)
    used(bank, first)
    used(bank, third)
    assert run("prune")[0] == 1
    assert f"remove {second}" in run("prune", "--keep", 2, "--dry-run")[2] and len(ids(bank)) == 3
    assert run("prune", "--keep", 2, "-y")[1].split() == [second]
    assert run("prune", "--mb", bank.entries()[0].bytes / 1e6, "-y")[1].split() == [first] and ids(bank) == [third]


def test_merge_weighs_by_similarity(run, bank):
    first, second, third = ids(bank)
    used(bank, second, 2)
    used(bank, third)
    code, out, err = run("merge", first, second, "-y")
    assert code == 0 and out.split() == [second] and f"merge {first} into {second}" in err
    kept = bank.find(second)
    assert ids(bank) == [second, third] and (kept.uses, kept.updates) == (2, 1)
    assert len(list((bank.folder / "adapters").iterdir())) == 2
    assert run("merge", second, second[:6], "-y")[0] == 1
    assert "no entries are alike by 0.95" in run("merge")[2]
    twin = bank.insert(replace(LAYOUT, scene=kept.scene), state(7), **FACTS)
    assert run("merge", "-y")[1].split() == [second] and twin.id not in ids(bank)
    other = bank.insert(LAYOUT, state(1), **FACTS | {"model": "other"})
    code, _, err = run("merge", second, other.id, "-y")
    assert code == 1 and "made for the model other" in err and len(ids(bank)) == 3


def test_a_merge_keeps_what_is_known_of_the_learning_and_of_all_uses(run, bank):
    first, second, _ = bank.entries()
    used(bank, first.id, 2, passed=True)
    used(bank, second.id, 1, passed=False)
    newest = bank.find(second.id)
    assert run("merge", first.id, second.id, "-y")[1].split() == [first.id]
    kept = bank.find(first.id)
    assert (kept.uses, kept.passed, kept.failed) == (3, 2, 1)
    assert (kept.clock, kept.last_used) == (newest.clock, newest.last_used)
    assert (kept.check, kept.prompt, kept.created) == (first.check, first.prompt, first.created)
    assert "✓" in run("ls")[1].splitlines()[1]


def test_a_merge_overwrites_no_update_that_came_meanwhile(bank):
    for changed in (0, 1):
        before = bank.entries()
        alike = blend.together(bank, before[:2])
        bank.update(before[changed].id, state(9 + changed))
        with pytest.raises(BankError, match="was changed meanwhile"):
            blend.merge(bank, alike)
        assert value(bank.load(bank.find(before[changed].id))) == 9 + changed and len(bank.entries()) == 3


def test_the_mean_is_of_what_adapters_do():
    """By hand: of products, whatever their factors; of those with the same A, tensor by tensor."""
    torch.manual_seed(0)
    made = [{A: torch.randn(2, 6), B: torch.randn(5, 2)} for _ in range(2)]
    product = [s[B] @ s[A] for s in made]
    half = (product[0] + 0.5 * product[1]) / 1.5
    both = blend.mean(made, [1, 0.5])
    u, s, v = torch.linalg.svd(half)
    assert torch.allclose(both[B] @ both[A], u[:, :2] * s[:2] @ v[:2], atol=1e-5)
    made[1][A] = made[0][A]
    both = blend.mean(made, [1, 0.5])
    assert torch.allclose(both[B] @ both[A], (made[0][B] + 0.5 * made[1][B]) / 1.5 @ made[0][A], atol=1e-5)
    assert {name: t.shape for name, t in both.items()} == {A: (2, 6), B: (5, 2)}


# ---------------------------------------------------------------- verify


def test_verify_names_each_fault_and_mends_what_it_can(run, bank):
    first, second, third = bank.entries()
    assert run("verify")[:2] == (0, "")
    edited(bank, lambda entries: entries[0].update(uses=-1, losses=[0.4, 0.1]))
    (bank.folder / second.file).write_bytes(b"x")
    code, out, _ = run("verify")
    assert code == 1 and f"record {first.id}: its uses" in out and f"adapter {second.id}: " in out
    assert len(out.splitlines()) == 2 and third.id not in out
    code, out, err = run("verify", "--repair")
    assert (code, out) == (0, "") and f"{first.id} is mended" in err and f"{second.id} is removed" in err
    assert ids(bank) == [third.id, first.id] and value(bank.load(bank.find(first.id))) == 1
    (kept,) = bank.folder.glob("removed-*.jsonl")
    assert json.loads(kept.read_text())["id"] == second.id
    edited(bank, lambda entries: entries[0].update(seed="x"))
    code, out, _ = run("verify", "--repair")
    assert code == 1 and "its seed" in out and len(bank.aside()) == 1, "what cannot be mended stays"


def test_repair_leaves_what_it_cannot_read_or_does_not_know(run, bank):
    entry = bank.entries()[0]
    path = bank.folder / entry.file
    path.rename(path.with_suffix(".kept"))
    path.mkdir()  # as what has no rights to be read
    code, out, _ = run("verify", "--repair")
    assert code == 1 and "no regular file" in out and len(ids(bank)) == 3
    manifest = bank.folder / "manifest.json"
    text = manifest.read_text().replace('"schema_version": 2', '"schema_version": 9')
    manifest.write_text(text)
    code, out, err = run("verify", "--repair")
    assert code == 1 and out == "" and "schema version 9" in err and manifest.read_text() == text


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("cut", [0.5, 0.95])
def test_verify_rescues_the_whole_records_of_a_damaged_manifest(run, bank, cut, indent):
    used(bank, ids(bank)[0], 3)  # these stand in the journal
    path = bank.folder / "manifest.json"
    if indent:
        path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
    text = path.read_text()
    path.write_text(text[: int(cut * len(text))])
    code, out, _ = run("verify")
    assert code == 1 and "manifest: " in out and "is damaged" in out
    before = {p.name for p in (bank.folder / "adapters").iterdir()}
    code, out, err = run("verify", "--repair")
    assert code == 0 and "is made anew" in err
    fresh = MemoryBank(bank.folder)
    assert len(fresh.entries()) == 3 and fresh.entries()[0].uses == 3
    assert next(bank.folder.glob("manifest-damaged-*")).read_text() == text[: int(cut * len(text))]
    fresh.insert(named("new"), state(5), **FACTS)
    assert before < {p.name for p in (bank.folder / "adapters").iterdir()}, "no adapter goes"


def test_a_manifest_that_is_gone_is_made_of_the_adapters(run, bank):
    before = {entry.prompt for entry in bank.entries()}
    (bank.folder / "manifest.json").unlink()
    for command in (["ls"], ["stats"], ["rm", "--all", "-y"], ["verify"]):
        code, out, err = run(*command)
        assert code == 1 and "manifest.json is missing, and there are adapters" in out + err
        assert "--repair" in err
    code, out, err = run("verify", "--repair")
    assert (code, out) == (0, "") and "made anew of 3 entries" in err
    assert {entry.prompt for entry in bank.entries()} == before and not list(bank.folder.glob("manifest-damaged*"))


@pytest.mark.parametrize("content", [b"[]", bytes(range(256)) * 9, b"", b'{"schema_version": 2'])
def test_the_remedy_that_a_lost_manifest_s_line_names_brings_the_entries_back(run, bank, content):
    """Of what their adapters say; one that is damaged is left, and so is one that says nothing of an entry."""
    *before, harmed = bank.entries()
    used(bank, before[0].id)
    adapters = {path: path.read_bytes() for path in (bank.folder / "adapters").iterdir()}
    (bank.folder / harmed.file).write_bytes(adapters[bank.folder / harmed.file][:-1] + b"x")
    old = safetensors.torch.save(state(5), {"ttom": '{"prompt": "of an earlier ttom"}'})
    (bank.folder / "adapters" / f"{hashlib.sha256(old).hexdigest()}.safetensors").write_bytes(old)
    (bank.folder / "manifest.json").write_bytes(content)
    for command in (["ls"], ["stats"], ["rm", "--all", "-y"], ["show", "x"]):
        code, out, err = run(*command)
        assert code == 1 and out == "" and "is damaged" in err and len(err.splitlines()) == 1
    (remedy,) = re.findall(r"ttom memory (verify --repair --bank \S+)", err)
    code, out, err = run("verify")
    assert code == 1 and "1 fault; --repair mends what can be" in err
    code, out, err = run(*remedy.split())
    assert (code, out) == (0, "") and "made anew of 2 entries" in err and "2 sound entries; nothing is wrong" in err
    found = {entry.prompt: entry for entry in bank.entries()}
    for entry in before:
        again = found[entry.prompt]
        assert replace(again, id=entry.id, uses=entry.uses, clock=entry.clock, last_used=entry.last_used) == entry
        assert value(bank.load(again)) == value(safetensors_state(adapters[bank.folder / entry.file]))
    assert run("verify")[:2] == (0, "") and len(list((bank.folder / "adapters").iterdir())) == 4
    used(bank, found[before[0].prompt].id)


def safetensors_state(content: bytes) -> dict:
    return {name.removeprefix("transformer."): t for name, t in safetensors.torch.load(content).items()}


def test_a_journal_that_a_lost_manifest_named_is_read(run, bank, monkeypatch):
    monkeypatch.setattr(manifest, "SMALL", (bank.folder / "manifest.json").stat().st_size)  # it is large, by this
    new = bank.insert(named("in the journal"), state(7), **FACTS)
    (bank.folder / "manifest.json").write_text("[]")
    assert run("verify", "--repair")[0] == 0
    assert replace(bank.find(new.id), clock=new.clock) == new and len(bank.entries()) == 4


# ---------------------------------------------------------------- export and import


def exported(run, bank, tmp_path, name="bank.zip", *options):
    code, _, err = run("export", *options, "--out", tmp_path / name)
    assert code == 0, err
    return tmp_path / name


def test_a_bank_goes_out_and_in_again(run, bank, tmp_path):
    file, other = exported(run, bank, tmp_path), MemoryBank(tmp_path / "other")
    code, out, _ = run("import", file, "--bank", other.folder)
    assert code == 0 and out.split() == ids(bank) and other.entries() == bank.entries()
    assert [value(other.load(e)) for e in other.entries()] == [1, 2, 3]
    code, out, err = run("import", file, "--bank", other.folder)
    assert code == 0 and out == "" and "in the bank already: 3 of 3" in err
    changed = other.update(ids(bank)[0], state(9))
    code, out, _ = run("import", file, "--bank", other.folder)
    assert code == 0 and len(out.split()) == 1 and len(other.entries()) == 4
    assert value(other.load(other.find(changed.id))) == 9 and value(other.load(other.find(out.strip()))) == 1


@pytest.mark.parametrize("names", ["diffusers", "comfyui"])
def test_a_lora_goes_out_and_in_again(run, bank, tmp_path, names):
    entry = bank.entries()[0]
    file = exported(run, bank, tmp_path, "one.safetensors", entry.id, "--names", names)
    wanted = {
        "diffusers": "transformer.blocks.0.attn2.to_q.lora_{}.weight",
        "comfyui": "diffusion_model.blocks.0.cross_attn.q.lora_{}.weight",
    }[names]
    assert safetensors.torch.load_file(file).keys() == {wanted.format("A"), wanted.format("B")}
    other = MemoryBank(tmp_path / "other")
    assert run("import", file, "--bank", other.folder)[1].split() == [entry.id]
    (taken,) = other.entries()
    assert value(other.load(taken)) == 1 and replace(taken, sha256="", bytes=0) == replace(entry, sha256="", bytes=0)


@pytest.mark.parametrize("names", ["diffusers", "comfyui"])
def test_a_lora_that_is_there_is_not_taken_again(run, bank, tmp_path, names):
    """In the bank that it came from and in another; also where an entry that changed since has its id."""
    entry = bank.entries()[0]
    file, other = exported(run, bank, tmp_path, "one.safetensors", entry.id, "--names", names), tmp_path / "other"
    assert run("import", file, "--bank", other)[1].split() == [entry.id]
    for folder in [bank.folder, *[other] * 5]:  # safetensors writes a header's facts in another order each time
        code, out, err = run("import", file, "--bank", folder)
        assert code == 0 and out == "" and "in the bank already: 1 of 1" in err
    bank.update(entry.id, state(9))
    (new,) = run("import", file)[1].split()
    assert new != entry.id and value(bank.load(bank.find(new))) == 1
    assert run("import", file)[:2] == (0, "") and len(bank.entries()) == 4


def test_comfyui_s_names_are_those_of_its_modules():
    """Of `WanAttentionBlock` and of LTX's blocks there, whose LoRA is named by 'diffusion_model.' and the module."""
    from ttom_cli.memory.names import from_comfyui, to_comfyui

    table = {
        "blocks.{}.attn1.to_q": "blocks.{}.self_attn.q", "blocks.{}.attn1.to_k": "blocks.{}.self_attn.k",
        "blocks.{}.attn1.to_v": "blocks.{}.self_attn.v", "blocks.{}.attn1.to_out.0": "blocks.{}.self_attn.o",
        "blocks.{}.attn2.to_q": "blocks.{}.cross_attn.q", "blocks.{}.attn2.to_k": "blocks.{}.cross_attn.k",
        "blocks.{}.attn2.to_v": "blocks.{}.cross_attn.v", "blocks.{}.attn2.to_out.0": "blocks.{}.cross_attn.o",
    }  # fmt: skip
    ltx = [f"transformer_blocks.{{}}.attn{n}.{p}" for n in (1, 2) for p in ("to_q", "to_k", "to_v", "to_out.0")]
    for layers in (table, {name: name for name in ltx}):
        ours = {f"{name.format(n)}.lora_{x}.weight": n for name in layers for n in (0, 12) for x in "AB"}
        theirs = {
            f"diffusion_model.{name.format(n)}.lora_{x}.weight"
            for name in layers.values()
            for n in (0, 12)
            for x in "AB"
        }
        assert to_comfyui(ours).keys() == theirs and from_comfyui(to_comfyui(ours)) == ours


def packed(file, change) -> None:
    """The archive, with its members changed; what a change gives back is done to the file."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind, harm = change(members) or (zipfile.ZIP_STORED, lambda content: content)
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file.write_bytes(harm(file.read_bytes()))


def _records(change):
    def changed(members):
        data = json.loads(members["manifest.json"])
        change(data["entries"])
        members["manifest.json"] = json.dumps(data).encode()

    return changed


def _adapters(content):
    return lambda members: members.update({list(members)[-1]: content})


@pytest.mark.parametrize(
    "change, reason",
    [
        (_records(lambda entries: entries[1].update(seed="x")), "its seed is not what it must be"),
        (_records(lambda entries: entries[1].update(sha256="../../victim")), "its sha256"),
        (_records(lambda entries: entries[2]["layout"]["objects"][0].update(word="cat")), "word"),
        (_records(lambda entries: entries[2].update(id=entries[1]["id"])), "that of another"),
        (_records(lambda entries: entries.clear()), "it has 0 entries"),
        (_adapters(b"x"), "is not what was stored"),
        (_adapters(b"\0" * 10_000_000), "larger than it may be"),
        (lambda members: members.popitem() and None, "it has no adapters/"),
        (lambda members: members.update({"manifest.json": b"[" * 99999}), "is damaged"),
        (lambda members: members.pop("manifest.json") and None, "it has no manifest.json"),
        (lambda _: (zipfile.ZIP_DEFLATED, bytes), "is compressed or locked"),
        (
            lambda _: (zipfile.ZIP_STORED, lambda content: content.replace(b"lora_B", b"lora_C")),
            "its archive is damaged",
        ),
        (lambda _: (zipfile.ZIP_STORED, lambda content: content[:-30]), "it is neither an archive nor a LoRA"),
    ],
)
def test_an_archive_is_taken_whole_or_not_at_all(run, bank, tmp_path, change, reason):
    file, other = exported(run, bank, tmp_path), MemoryBank(tmp_path / "other")
    other.insert(LAYOUT, state(5), **FACTS)
    before = {p: p.read_bytes() for p in other.folder.rglob("*") if p.is_file()}
    packed(file, change)
    code, out, err = run("import", file, "--bank", other.folder)
    assert code == 1 and out == "" and reason in err and len(err.splitlines()) == 1, err
    assert {p: p.read_bytes() for p in other.folder.rglob("*") if p.is_file()} == before


def test_other_files_are_refused(run, bank, tmp_path):
    files = {
        "lora.safetensors": safetensors.torch.save({f"transformer.{A}": torch.ones(2, 2)}), "text.zip": b"hello",
        "short": b"\xff" * 8, "empty": b"", "nan.safetensors": safetensors.torch.save(
            {f"transformer.{k}": v * float("nan") for k, v in state(1).items()},
            {"ttom_entry": json.dumps(bank.entries()[0].to_record())},
        ),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        code, out, err = run("import", tmp_path / name)
        assert code == 1 and out == "" and "is refused, and nothing of it was taken" in err, (name, err)
    code, _, err = run("import", tmp_path)
    assert code == 1 and "no regular file" in err and len(bank.entries()) == 3


def test_a_bank_of_version_1_is_verified_and_exported_as_it_is(run, tmp_path):
    shutil.copytree(VERSION_1, tmp_path / "v1")
    before = {p: p.read_bytes() for p in (tmp_path / "v1").rglob("*.*")}
    code, out, err = run("verify", "--bank", tmp_path / "v1", "--json")
    assert code == 0 and json.loads(out) == {"sound": 2, "faults": [], "strays": [], "repaired": []}, err
    assert run("export", "--bank", tmp_path / "v1", "--out", tmp_path / "x.zip")[0] == 0
    assert {p: p.read_bytes() for p in (tmp_path / "v1").rglob("*.*")} == before
    other = MemoryBank(tmp_path / "other")
    assert len(run("import", tmp_path / "x.zip", "--bank", other.folder)[1].split()) == 2
    assert [value(other.load(entry)) for entry in other.entries()] == [0.75, 0.25]


def test_what_no_entry_names_is_told_and_left(run, bank):
    (bank.folder / "adapters" / f"{'a' * 64}.safetensors").write_bytes(b"x" * 99)
    code, out, err = run("verify")
    assert (code, out) == (0, "") and "no entry names 1 of the files in" in err


def test_an_export_writes_over_nothing_unless_told_to(run, bank, tmp_path):
    (tmp_path / "mine.zip").write_text("precious")
    code, out, err = run("export", "--out", tmp_path / "mine.zip")
    assert code == 1 and out == "" and "mine.zip is there already (--overwrite writes over it)" in err
    assert (tmp_path / "mine.zip").read_text() == "precious"
    one, *_ = ids(bank)
    code, _, err = run("export", one, one[:6], "--out", tmp_path / "mine.zip", "--overwrite")
    assert code == 0 and "1 of 3 entries" in err


def test_what_cannot_be_exported_is_said(run, bank, tmp_path):
    one, *_ = ids(bank)
    for argv, message in (
        ([], "say where to export to"), (["--out", "x.safetensors"], "holds one entry, and these are 3"),
        ([one, "--out", "x.tar"], "cannot export to x.tar"), (["--text", "no", "--out", "x.zip"], "no such entries"),
        ([one, "--out", "x.safetensors", "--names", "comfy"], "did you mean 'comfyui'"),
    ):  # fmt: skip
        code, out, err = run("export", *argv)
        assert code in (1, 2) and out == "" and message in err, err
    code, out, err = run("export", "--out", "/proc/x.zip")
    assert code == 1 and out == "" and "cannot write /proc/x.zip" in err
    path = bank.folder / bank.find(one).file
    path.unlink()
    code, out, err = run("export", "--out", tmp_path / "x.zip")
    assert code == 1 and f"{path} is missing" in err and not list(tmp_path.glob("x.zip*"))
    path.write_bytes(b"x")
    code, out, err = run("export", "--out", tmp_path / "x.zip")
    assert code == 1 and "is not what was stored" in err and not list(tmp_path.glob("x.zip*"))
