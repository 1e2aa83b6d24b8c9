"""The whole path on a real pipeline at toy size: files, memory, recipes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ttom_cli.config import GuideConfig, MemoryConfig, SampleConfig
from ttom_cli.errors import BankError, LayoutError, TTOMError
from ttom_cli.generate import Job, Silent, digest, file_name, generate, refine, replay_job
from ttom_cli.memory import MemoryBank
from ttom_cli.video import read_frames, read_recipe

SAMPLE = SampleConfig(
    height=64, width=64, frames=13, fps=8, steps=4, guidance_scale=4.0, max_sequence_length=64, enlarge=2
)
GUIDE = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=2, iterations=2, consolidate=2)


@pytest.fixture
def runtime(toy, tmp_path):
    return replace(toy, bank=MemoryBank(tmp_path / "bank"))


@pytest.fixture
def job(layout, tmp_path):
    return Job(
        layout=layout, seed=3, path=tmp_path / "out" / "a.mp4", sample=SAMPLE, guide=GUIDE, memory=MemoryConfig()
    )


def test_guide_off_is_the_plain_pipeline_bit_by_bit(runtime, job):
    outcome = generate(runtime, replace(job, guide=replace(GUIDE, mode="off")))
    plain = runtime.pipe(
        prompt=job.layout.text, height=64, width=64, num_frames=13, num_inference_steps=4, guidance_scale=4.0,
        max_sequence_length=64, generator=torch.Generator().manual_seed(3),
    ).frames[0]  # fmt: skip
    assert np.array_equal(outcome.frames, (plain * 255).round().astype(np.uint8))
    assert outcome.memory == {"outcome": "off"}
    assert runtime.bank.entries() == []


def test_miss_then_hit_that_skips(runtime, job, tmp_path):
    first = generate(runtime, job)
    assert first.memory["outcome"] == "miss"
    (entry,) = runtime.bank.entries()
    assert entry.id == first.memory["entry"] and entry.consolidated == 2
    assert set(first.seconds) == {"recall", "sample", "write", "consolidate", "remember"}
    second = generate(runtime, replace(job, seed=4, path=tmp_path / "out" / "b.mp4"))
    assert second.memory["outcome"] == "hit" and second.memory["entry"] == entry.id
    assert second.losses == []
    (after,) = runtime.bank.entries()
    assert (after.uses, after.updates, after.sha256) == (1, 0, entry.sha256)
    off = generate(runtime, replace(job, seed=4, guide=replace(GUIDE, mode="off")))
    assert not np.array_equal(second.frames, off.frames)


def test_hit_that_continues_updates_the_entry(runtime, job):
    first = generate(runtime, job)
    second = generate(runtime, replace(job, memory=MemoryConfig(on_hit="continue")))
    assert second.losses and second.losses[0][0] != first.losses[0][0]
    (entry,) = runtime.bank.entries()
    assert (entry.uses, entry.updates) == (1, 1)
    assert entry.losses == [second.losses[0][0], second.losses[-1][-1]]


def test_the_file_carries_its_recipe_and_is_made_again_from_it(runtime, job, tmp_path):
    first = generate(runtime, job)
    recipe = read_recipe(job.path)
    assert recipe["layout"] == job.layout.to_json() and recipe["seed"] == 3
    assert recipe["guide"]["rank"] == 4 and recipe["memory"]["outcome"] == "miss"
    again = generate(runtime, replay_job(recipe, tmp_path / "again.mp4", runtime.bank)[0])
    assert digest(again.frames) == digest(first.frames) == recipe["frames_sha256"]
    assert np.array_equal(read_frames(job.path), read_frames(tmp_path / "again.mp4"))
    assert read_frames(job.path).shape == (13, 128, 128, 3)
    assert len(runtime.bank.entries()) == 1


def test_a_hit_is_replayed_from_the_bank_or_refused(runtime, job, tmp_path):
    generate(runtime, job)
    second = generate(runtime, replace(job, seed=4))
    recipe = read_recipe(job.path)
    again = generate(runtime, replay_job(recipe, tmp_path / "again.mp4", runtime.bank)[0])
    assert digest(again.frames) == digest(second.frames)
    generate(runtime, replace(job, memory=MemoryConfig(on_hit="continue")))
    with pytest.raises(BankError, match="which has changed in the bank"):
        replay_job(recipe, tmp_path / "again.mp4", runtime.bank)
    runtime.bank.delete([recipe["memory"]["entry"]])
    with pytest.raises(BankError, match="which is not in the bank"):
        replay_job(recipe, tmp_path / "again.mp4", runtime.bank)


def test_a_recipe_of_something_else_is_refused(tmp_path):
    for recipe in ({"prompt": "a dog"}, {"memory": {}, "seed": 1, "planner": "rules", "layout": None}):
        with pytest.raises(TTOMError):
            replay_job(recipe, tmp_path / "a.mp4")


def test_nothing_is_learnt_without_memory(runtime, job):
    generate(runtime, replace(job, memory=MemoryConfig(enabled=False)))
    assert runtime.bank.entries() == []


def test_compare_writes_both_beside_each_other(runtime, job):
    outcome = generate(runtime, replace(job, compare=True))
    (path,) = outcome.extra_paths
    assert path.name == "a.compare.mp4"
    assert read_frames(path).shape == (13, 128, 128 * 2 + 4, 3)


def test_a_place_that_cannot_be_written_is_said_before_sampling(runtime, job, tmp_path):
    (tmp_path / "file").write_text("")
    stages = []
    report = Silent()
    report.stage = lambda name, total=None: stages.append(name)
    with pytest.raises(TTOMError, match="it is no folder"):
        generate(runtime, replace(job, path=tmp_path / "file" / "a.mp4"), report)
    assert stages == []


def test_a_failed_write_leaves_the_bank_as_it_was(runtime, job, tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(TTOMError, match="cannot write"):
        generate(runtime, replace(job, path=tmp_path / "a.mp4"))
    assert runtime.bank.entries() == []


def test_a_phrase_that_the_model_does_not_read(runtime, job):
    with pytest.raises(LayoutError, match="beyond the 3 tokens"):
        generate(runtime, replace(job, sample=replace(SAMPLE, max_sequence_length=3)))
    assert not job.path.exists()


def test_refining_an_entry(runtime, job):
    generate(runtime, job)
    (before,) = runtime.bank.entries()
    refine(runtime.bank, before, consolidate=1, seed=None, out=None)
    (after,) = runtime.bank.entries()
    assert after.id == before.id and after.updates == 1 and after.sha256 != before.sha256
    assert after.losses[0] < before.losses[0]


def test_file_names():
    assert file_name("A red ball!", 7) == "a-red-ball-seed7.mp4"
    assert file_name("../../etc", 1) == "etc-seed1.mp4"
    assert file_name("红球", 1) == "红球-seed1.mp4" and len(file_name("球" * 500, 1).encode()) < 230
    assert len(file_name("x" * 500, 1)) < 100
