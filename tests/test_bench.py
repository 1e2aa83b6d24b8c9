"""Scores on rendered videos with known truth, and the tables on a toy model."""

import numpy as np
import pytest

from ttom_cli.bench.report import joined, markdown
from ttom_cli.bench.score import score
from ttom_cli.bench.shapes import Row, Table, found_table, guide_arms, guide_table, memory_table
from ttom_cli.bench.suite import Case, compositional_cases, single_and_pair_cases
from ttom_cli.catalog import CARDS
from ttom_cli.config import LoadConfig
from ttom_cli.planning import make_planner
from ttom_cli.runtime import Runtime
from ttom_cli.shapes.world import Scene, Thing, render, still


def thing(color, shape, start, end=None, radius=0.14):
    return Thing(color=color, shape=shape, radius=radius, start=start, end=end or start)


def video(*things):
    return render(Scene(groups=tuple((t,) for t in things), background="white"))


def layout_of(case):
    return make_planner().plan(case.prompt)


MOTION = Case(
    "motion",
    "a red circle moves right while a blue square moves left",
    (("red", "circle"), ("blue", "square")),
    ("right", "left"),
)
RED = thing("red", "circle", (0.2, 0.25), (0.7, 0.25))
BLUE = thing("blue", "square", (0.8, 0.75), (0.3, 0.75))


def test_motion_by_hand():
    made = score(MOTION, layout_of(MOTION), video(RED, BLUE))
    assert made.value == pytest.approx(0.2 + 0.8 * 0.5, abs=0.02)
    assert (made.direction, made.found) == (1.0, 1.0)
    wrong = score(MOTION, layout_of(MOTION), video(RED, thing("blue", "square", (0.3, 0.75), (0.8, 0.75))))
    assert wrong.value == pytest.approx((0.6 + 0.2) / 2, abs=0.02) and wrong.direction == 0.5
    standing = score(MOTION, layout_of(MOTION), video(still(RED), BLUE))
    assert standing.value == pytest.approx((0.2 + 0.6) / 2, abs=0.02)
    absent = score(MOTION, layout_of(MOTION), video(RED))
    assert absent.value == pytest.approx(0.6 / 2, abs=0.02) and absent.found == 0.5
    late = video(RED, BLUE)
    late[0, 32:] = 248  # the blue square is not there in the first frame
    assert score(MOTION, layout_of(MOTION), late).value == pytest.approx(0.6 / 2, abs=0.02)


def test_a_shape_of_another_colour_is_not_found():
    made = score(MOTION, layout_of(MOTION), video(RED, thing("green", "square", (0.8, 0.75), (0.3, 0.75))))
    assert made.found == 0.5


def test_by_color_a_shape_drawn_badly_is_still_the_object():
    made = video(RED, thing("blue", "circle", (0.8, 0.75), (0.3, 0.75)))
    assert score(MOTION, layout_of(MOTION), made).found == 0.5
    assert score(MOTION, layout_of(MOTION), made, by="color").found == 1.0


def test_iou_is_one_where_the_video_follows_the_layout():
    layout = layout_of(MOTION)
    things = []
    for track, (color, shape) in zip(layout.objects, MOTION.objects, strict=True):
        (x0, y0, x1, y1), (u0, v0, u1, v1) = track.box_at(0), track.box_at(1)
        ends = ((x0 + x1) / 2, (y0 + y1) / 2), ((u0 + u1) / 2, (v0 + v1) / 2)
        radius = (x1 - x0) / 2 / (1 if shape == "circle" else 0.9)
        things.append(thing(color, shape, *ends, radius=radius))
    assert score(MOTION, layout, video(*things)).iou > 0.85


def test_spatial_by_hand():
    case = Case("spatial", "a red circle to the left of a blue square", MOTION.objects, ("left",))
    red, blue = thing("red", "circle", (0.2, 0.5)), thing("blue", "square", (0.8, 0.5))
    assert score(case, layout_of(case), video(red, blue)).value == pytest.approx(1)
    swapped = video(thing("red", "circle", (0.8, 0.5)), thing("blue", "square", (0.2, 0.5)))
    assert score(case, layout_of(case), swapped).value == pytest.approx(0.4)
    assert score(case, layout_of(case), video(red)).value == pytest.approx(0.2)
    assert score(case, layout_of(case), video(thing("green", "cross", (0.5, 0.5)))).value == 0


def test_numeracy_by_hand():
    looks = (("red", "square"), ("blue", "circle"))
    case = Case("numeracy", "two red squares and a blue circle", looks, (2, 1))
    two = [thing("red", "square", (0.2, 0.2)), thing("red", "square", (0.8, 0.2))]
    blue = thing("blue", "circle", (0.5, 0.8))
    assert score(case, layout_of(case), video(*two, blue)).value == 1
    assert score(case, layout_of(case), video(two[0], blue)).value == 0.5
    assert score(case, layout_of(case), video(*two, blue, thing("blue", "circle", (0.2, 0.7)))).value == 0.5


def test_every_prompt_of_the_suite_is_planned_as_it_is_meant():
    planner = make_planner()
    for seed in range(2):
        for case in compositional_cases(seed, 24) + single_and_pair_cases(seed, 24):
            layout = planner.plan(case.prompt)
            count = sum(case.truth) if case.category == "numeracy" else len(case.objects)
            assert len(layout.objects) == count, case
            if case.category == "motion":
                assert tuple(t.direction for t in layout.objects) == case.truth


def test_the_suite_is_its_seed():
    assert compositional_cases(1, 6) == compositional_cases(1, 6) != compositional_cases(2, 6)
    assert len(compositional_cases(0, 20)) == 60


def test_markdown():
    table = Table("The guide", "a note", [Row("params", {"IoU": 0.5, "found": 0.91, "prompts": 3, "s/video": 4.04})])
    assert markdown(table).splitlines()[2] == "| params | 0.500 | 91% | 3 | 4.0 |"
    assert joined({"shapes": table}) == table
    assert [row.name for row in joined({"a": table, "b": table}).rows] == ["a: params", "b: params"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [card.name for card in CARDS.values() if card.embedded])
def test_the_guide_guides_each_embedded_model(name):
    runtime = Runtime.open(name, load=LoadConfig(device="cpu"))
    arms = {k: v for k, v in guide_arms(runtime.card.guide).items() if k in ("unguided", "params")}
    table = guide_table(runtime, count=2, seed=5, tell=lambda *_: None, by="color", arms=arms)
    unguided, params = table.rows
    assert params.figures["IoU"] > unguided.figures["IoU"] + 0.1


@pytest.mark.slow
def test_tables_on_the_embedded_model(shapes):
    told = []
    found = found_table(shapes, count=2, seed=5, tell=lambda *a: told.append(a))
    assert {row.name for row in found.rows} == {"one object", "two objects"} and told
    memory = memory_table(shapes, count=1, seed=5, tell=lambda *_: None, by="color", consolidate=2)
    assert {row.figures["hits"] for row in memory.rows} == {0, 2}
    assert all(np.isfinite(v) for row in memory.rows for v in row.figures.values())
