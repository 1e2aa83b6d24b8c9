"""The suite's prompts, and the tables on real models."""

import numpy as np
import pytest

from ttom_cli.bench.report import Row, Table, joined, markdown
from ttom_cli.bench.shapes import found_table, guide_arms, guide_table, memory_table, tries_table
from ttom_cli.bench.suite import compositional_cases, single_and_pair_cases, triple_cases
from ttom_cli.catalog import CARDS
from ttom_cli.config import CheckConfig, LoadConfig
from ttom_cli.planning import make_planner
from ttom_cli.runtime import Runtime
from ttom_cli.seeing.score import check
from ttom_cli.seeing.shapes import ShapesDetector


def test_every_prompt_of_the_suite_is_planned_as_it_is_meant():
    planner = make_planner()
    for seed in range(2):
        for case in compositional_cases(seed, 24) + single_and_pair_cases(seed, 24):
            layout = planner.plan(case.prompt)
            count = sum(case.truth) if case.category == "numeracy" else len(case.objects)
            assert len(layout.objects) == count, case
            if case.category == "motion":
                assert tuple(t.direction for t in layout.objects) == case.truth
            # What the check asks of a video is what the prompt says.
            asked = check(layout, np.full((13, 64, 64, 3), 255, np.uint8), ShapesDetector().see)
            assert case.category not in ("motion", "spatial", "numeracy") or case.category in asked.parts, case
            if case.category == "spatial":
                side = {"left": "left of", "right": "right of"}.get(case.truth[0], case.truth[0])
                assert list(asked.relations) == [f" {side} ".join(map(" ".join, case.objects))]
            if case.category == "numeracy":
                assert [wanted for _, wanted in asked.counts.values()] == list(case.truth)


def test_the_suite_is_its_seed():
    assert compositional_cases(1, 6) == compositional_cases(1, 6) != compositional_cases(2, 6)
    assert len(compositional_cases(0, 20)) == 60
    assert all(len(case.objects) == 3 for case in triple_cases(0, 9))


def test_markdown():
    table = Table("The guide", "a note", [Row("params", {"IoU": 0.5, "found": 0.91, "prompts": 3, "s/video": 4.04})])
    assert markdown(table).splitlines()[2] == "| params | 0.500 | 91% | 3 | 4.0 |"
    assert joined({"shapes": table}) == table
    assert [row.name for row in joined({"a": table, "b": table}).rows] == ["a: params", "b: params"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [card.name for card in CARDS.values() if card.embedded])
def test_the_guide_guides_each_embedded_model(name):
    runtime = Runtime.open(name, load=LoadConfig(device="cpu"), check=CheckConfig())
    arms = {k: v for k, v in guide_arms(runtime.card.guide).items() if k in ("unguided", "params")}
    table = guide_table(runtime, count=2, seed=5, tell=lambda *_: None, arms=arms)
    unguided, params = table.rows
    assert params.figures["IoU"] > unguided.figures["IoU"] + 0.1


@pytest.mark.slow
def test_tables_on_the_embedded_model(shapes):
    told = []
    found = found_table(shapes, count=2, seed=5, tell=lambda *a: told.append(a))
    assert {row.name for row in found.rows} == {"one object", "two objects"} and told
    memory = memory_table(shapes, count=1, seed=5, tell=lambda *_: None, consolidate=2)
    assert {row.figures["hits"] for row in memory.rows} == {0, 2}
    assert all(np.isfinite(v) for row in memory.rows for v in row.figures.values())
    unguided, guided = tries_table(shapes, count=1, seed=5, tell=lambda *_: None, tries=2).rows
    assert guided.figures["prompts"] == 1 and 1 <= guided.figures["videos a prompt"] <= 2
    assert unguided.figures["pass in 1"] <= unguided.figures["pass in 2"]


def test_the_growth_of_the_bank_is_measured():
    from ttom_cli.bench.growth import growth_table

    small, large = growth_table((12, 60), tell=lambda *_: None).rows
    assert small.name == "12 entries" and large.figures["manifest MB"] > small.figures["manifest MB"]
    assert all(value > 0 for row in (small, large) for value in row.figures.values())
