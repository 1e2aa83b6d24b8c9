"""The sets of prompts, and the tables on real models."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from ttom_cli.bench.estimate import Estimate
from ttom_cli.bench.report import Row, Table, joined, markdown
from ttom_cli.bench.shapes import found_table, guide_tables, memory_table, tries_table
from ttom_cli.bench.suite import EACH, MAKERS, SETS, cases, other_objects, singles_and_pairs, triples
from ttom_cli.catalog import CARDS
from ttom_cli.cli import main
from ttom_cli.config import CheckConfig, LoadConfig
from ttom_cli.planning import make_planner
from ttom_cli.runtime import Runtime
from ttom_cli.seeing.score import check
from ttom_cli.seeing.shapes import ShapesDetector
from ttom_cli.shapes.world import kept_out


@pytest.mark.parametrize("name", SETS)
def test_every_prompt_of_a_set_is_planned_as_it_is_meant(name):
    planner = make_planner()
    for case in [*cases(name), *singles_and_pairs(name, 24), *triples(name, 12)]:
        layout = case.layout or planner.plan(case.prompt)
        count = sum(case.truth) if case.category == "numeracy" else len(case.objects)
        assert len(layout.objects) == count, case
        if case.category in ("motion", "paths"):
            assert tuple(t.direction for t in layout.objects) == case.truth
        # What the check asks of a video is what the prompt says.
        asked = check(layout, np.full((13, 64, 64, 3), 255, np.uint8), ShapesDetector().see)
        assert case.category not in ("motion", "spatial", "numeracy") or case.category in asked.parts, case
        if case.category == "spatial":
            side = {"left": "left of", "right": "right of"}.get(case.truth[0], case.truth[0])
            assert list(asked.relations) == [f" {side} ".join(map(" ".join, case.objects))]
        if case.category == "numeracy":
            assert [wanted for _, wanted in asked.counts.values()] == list(case.truth)


def test_the_sets_are_fixed_and_share_no_noise_and_only_the_report_has_pairs_that_were_kept_out():
    made = {name: cases(name) for name in SETS}
    assert all(len(part) == 7 * EACH >= 150 for part in made.values())
    assert made["tune"] == cases("tune") and made["tune"][: 2 * EACH] == cases("tune")[: 2 * EACH]
    assert cases("report", 3)[3].prompt == made["report"][EACH].prompt  # the first few are those of the whole
    assert len({case.seed for part in made.values() for case in part}) == 3 * 7 * EACH
    for name, part in made.items():
        unseen = [any(kept_out(*pair) for pair in combinations(case.objects, 2)) for case in part]
        several = [len(case.objects) > 1 for case in part]
        assert unseen == (several if name == "report" else [False] * len(part))


def test_other_objects_in_the_same_boxes():
    planner = make_planner()
    for case in (c for c in cases("validate", 6) if c.category in ("motion", "spatial", "several", "paths")):
        layout = case.layout or planner.plan(case.prompt)
        other = other_objects(case, layout)
        assert not set(other.objects) & set(case.objects) and other.seed != case.seed
        assert [t.boxes for t in other.layout.objects] == [t.boxes for t in layout.objects]
        assert all(track.phrase in other.prompt for track in other.layout.objects)
        assert len(planner.plan(other.prompt).objects) == len(layout.objects)


def test_an_interval_holds_the_mean_and_narrows_with_more_prompts():
    few, many = Estimate.of([0.0, 1.0] * 5), Estimate.of([0.0, 1.0] * 500)
    assert few.low < few.value == 0.5 < few.high and many.half < few.half / 5
    # The interval of the mean of n fair coins, by the normal distribution: 1.96 * .5 / sqrt(n).
    assert many.half == pytest.approx(1.96 * 0.5 / 1000**0.5, rel=0.1)
    assert Estimate.of([None, 1.0]).value == 1.0 and Estimate.of([None]) is None


def test_markdown():
    half = Estimate(0.9, 0.85, 0.93)
    row = Row("params", {"IoU": 0.5, "found": 0.91, "prompts": 3, "s/video": 4.04, "right way": half})
    table = Table("The guide", "a note", [row])
    assert markdown(table).splitlines()[2] == "| params | 0.500 | 91% | 3 | 4.0 | 90% ±5% |"
    assert table.to_json()["rows"][0]["right way"] == {"value": 0.9, "low": 0.85, "high": 0.93}
    assert joined({"shapes": table}) == table
    assert [row.name for row in joined({"a": table, "b": table}).rows] == ["a: params", "b: params"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [card.name for card in CARDS.values() if card.embedded])
def test_the_guide_guides_each_embedded_model(name):
    runtime = Runtime.open(name, load=LoadConfig(device="cpu"), check=CheckConfig())
    arms = {mode: runtime.card.guide_in(mode) for mode in ("off", runtime.card.guide.mode)}
    table, by_category = guide_tables(runtime, name="tune", each=1, tell=lambda *_: None, arms=arms)
    unguided, guided = table.rows
    assert guided.figures["IoU"].value > unguided.figures["IoU"].value + 0.1
    assert set(by_category.rows[0].figures) == set(MAKERS)


@pytest.mark.slow
def test_tables_on_the_embedded_model(shapes):
    told = []
    (found,) = found_table(shapes, name="tune", each=1, tell=lambda *a: told.append(a))
    assert {row.name for row in found.rows} == {"one object", "two objects"} and told
    card, short = shapes.card, replace(shapes.card.sample, steps=4)
    quick = replace(shapes, card=replace(card, sample=short, unbiased={"iterations": 1, "consolidate": 1}))
    (memory,) = memory_table(quick, name="tune", each=1, tell=lambda *_: None)
    assert {row.figures["hits"] for row in memory.rows} == {0, 3}
    (table,) = tries_table(shapes, name="tune", each=1, tell=lambda *_: None, tries=2)
    unguided, guided = table.rows
    assert guided.figures["prompts"] == 3 and 1 <= guided.figures["videos a prompt"] <= 2
    assert unguided.figures["pass in 1"].value <= unguided.figures["pass in 2"].value


def test_the_growth_of_the_bank_is_measured():
    from ttom_cli.bench.growth import growth_tables

    (table,) = growth_tables((12, 60), tell=lambda *_: None)
    small, large = table.rows
    assert small.name == "12 entries" and large.figures["manifest MB"] > small.figures["manifest MB"]
    assert all(value > 0 for row in (small, large) for value in row.figures.values())


def test_rules_of_eviction_are_compared(monkeypatch):
    from ttom_cli.bench import eviction

    monkeypatch.setattr(eviction, "PROMPTS", 1000)
    monkeypatch.setattr(eviction, "RUNS", 2)
    (table,) = eviction.eviction_tables(tell=lambda *_: None)
    lfu, lru, value = table.rows
    assert all(0 < figure.value < 1 for row in table.rows for figure in row.figures.values())
    assert lfu.figures["drifting: hits"].value < value.figures["drifting: hits"].value, "what is new has its time"
    assert lru.figures["steady: hits"].value < lfu.figures["steady: hits"].value


def quickly(runtime):
    """Of few steps, which shows nothing but that all is counted."""
    guide = replace(runtime.card.guide, steps=1)
    return replace(runtime, card=replace(runtime.card, sample=replace(runtime.card.sample, steps=2), guide=guide))


def test_tables_are_written_over_nothing(capsys, tmp_path):
    """And go to standard output, or as JSON instead."""
    file, argv = tmp_path / "a.md", ["bench", "speed", "--count", "--model", "wan2.1-1.3b"]
    assert main([*argv, "--markdown", str(file)]) == 0
    assert "cold, params" in capsys.readouterr().out and "| cold, params |" in file.read_text()
    file.write_text("mine")
    for more in (["--markdown", str(file)], ["--json", "--markdown", str(file)]):
        assert main([*argv, *more]) == 1
        assert "a.md is there already" in capsys.readouterr().err and file.read_text() == "mine"
    assert main(["bench", "stream", "--plot", str(file)]) == 1 and "is there already" in capsys.readouterr().err
    assert main([*argv, "--json", "--markdown", str(file), "--overwrite"]) == 0 and file.read_text() != "mine"
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["title"] == "The cost, counted" and "cold" not in err


def test_a_stream_is_measured_and_drawn(shapes, tmp_path, monkeypatch):
    from ttom_cli.bench import stream

    monkeypatch.setattr(stream, "COMPOSITIONS", 1)
    wanted = list(stream.stream("tune", 5, seed=0))
    assert len({case.prompt for case in wanted}) == 5 and len({case.seed for case in wanted}) == 5
    first, second = (case.layout.objects[0].boxes[0].box for case in wanted[:2])
    assert first != second and np.abs(np.subtract(first, second)).max() <= 2 * stream.ASIDE
    runs = stream.run_stream(quickly(shapes), name="tune", prompts=3, seed=0, tell=lambda *_: None)
    assert {arm: len(steps) for arm, steps in runs.items()} == dict.fromkeys(runs, 3)
    assert not any(step.hit for step in runs["without memory"]) and all(s.seconds > 0 for s in runs["attention alone"])
    tables = stream.stream_tables(runs, "a note")
    assert [list(table.rows[0].figures) for table in tables] == [["1–3", "all"]] * 4
    stream.plot(runs, tmp_path / "a.png", "a title")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.slow
def test_when_reuse_helps_is_measured(shapes):
    from ttom_cli.bench import reuse

    by_likeness, by_threshold = reuse.reuse_tables(quickly(shapes), each=1, tell=lambda *_: None, stored=1)
    everything = by_likeness.rows[-1].figures
    assert everything["pairs"] == sum(row.figures["pairs"] for row in by_likeness.rows[:-1]) >= 5
    recalls = [row.figures["recall"] for row in by_threshold.rows if row.figures["recall"] is not None]
    assert recalls == sorted(recalls, reverse=True) and (not recalls or recalls[0] == 1)
    assert "10 entries" in by_likeness.note
