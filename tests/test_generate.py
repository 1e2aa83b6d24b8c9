"""The whole path on a real pipeline at toy size: files, memory, recipes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ttom_cli.config import CheckConfig, GuideConfig, MemoryConfig, SampleConfig
from ttom_cli.errors import BankError, LayoutError, ModelError, TTOMError, VideoError
from ttom_cli.generate import generate, refine
from ttom_cli.jobs import Job, Silent
from ttom_cli.layout import layout_from_json
from ttom_cli.memory import MemoryBank
from ttom_cli.recipe import digest, replay_job
from ttom_cli.runtime import detector_for
from ttom_cli.seeing.detector import Sighting
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
        layout=layout, seed=3, path=tmp_path / "out" / "a.mp4", sample=SAMPLE, guide=GUIDE, memory=MemoryConfig(),
        overwrite=True,
    )  # fmt: skip


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


def test_a_bank_that_is_read_only_helps_and_learns_nothing(runtime, job, layout):
    from bank_process import read_only

    generate(runtime, job)
    told = []
    runtime = replace(runtime, bank=MemoryBank(runtime.bank.folder, tell=told.append))
    with read_only(runtime.bank.folder):
        before = [entry.to_record() for entry in runtime.bank.entries()]
        assert generate(runtime, replace(job, seed=4)).memory["outcome"] == "hit"
        again = generate(runtime, replace(job, memory=MemoryConfig(on_hit="continue")))
        missed = generate(runtime, replace(job, layout=replace(layout, objects=layout.objects[:1])))
        assert [entry.to_record() for entry in runtime.bank.entries()] == before
    assert missed.memory == {"outcome": "miss", "entry": None} and again.losses and not missed.trouble
    assert "consolidate" not in missed.seconds and "consolidate" not in again.seconds, "for what is not kept"
    assert len(told) == 1 and "cannot write to the bank" in told[0]


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
    frames = read_frames(path)
    assert frames.shape == (13, 128 + 18, 128 * 2 + 4, 3)
    for half in (frames[:, :18, :128], frames[:, :18, 132:]):  # each has a title on a white band
        assert half.max() > 240 and half.min() < 100


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
    refine(runtime.bank, before, consolidate=1)
    (after,) = runtime.bank.entries()
    assert after.id == before.id and after.updates == 1 and after.sha256 != before.sha256
    assert after.losses[0] < before.losses[0]


# ---------------------------------------------------------------- looking


class Told:
    """A detector that sees each object at its box or not at all, as it is told for one video after another."""

    name = "told"

    def __init__(self, layout, *shown):
        self.layout, self.shown, self.places = layout, list(shown), []

    def see(self, frames, phrases):
        there = self.shown.pop(0)
        times = [i / (len(frames) - 1) for i in range(len(frames))]
        boxes = {t.phrase: tuple(t.box_at(time) for time in times) for t in self.layout.objects}
        sure = (1.0,) * len(frames)
        return [[Sighting(boxes=boxes[p], confidence=sure)] if p in there else [] for p in phrases]

    def to(self, device):
        self.places.append(device)


BOTH, ONE, NONE = ("red ball", "blue cube"), ("red ball",), ()


def told(runtime, job, *shown):
    return replace(runtime, detector=Told(job.layout, *shown))


def test_only_a_video_that_passes_is_learnt_from(runtime, job):
    failed = generate(told(runtime, job, ONE), job)
    assert failed.check.faults == ["blue cube: not seen"] and job.path.exists()
    assert runtime.bank.entries() == [] and failed.memory == {"outcome": "miss", "entry": None}
    assert "consolidate" not in failed.seconds
    passed = generate(told(runtime, job, BOTH), job)
    (entry,) = runtime.bank.entries()
    assert passed.check.passed and passed.memory["entry"] == entry.id
    assert entry.check == {"passed": True, "score": passed.check.score, "iou": passed.check.iou}
    recipe = read_recipe(job.path)
    assert recipe["check"]["detector"] == "told" and recipe["check"]["passed"] and recipe["tries"] == 1
    generate(told(runtime, job, ONE), replace(job, memory=MemoryConfig(on_hit="continue")))
    assert runtime.bank.entries()[0].updates == 0


def test_tries_go_on_until_one_passes(runtime, job, tmp_path):
    job = replace(job, named=lambda seed: tmp_path / "out" / f"a-ball-seed{seed}.mp4", check=CheckConfig(tries=4))
    outcome = generate(told(runtime, job, NONE, ONE, BOTH), job)
    assert (outcome.tries, outcome.job.seed) == (3, job.seed + 2) and outcome.check.passed
    assert outcome.job.path.name == "a-ball-seed5.mp4" and [p.name for p in job.path.parent.iterdir()] == [
        "a-ball-seed5.mp4"
    ]
    assert runtime.bank.entries()[0].seed == 5
    alone = generate(
        told(runtime, job, BOTH), replace(job, seed=5, check=CheckConfig(), memory=MemoryConfig(enabled=False))
    )
    assert digest(alone.frames) == digest(outcome.frames)  # a try leaves no trace on the next
    assert read_recipe(outcome.job.path)["seed"] == 5


def test_of_tries_that_all_fail_the_best_is_kept(runtime, job):
    outcome = generate(told(runtime, job, NONE, ONE, NONE), replace(job, check=CheckConfig(tries=3)))
    assert (outcome.tries, outcome.job.seed) == (3, job.seed + 1) and outcome.check.faults == ["blue cube: not seen"]
    assert outcome.job.path == job.path and runtime.bank.entries() == []  # a path of the user's own stays


@pytest.mark.parametrize(("on_hit", "tries", "seed"), [("auto", 1, 9), ("skip", 2, 10)])
def test_a_recalled_adapter_that_fails_is_learnt_anew(runtime, job, on_hit, tries, seed):
    """In auto on the same noise, whatever the tries; else on the next."""
    generate(told(runtime, job, BOTH), job)
    (before,) = runtime.bank.entries()
    job = replace(job, seed=9, check=CheckConfig(tries=tries), memory=MemoryConfig(on_hit=on_hit))
    again = generate(told(runtime, job, ONE, BOTH), job)
    (after,) = runtime.bank.entries()
    assert again.losses and again.job.seed == seed and again.tries == 2
    assert again.memory == {"outcome": "miss", "failed": before.id, "entry": before.id}
    assert after.id == before.id and after.updates == 1 and after.sha256 != before.sha256
    assert (after.uses, after.failed) == (1, 0), "what failed was the old one"


def test_what_a_use_led_to_is_counted_and_what_fails_is_used_no_more(runtime, job):
    skip = replace(job, memory=MemoryConfig(on_hit="skip"))
    generate(told(runtime, job, BOTH), job)
    for seen, counts in ((BOTH, (1, 0)), (ONE, (1, 1)), (ONE, (1, 2)), (NONE, (1, 3))):
        assert generate(told(runtime, job, seen), skip).memory["outcome"] == "hit"
        (entry,) = runtime.bank.entries()
        assert (entry.passed, entry.failed) == counts
    (entry,) = MemoryBank(runtime.bank.folder).entries()
    assert (entry.uses, entry.passed, entry.failed, entry.seconds > 0) == (4, 1, 3, True)
    generate(told(runtime, job, NONE), skip)
    missed = generate(told(runtime, job, NONE), skip)
    assert missed.memory == {"outcome": "miss", "entry": None}


def test_auto_skips_where_the_scenes_are_much_alike_and_else_continues(runtime, job):
    generate(told(runtime, job, BOTH), job)
    (learnt,) = runtime.bank.entries()
    near = replace(job, memory=MemoryConfig(on_hit="auto", sure=1.0))
    assert generate(told(runtime, job, BOTH), near).memory["action"] == "skip"
    moved = [
        replace(k, box=(k.box[0] + 0.03, k.box[1], k.box[2] + 0.03, k.box[3])) for k in job.layout.objects[0].boxes
    ]
    track = replace(job.layout.objects[0], boxes=tuple(moved))
    aside = replace(near, layout=replace(job.layout, objects=(track, *job.layout.objects[1:])))
    outcome = generate(told(runtime, job, BOTH), aside)
    assert outcome.memory["action"] == "continue" and 0.5 < outcome.memory["likeness"] < 1 and outcome.losses
    (after,) = runtime.bank.entries()
    assert (after.id, after.updates) == (learnt.id, 1)
    by_moves = replace(aside, guide=replace(GUIDE, mode="attention+latents", consolidate=0))
    assert generate(told(runtime, job, BOTH), replace(by_moves, layout=job.layout)).memory["outcome"] == "miss"
    hit = generate(told(runtime, job, BOTH), by_moves).memory
    assert hit["action"] == "skip" and hit["likeness"] < 1  # for moves likeness is no reason


def test_a_hit_of_several_is_their_blend_and_is_replayed(runtime, job, tmp_path):
    layout, told_apart = job.layout, []
    scenes = ("<object A> rolls past <object B>", "a recipe for apple pie")
    for n, scene in enumerate(scenes):
        made = generate(runtime, replace(job, seed=n, layout=replace(layout, scene=scene)))
        told_apart.append(made.memory["entry"])
    runtime.bank.thresholds = replace(runtime.bank.thresholds, scene=-1.0)
    both = replace(job, memory=MemoryConfig(blend=5), layout=replace(layout, scene=scenes[1]))
    outcome = generate(runtime, both)
    (other,) = outcome.memory["others"]
    assert {outcome.memory["entry"], other["entry"]} == set(told_apart) and outcome.memory["entry"] == told_apart[1]
    assert [entry.uses for entry in runtime.bank.entries()] == [1, 1]
    alone = generate(runtime, replace(both, memory=MemoryConfig(), path=tmp_path / "alone.mp4"))
    assert digest(alone.frames) != digest(outcome.frames) and alone.memory["others"] == []
    again = generate(runtime, replay_job(read_recipe(job.path), tmp_path / "again.mp4", runtime.bank)[0])
    assert digest(again.frames) == digest(outcome.frames)


def test_moves_of_the_latents_are_remembered_too(runtime, job):
    job = replace(job, guide=replace(GUIDE, mode="attention+latents", consolidate=0))
    generate(runtime, job)
    (entry,) = runtime.bank.entries()
    assert sorted(runtime.bank.load(entry)) == ["moves.0", "moves.1"]
    red, *others = job.layout.objects
    green = replace(job.layout, objects=(replace(red, phrase="red"), *others))
    hit = generate(runtime, replace(job, seed=4, layout=green))
    assert hit.memory["outcome"] == "hit" and hit.memory["action"] == "skip" and hit.losses == []
    plain = generate(runtime, replace(job, seed=4, layout=green, guide=replace(job.guide, mode="attention")))
    assert plain.memory == {"outcome": "off"} and not np.array_equal(plain.frames, hit.frames)


def test_the_detector_comes_when_the_denoiser_has_left(toy, layout, monkeypatch):
    """On a GPU: what goes where, in which order."""
    detector, moves = Told(layout, BOTH), []
    runtime = replace(toy, detector=detector, load=replace(toy.load, device="cuda"))
    monkeypatch.setattr(type(toy.pipe.transformer), "to", lambda self, device: moves.append(("denoiser", device)))
    monkeypatch.setattr(Told, "to", lambda self, device: moves.append(("detector", device)))
    runtime.see(np.zeros((2, 8, 8, 3), np.uint8), list(BOTH))
    assert moves == [("denoiser", "cpu"), ("detector", "cuda"), ("detector", "cpu"), ("denoiser", "cuda")]


def test_which_detector_looks(toy, shapes):
    assert detector_for(shapes.card, CheckConfig()).detector == "shapes" and shapes.detector.name == "shapes"
    assert detector_for(shapes.card, CheckConfig(enabled=False)) is None
    assert detector_for(toy.card, CheckConfig()) is None
    assert detector_for(toy.card, CheckConfig(detector="grounded-sam2")).detector == "grounded-sam2"
    for wanting in (CheckConfig(enabled=True), CheckConfig(tries=2), CheckConfig(strict=True)):
        with pytest.raises(ModelError, match="nothing at hand can look at the videos"):
            detector_for(toy.card, wanting)


# ---------------------------------------------------------------- finite, or not at all


def test_one_weight_that_is_no_number_stops_the_video(runtime, job):
    weight = runtime.pipe.transformer.blocks[0].ffn.net[2].weight
    with torch.no_grad():
        kept, weight[0, 0] = weight[0, 0].clone(), float("nan")
    try:
        with pytest.raises(VideoError, match="the loss is not finite in guided step 1: the model's own numbers"):
            generate(runtime, job)
        with pytest.raises(VideoError, match="after step 1 the latents are not finite"):
            generate(runtime, replace(job, guide=replace(GUIDE, mode="off")))
    finally:
        with torch.no_grad():
            weight[0, 0] = kept
    assert not job.path.exists() and runtime.bank.entries() == []


@pytest.mark.parametrize(("mode", "option"), [("params", "lr"), ("latents", "latent-lr"), ("latents+params", "lr")])
def test_an_optimisation_that_runs_away_names_its_rate(runtime, job, mode, option):
    wild = replace(GUIDE, mode=mode, lr=1e30, latent_lr=1e30)
    with pytest.raises(VideoError) as caught:
        generate(runtime, replace(job, guide=wild))
    assert f"--{option}" in caught.value.hint, caught.value
    assert not job.path.exists() and runtime.bank.entries() == []


def test_a_flat_video_is_no_success(runtime, job, monkeypatch):
    vae = type(runtime.pipe.vae)
    decode = vae.decode
    monkeypatch.setattr(vae, "decode", lambda self, z, **more: (decode(self, z, return_dict=False)[0] * 0 - 1,))
    with pytest.raises(VideoError, match="the video is all black"):
        generate(runtime, replace(job, check=CheckConfig(tries=2)))
    assert not job.path.exists() and runtime.bank.entries() == []


def test_a_flat_try_is_followed_by_the_next(runtime, job, monkeypatch):
    from ttom_cli.runtime import Runtime

    whole, calls = Runtime._call, []

    def call(self, *args):
        calls.append(args)
        video = whole(self, *args)
        return video * 0 if len(calls) == 1 else video

    monkeypatch.setattr(Runtime, "_call", call)
    outcome = generate(told(runtime, job, BOTH), replace(job, check=CheckConfig(tries=2)))
    assert outcome.tries == 2 and outcome.check.passed and len(runtime.bank.entries()) == 1


BRIEF = {
    "phrase": "blue cube",
    "boxes": [{"t": 0.1, "box": [0.1, 0.1, 0.4, 0.4]}, {"t": 0.2, "box": [0.1, 0.1, 0.4, 0.4]}],
}
HERE = {"phrase": "red ball", "boxes": [{"t": 0, "box": [0.5, 0.5, 0.9, 0.9]}]}


def test_an_object_in_no_latent_frame_is_named_and_the_others_are_guided(runtime, job):
    notes, report = [], Silent()
    report.note = notes.append
    layout = layout_from_json({"prompt": "a red ball and a blue cube", "objects": [HERE, BRIEF]})
    outcome = generate(runtime, replace(job, layout=layout), report)
    assert notes == ["object 'blue cube' is in the frame in no latent frame, and is not guided"]
    assert np.isfinite(outcome.losses).all() and outcome.losses[-1][-1] < outcome.losses[0][0]
    alone = layout_from_json({"prompt": "a red ball and a blue cube", "objects": [BRIEF]})
    with pytest.raises(LayoutError, match="no object is in the frame in any of the 4 latent frames: 'blue cube'"):
        generate(runtime, replace(job, layout=alone))


def test_what_of_the_prompt_is_not_read_is_said(runtime, job):
    notes, report = [], Silent()
    report.note = notes.append
    layout = replace(job.layout, prompt=job.layout.prompt + " on a gray background")
    generate(runtime, replace(job, layout=layout, sample=replace(SAMPLE, max_sequence_length=12)), report)
    assert notes == ["the model reads 12 tokens, and not the prompt's end: 'a gray background'"]


def test_trouble_after_the_video_costs_no_video(runtime, job, tmp_path, monkeypatch):
    def full(self, *args, **more):
        raise BankError("no room is left")

    monkeypatch.setattr(MemoryBank, "insert", full)
    outcome = generate(runtime, job)
    assert job.path.exists() and outcome.trouble.message == "no room is left"
    assert outcome.to_json()["error"] == "no room is left"
