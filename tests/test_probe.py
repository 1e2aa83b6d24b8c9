"""The probe: its measures by hand, its sums against the maps themselves, its files, and the shipped profiles."""

import json
import math
from dataclasses import replace
from pathlib import Path

import families
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ttom_cli.backbones import FAMILIES
from ttom_cli.bench.sizes import real_size
from ttom_cli.bench.speed import LiveBytes
from ttom_cli.bench.suite import cases
from ttom_cli.catalog import CARDS, find_card, read_profile
from ttom_cli.cli import main
from ttom_cli.config import LoadConfig
from ttom_cli.errors import TTOMError, VideoError
from ttom_cli.generate import make_targets
from ttom_cli.jobs import Job
from ttom_cli.layout import Track
from ttom_cli.layout.model import Keyframe
from ttom_cli.probing import run
from ttom_cli.probing.measures import Figure, figure, measure
from ttom_cli.probing.profile import choose, write_profile
from ttom_cli.probing.run import Probe, Scores, probe, sample_sums
from ttom_cli.probing.sums import Sums, step_ranges, sums_bytes, window_start
from ttom_cli.prompt_files import read_prompts
from ttom_cli.runtime import Runtime
from ttom_cli.seeing.detector import Sighting
from ttom_cli.seeing.masks import coverage, planned_masks, seen_masks

ROOT = Path(__file__).parents[1]


class Notes:
    """A report that keeps what it is told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def stage(self, name, total=None): ...

    def step(self, done): ...

    def loss(self, value): ...


def job(card, layout, *, steps, seed=0):
    sample = replace(card.sample, height=64, width=64, frames=13, steps=steps, max_sequence_length=64)
    return Job(layout=layout, seed=seed, path=Path("-"), sample=sample, guide=card.guide, memory=None)


# ---------------------------------------------------------------- masks


def test_coverage_is_the_covered_share_of_each_cell():
    cells = coverage((0.25, 0.0, 0.75, 0.5), (2, 2))
    assert cells.tolist() == [[pytest.approx(0.5)] * 2, [0.0, 0.0]]


def test_seen_masks_put_a_phrase_s_things_together_and_average_over_cells():
    one, other = np.zeros((5, 4, 4), bool), np.zeros((5, 4, 4), bool)
    one[2, :2, 0] = True  # the left half of the first cell, in the third frame
    other[2, :2, 1] = True  # its right half
    other[4, 3, 3] = True
    boxes, sure = (None, None, (0, 0, 1, 1), None, None), (1.0,) * 5
    things = [Sighting(boxes=boxes, confidence=sure, masks=m) for m in (one, other)]
    masks = seen_masks([things, things[:1], []], 5, [0.0, 0.45, 1.0], (2, 2))
    assert masks.shape == (3, 3, 2, 2)
    assert masks[0].flatten(1).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0.25]]
    assert masks[1].flatten(1).tolist() == [[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]]
    assert not masks[2].any()


def test_boxes_stand_in_where_a_detector_gives_no_masks():
    seen = [[Sighting(boxes=((0, 0, 0.5, 0.25), None), confidence=(1.0, 0.0))]]
    assert seen_masks(seen, 2, [0.0, 1.0], (2, 2))[0].flatten(1).tolist() == [[0.5, 0, 0, 0], [0, 0, 0, 0]]


def test_planned_masks_are_the_boxes_at_each_time():
    def track(*keyframes):
        return Track(id="x", phrase="x", word="x", boxes=tuple(Keyframe(t, box) for t, box in keyframes))

    still, late = track((0, (0, 0, 0.5, 0.5))), track((0.5, (0.5, 0.5, 1, 1)), (1, (0.5, 0.5, 1, 1)))
    masks = planned_masks([[still, late], [late]], [0.0, 1.0], (2, 2))
    assert masks[0].flatten(1).tolist() == [[1, 0, 0, 0], [1, 0, 0, 1]]
    assert masks[1].flatten(1).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]


# ---------------------------------------------------------------- measures


def row(*values):
    """One phrase, one frame, one row of tokens: (1, 1, 1, W)."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_measures_by_hand():
    # A = (1, .5, .25, 0) against M = (1, 0, .5, 0): soft 1.125 / (1.75 + 1.5 - 1.125), hard: cells 0, 1 against 0, 2.
    soft, hard, jsd = measure(row(6.0, 4.0, 3.0, 2.0), row(1.0, 0, 0.5, 0)).tolist()
    assert soft == pytest.approx(1.125 / 2.125)
    assert hard == pytest.approx(1 / 3)
    p, q = [6 / 15, 4 / 15, 3 / 15, 2 / 15], [2 / 3, 0, 1 / 3, 0]
    expected = sum(
        a / 2 * math.log(a / ((x + y) / 2)) for x, y in zip(p, q, strict=True) for a in (x, y) if a
    )  # half of each divergence from the mean
    assert jsd == pytest.approx(expected, abs=1e-5)


def test_the_mask_itself_is_perfect_and_its_opposite_as_bad_as_can_be():
    mask = row(1.0, 0, 0, 0)
    assert measure(mask.clone(), mask).tolist() == pytest.approx([1, 1, 0], abs=1e-5)
    assert measure(1 - mask, mask).tolist() == pytest.approx([0, 0, math.log(2)], abs=1e-5)


def test_each_frame_is_scaled_on_its_own_and_frames_without_the_object_do_not_count():
    mask = torch.cat([row(1.0, 0), row(1.0, 0), row(0, 0.0)], 1)
    maps = torch.cat([row(0.2, 0.1), row(0.9, 0.8), row(0.0, 1)], 1)  # (1, 3, 1, 2)
    assert measure(maps, mask)[:2].tolist() == pytest.approx([1, 1])
    both = torch.cat([mask, torch.zeros_like(mask)])  # and a phrase that is never seen
    assert torch.equal(measure(torch.cat([maps, 1 - maps]), both), measure(maps, mask))
    assert measure(torch.stack([maps, 1 - maps]), mask).shape == (2, 3)


def test_an_interval_is_that_of_the_mean():
    values = np.array([0.1, 0.2, 0.6])
    one = figure(values)
    sigma = math.sqrt(((0.1 - 0.3) ** 2 + (0.2 - 0.3) ** 2 + (0.6 - 0.3) ** 2) / 2)
    assert one.mean == pytest.approx(0.3) and one.interval == pytest.approx(1.96 * sigma / math.sqrt(3))
    assert figure(values[:1]) == Figure(0.1, None)


# ---------------------------------------------------------------- sums


def test_the_window_is_the_reference_s():
    assert [(window_start(n), n - 1) for n in (50, 25, 4, 1)] == [(42, 49), (21, 24), (3, 3), (0, 0)]


@pytest.mark.parametrize(("steps", "ranges"), [(50, 10), (25, 10), (4, 10), (7, 3), (1, 1)])
def test_step_ranges_part_the_steps(steps, ranges):
    parts = step_ranges(steps, ranges)
    assert len(parts) == min(steps, ranges)
    assert [s for a, b in parts for s in range(a, b + 1)] == list(range(steps))
    lengths = [b - a + 1 for a, b in parts]
    assert max(lengths) - min(lengths) <= 1


def test_the_sums_of_wan_14b_by_counting():
    """40 blocks x 50 steps of maps at the real size go through; the sums and one step's maps are all that is held."""
    backbone, pipe, call, *_ = real_size(CARDS["wan2.1-14b"])
    blocks, grid = backbone.blocks(pipe.transformer), backbone.grid(pipe.transformer, call)
    phrases, steps = 2, CARDS["wan2.1-14b"].sample.steps
    assert (blocks, grid, steps) == (40, (21, 30, 52), 50)
    expected = sums_bytes(blocks, 10, phrases, grid)
    assert expected == 40 * 11 * 2 * 32760 * 4 == 115_315_200
    assert sums_bytes(blocks, 10, phrases, grid, pipe.transformer.config.num_attention_heads) - expected == 419_328_000
    sums, step_bytes = Sums(steps, 10), blocks * phrases * math.prod(grid) * 4
    with LiveBytes() as live:
        for step in range(steps):
            sums.add(step, list(torch.zeros(blocks, phrases, math.prod(grid)).unbind()), grid)
    assert sums.total.nbytes == expected
    assert expected <= live.now <= live.peak <= expected + step_bytes


def test_memory_does_not_grow_with_the_steps(toy, layout):
    peaks = []
    for steps in (4, 12):
        one = job(toy.card, layout, steps=steps)
        with LiveBytes(toy.pipe.transformer.parameters()) as live:
            sums, _ = sample_sums(toy, one, make_targets(toy, one), ranges=2, heads=True, report=Notes())
        peaks.append(live.peak)
        assert sums.total.nbytes + sums.heads.nbytes == sums_bytes(4, 2, 2, (4, 4, 4), heads=2)
    one_block = 2 * 4 * 4 * 4 * 4  # the bytes of its maps in one step
    assert peaks[1] - peaks[0] < one_block, peaks


def test_sums_are_the_means_of_the_maps(toy, layout, monkeypatch):
    kept, add = [], Sums.add

    def record(self, step, maps, grid):
        kept.append([m.clone() for m in maps])
        add(self, step, maps, grid)

    monkeypatch.setattr(Sums, "add", record)
    one = job(toy.card, layout, steps=7)
    sums, _ = sample_sums(toy, one, make_targets(toy, one), ranges=3, heads=True, report=Notes())
    assert len(kept) == 7 and sums.ranges == [(0, 2), (3, 4), (5, 6)] and sums.window == (6, 6)
    per_head = [m.ndim == 3 for maps in kept for m in maps[:1]]
    assert per_head == [False] * 6 + [True]
    for k in range(4):
        maps = torch.stack([m[k] if m[k].ndim == 2 else m[k].mean(0) for m in kept])
        for c, (a, b) in enumerate([*sums.ranges, sums.window]):
            assert torch.allclose(sums.means(k)[c].flatten(2).flatten(1), maps[a : b + 1].mean(0).flatten(1), atol=1e-7)
        assert torch.allclose(sums.head_means(k).flatten(2), kept[-1][k])


def test_a_second_expert_s_steps_are_left_out(tmp_path, layout):
    """Wan2.2-A14B: the window is of the steps that the guided expert runs."""
    families.build("wan2.2-a14b").save_pretrained(tmp_path)
    runtime = Runtime.open(str(tmp_path), load=LoadConfig(device="cpu"))
    runtime.pipe.scheduler = type(runtime.pipe.scheduler).from_config(runtime.pipe.scheduler.config, shift=1.0)
    one = job(runtime.card, layout, steps=8)
    one = replace(one, sample=replace(one.sample, shift=None, more={}))
    found = probe(runtime, [one], layout_only=True)
    assert found.steps == int((runtime.pipe.scheduler.timesteps >= 500).sum()) < 8
    assert found.window[1] == found.ranges[-1][1] == found.steps - 1
    assert np.isfinite(found.values_VKCM).all()


@pytest.mark.parametrize("name", ["cogvideox1.5", "hunyuan", "ltx"])
def test_other_families_are_probed_too(tmp_path, layout, name):
    families.build(name).save_pretrained(tmp_path)
    runtime = Runtime.open(str(tmp_path), load=LoadConfig(device="cpu"))
    assert type(runtime.backbone) is type(FAMILIES[type(runtime.pipe).__name__])
    one = job(runtime.card, layout, steps=2)
    one = replace(one, sample=replace(one.sample, frames=17, max_sequence_length=24, more={}))
    found = probe(runtime, [one], heads=True, layout_only=True)
    assert len(found.blocks) == 4 and len(found.heads) >= 8 and np.isfinite(found.values_VKCM).all()


# ---------------------------------------------------------------- the probe


def test_probe_scores_every_block_and_leaves_no_trace(toy, layout):
    jobs = [job(toy.card, layout, steps=4, seed=s) for s in (0, 1)]
    found = probe(toy, jobs, ranges=2, heads=True, layout_only=True)
    assert [s.block for s in found.blocks] == [0, 1, 2, 3] and found.videos == 2
    assert [(s.block, s.head) for s in found.heads] == [(k, n) for k in range(4) for n in range(2)]
    assert all(0 < s.soft.mean < 1 and s.soft.interval >= 0 for s in [*found.blocks, *found.heads])
    assert found.table("jsd").shape == (4, 2) and (found.table("jsd") < math.log(2)).all()
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["ranges"] == [[0, 1], [2, 3]]
    assert not toy.pipe.transformer._forward_pre_hooks and "forward" not in vars(toy.pipe.transformer)


class Sees:
    """A detector that sees a square in videos of the listed turns, if the phrase has a word."""

    name = "told"

    def __init__(self, turns, word):
        self.turns, self.word, self.asked = turns, word, 0

    def see(self, frames, phrases):
        self.asked += 1
        box = (0.0, 0.0, 0.5, 0.5)
        thing = Sighting(boxes=(box,) * len(frames), confidence=(1.0,) * len(frames))
        there = self.asked - 1 in self.turns
        return [[thing] if there and self.word in phrase else [] for phrase in phrases]

    def to(self, device): ...


def test_what_is_not_seen_does_not_count_and_is_said(toy, layout):
    jobs = [job(toy.card, layout, steps=2, seed=s) for s in (5, 6)]
    toy.detector, report = Sees([1], "ball"), Notes()
    found = probe(toy, jobs, report=report)
    assert found.videos == 1 and found.detector == "told" and found.blocks[0].soft.interval is None
    assert report.notes == [f"{layout.prompt!r}, seed 5, counts for nothing: none of its objects is seen"]
    toy.detector = Sees([], "ball")
    with pytest.raises(VideoError, match="no object is seen in any video"):
        probe(toy, jobs)


def test_a_video_that_comes_to_nothing_does_not_end_the_probe(toy, layout, monkeypatch):
    sample = run.sample

    def flat(runtime, job, report):
        if job.seed == 0:
            raise VideoError("the video is all black")
        return sample(runtime, job, report)

    monkeypatch.setattr(run, "sample", flat)
    report = Notes()
    found = probe(toy, [job(toy.card, layout, steps=2, seed=s) for s in (0, 1)], layout_only=True, report=report)
    assert found.videos == 1 and "counts for nothing: the video is all black" in report.notes[0]


# ---------------------------------------------------------------- profiles


def scored(*soft, interval=0.03):
    rest = Figure(0.5, None)
    return [Scores(block=b, soft=Figure(s, interval), hard=rest, jsd=rest) for b, s in enumerate(soft)]


def test_of_blocks_as_good_as_the_best_the_shallowest_are_chosen():
    scores = scored(0.2, 0.48, 0.47, 0.5, 0.3)
    assert choose(scores, 1) == (1,)
    assert choose(scores, 2) == (1, 2)
    assert choose(scores, 4) == (1, 2, 3, 4)
    assert choose(scored(0.2, 0.4, 0.5, 0.45), 2) == (2, 3)
    assert choose(scored(0.2, 0.4, 0.5, 0.45, interval=None), 1) == (2,)
    assert choose(scored(0.2, 0.3), 9) == (0, 1)


@pytest.mark.parametrize("name", ["shapes", "shapes-cog"])
def test_the_embedded_models_take_their_blocks_from_profiles_that_the_command_wrote(name):
    card = CARDS[name]
    file = Path(card.source, "profile.yaml")
    profile = yaml.safe_load(file.read_text())
    assert card.guide.blocks == tuple(profile["blocks"]) == read_profile(file, name)
    command = profile["command"]
    assert command[:2] == ["ttom", "probe"] and command[command.index("--model") + 1] == name
    assert (ROOT / command[command.index("--profile") + 1]).samefile(file)
    asked = len(read_prompts(ROOT / command[command.index("--prompts") + 1]))
    assert 0.9 * asked < profile["videos"] <= asked and profile["detector"] == "shapes"
    scores = [
        Scores(block=row["block"], **{m: Figure(row[m], row[f"{m}_interval"]) for m in ("soft", "hard", "jsd")})
        for row in profile["scores"]
    ]
    assert len(scores) == 6 and choose(scores, profile["keep"]) == card.guide.blocks


def test_the_profiles_prompts_are_the_suite_s():
    prompts = [item["prompt"] for item in read_prompts(ROOT / "prompts" / "probe.txt")]
    kinds = ("motion", "spatial", "numeracy", "several")
    assert prompts == [case.prompt for case in cases("tune", 18) if case.category in kinds]


def test_a_folder_s_own_profile_is_taken(toy_folder, tmp_path):
    import shutil

    folder = tmp_path / "mine"
    shutil.copytree(toy_folder, folder)
    assert find_card(str(folder)).guide.blocks == find_card(str(toy_folder)).guide.blocks
    (folder / "profile.yaml").write_text("model: whatever it was called\nblocks: [1, 2]\n")
    assert find_card(str(folder)).guide.blocks == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no profile"),
        ("- 1\n- 2", "is no profile"),
        ("blocks: [2, 3]", "is no profile"),
        ("model: x\nblocks: 3", "is no profile"),
        ("model: x\nblocks: []", "different block numbers"),
        ("model: x\nblocks: [2, true]", "different block numbers"),
        ("model: x\nblocks: [2.5]", "different block numbers"),
        ("model: x\nblocks: [-1]", "different block numbers"),
        ("model: x\nblocks: [2, 2]", "different block numbers"),
        ("model: y\nblocks: [2]", "is the profile of y, not of x"),
        ("{: [", "neither JSON nor YAML"),
    ],
)
def test_garbage_is_no_profile(tmp_path, text, message):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(TTOMError, match=message):
        read_profile(file, "x")


def test_a_written_profile_is_read(tmp_path):
    rng = np.random.default_rng(0)
    found = Probe(
        model="wan2.1-14b", seed=0, detector="layout", steps=50, ranges=step_ranges(50, 2), window=(42, 49),
        values_VKCM=rng.random((3, 5, 3, 3)) * np.array([0.1, 0.2, 0.9, 0.3, 0.8]).reshape(1, 5, 1, 1),
    )  # fmt: skip
    write_profile(tmp_path / "p.yaml", found, 2, ["ttom", "probe", "a dog, and: a 'cat'"])
    assert read_profile(tmp_path / "p.yaml", "wan2.1-14b") == choose(found.blocks, 2)
    assert yaml.safe_load((tmp_path / "p.yaml").read_text())["command"][2] == "a dog, and: a 'cat'"


# ---------------------------------------------------------------- the command


def test_the_command_writes_table_pictures_and_profile(capsys, tmp_path):
    Path("two.txt").write_text("a red ball rolls right\na blue square above a green circle\n")
    argv = ["probe", "--prompts", "two.txt", "--steps", "4", "--heads", "--plot", "pictures", "--profile", "p.yaml"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    blocks, heads = out.split("\n\n")
    assert blocks.splitlines()[0].split() == ["block", "soft", "IoU", "hard", "IoU", "JSD"]
    soft = [float(line.split()[1]) for line in blocks.splitlines()[1:]]
    assert len(soft) == 6 and soft == sorted(soft, reverse=True) and out.count(" ± ") == 3 * (6 + 12)
    assert heads.splitlines()[0].split()[:2] == ["block", "head"]
    assert "2 videos of shapes, against what the detector shapes sees, step 3 of 4" in err
    for name in ("heatmap", "curve"):
        with Image.open(f"pictures/{name}.png") as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
            assert np.asarray(picture.convert("L")).std() > 10
    profile = yaml.safe_load(Path("p.yaml").read_text())
    assert profile["command"] == ["ttom", *argv] and profile["videos"] == 2 and profile["window"] == [3, 3]
    assert read_profile(Path("p.yaml"), "shapes") == tuple(profile["blocks"]) and len(profile["blocks"]) == 2


def test_the_command_s_json_is_strict(capsys):
    argv = ["probe", "a red ball rolls right", "--model", "shapes-cog", "--steps", "3", "--ranges", "2", "--keep", "1"]
    assert main([*argv[:-1], "7"]) == 1 and "--keep 7 is more than the model's 6 blocks" in capsys.readouterr().err
    assert main([*argv, "--layout-only", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [row["block"] for row in found["blocks"]] == list(range(6))
    assert found["blocks"][0]["soft_interval"] is None and found["detector"] == "layout"
    assert found["ranges"] == [[0, 1], [2, 2]] and np.shape(found["table"]["hard"]) == (6, 2)
    assert len(found["chosen"]) == 1 and "heads" not in found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nothing at hand can look at the videos of"),
        (["--detector", "shapes", "--layout-only"], "there are both --layout-only and --detector"),
        (["--layout-only", "--profile", "p.json"], "must name a YAML file"),
        (["--layout-only", "--plot", "file/plots"], "choose another place with --plot"),
    ],
)
def test_what_cannot_be_is_said_before_the_model_is_loaded(capsys, toy_folder, monkeypatch, more, message):
    monkeypatch.setattr(Runtime, "open", lambda *a, **k: pytest.fail("loaded"))
    Path("file").write_text("")
    assert main(["probe", "a red ball rolls right", "--model", str(toy_folder), *more]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    if not more:
        assert "--detector" in err and "--layout-only" in err
