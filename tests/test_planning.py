from dataclasses import replace

import pytest

from ttom_cli.config import PlannerConfig
from ttom_cli.errors import LayoutError, PlanningError, TTOMError
from ttom_cli.layout import Keyframe, Track
from ttom_cli.layout.model import center, iou
from ttom_cli.layout.parse import layout_faults
from ttom_cli.planning import make_planner
from ttom_cli.planning.check import check


@pytest.fixture
def plan():
    return make_planner().plan


@pytest.mark.parametrize(
    ("prompt", "objects"),
    [
        ("a red ball rolls right while a blue cube rises", [("red ball", "right"), ("blue cube", "up")]),
        ("A ball rolls left while a puppy dashes right", [("ball", "left"), ("puppy", "right")]),
        ("two red squares and a blue circle moving up", [("red squares", "up")] * 2 + [("blue circle", "up")]),
        ("three dogs", [("dogs", None)] * 3),
        ("a pair of green crosses falls", [("green crosses", "down")] * 2),
        ("Book falls off a shelf", [("Book", "down"), ("shelf", None)]),
        ("a fox sneaks past a sleeping dog from right to left", [("fox", "left"), ("sleeping dog", None)]),
        ("a girl kicks a ball to the right", [("girl", None), ("ball", "right")]),
        ("a man pushes a cart to the left", [("man", "left"), ("cart", "left")]),
        ("a boy drops a ball", [("boy", None), ("ball", "down")]),
        ("a man lifts a box", [("man", None), ("box", "up")]),
        ("a cat and a dog run to the left", [("cat", "left"), ("dog", "left")]),
        ("a bottle of milk falls off a shelf", [("bottle of milk", "down"), ("shelf", None)]),
        ("a woman in a red dress dances", [("woman in a red dress", None)]),
        ("a dog to the left of a cat runs to the right", [("dog", "right"), ("cat", None)]),
        ("a drone follows a red truck that drives to the left", [("drone", "left"), ("red truck", "left")]),
        ("an eagle swoops down and catches a fish", [("eagle", "down"), ("fish", None)]),
        ("a man's hat falls off", [("man's hat", "down")]),
        ("a woman sits down the street", [("woman", None)]),
        ("a cat sits down", [("cat", None)]),
        (
            "a cup on the table, a fly walks across the table to the right",
            [("cup", None), ("table", None), ("fly", "right")],
        ),
        ("a man waves at a tall woman", [("man", None), ("tall woman", None)]),
        ("a 747 lands", [("747", None)]),
        ("A banana turns from green to yellow", [("banana", None)]),
        ("A leaf changes color from green to red", [("leaf", None)]),
        ("A beautiful, slender, white swan glides to the left", [("beautiful, slender, white swan", "left")]),
        ("a red and white lighthouse", [("red and white lighthouse", None)]),
        ("a cat, a dog and a bird", [("cat", None), ("dog", None), ("bird", None)]),
        (
            "an elderly man in a long coat walking slowly to the left in a sunny park",
            [("elderly man in a long coat", "left")],
        ),
        ("three bees buzz around a load of hay", [("bees", None)] * 3 + [("load of hay", None)]),
        (
            "two deer graze while four sports cars race to the right",
            [("deer", None)] * 2 + [("sports cars", "right")] * 4,
        ),
        ("a robot walking from right to left with a car driving left to right", [("robot", "left"), ("car", "right")]),
        ("a yellow triangle sinks and a purple plus climbs", [("yellow triangle", "down"), ("purple plus", "up")]),
        ("an orange square slides to the left", [("orange square", "left")]),
        ("a red circle turns blue", [("red circle", None)]),
        ("a kite drifts upwards, a leaf falls", [("kite", "up"), ("leaf", "down")]),
        ("green leaves drift down", [("green leaves", "down")]),
        ("a ball rolls right, then a cube rises", [("ball", "right"), ("cube", "up")]),
        ("a ball rests while the camera pans left", [("ball", None)]),
        ("the camera follows a dog", [("dog", None)]),
        ("no red ball moves and a cube rises", [("cube", "up")]),
        ("a cat without a hat jumps up", [("cat", "up")]),
        ("a man follows a path", [("man", None)]),
        ("A cat walks to the left, 4k, hyperrealistic, sharp focus", [("cat", "left")]),
        ("Masterpiece, best quality, a samurai walks to the right", [("samurai", "right")]),
        ("Wide shot of a cat. Slow motion.", [("cat", None)]),
        ("a cinematic dog", [("cinematic dog", None)]),
        ("a man runs towards the camera", [("man", None)]),
        ("In a park, a cat walks to the left", [("cat", "left")]),
        ("In front of a red barn, a horse trots to the left", [("red barn", None), ("horse", "left")]),
        ("One bird flies to the left and another flies to the right", [("bird", "left"), ("bird", "right")]),
        ("Two birds fly: one to the left, the other to the right", [("birds", "left"), ("birds", "right")]),
        ("two birds: one to the left, the other up", [("birds", "left"), ("birds", "up")]),
        ("three kites, one up, one down and one to the right", [("kites", w) for w in ("up", "down", "right")]),
        ("two dogs run, one left, one right", [("dogs", "left"), ("dogs", "right")]),
        ("two cats, one left, one right", [("cats", None), ("cats", None)]),
        ("three dogs, one running to the left, two running up", [("dogs", "left")] + [("dogs", "up")] * 2),
        ("Two trains pass each other", [("trains", "right"), ("trains", "left")]),
        ("a cat and a dog face each other", [("cat", None), ("dog", None)]),
        ("a boy and a girl walk away from each other", [("boy", "left"), ("girl", "right")]),
        ("a dog and a cat run towards each other", [("dog", "right"), ("cat", "left")]),
        ("a dog runs to the left, followed by a cat", [("dog", "left"), ("cat", "left")]),
        ("oak leaves are falling", [("oak leaves", "down")]),
        ("a school of fish swims left", [("school of fish", "left")]),
        ("two woolly mammoths walk left", [("woolly mammoths", "left")] * 2),
        ("a leaf which is black falls", [("leaf", "down")]),
        ("a bear and a rabbit stand side by side", [("bear", None), ("rabbit", None)]),
        ("the balls fall one by one", [("balls", "down")]),
        ("two birds fly up, one follows the other", [("birds", "up"), ("birds", "up")]),
        ("a cat in anime style, running left", [("cat", "left")]),
        ("two kids play with each other", [("kids", None)] * 2),
        ("a boat to the left of the bridge", [("boat", None), ("bridge", None)]),
        ("the left ball moves up and the right ball moves down", [("left ball", "up"), ("right ball", "down")]),
        ("a train moves from the left side to the right side of the room", [("train", "right")]),
    ],
)
def test_objects_and_directions(plan, prompt, objects):
    assert [(t.phrase, t.direction) for t in plan(prompt).objects] == objects


@pytest.mark.parametrize(
    ("relation", "axis", "sign"),
    [("to the left of", 0, -1), ("on the right side of", 0, 1), ("above", 1, -1), ("under", 1, 1)],
)
def test_relations_hold_at_all_times(plan, relation, axis, sign):
    a, b = plan(f"a red circle {relation} a blue square").objects
    for t in (0, 0.5, 1):
        assert sign * (center(a.box_at(t))[axis] - center(b.box_at(t))[axis]) > 0.25


def test_places(plan):
    (ball,) = plan("a red ball at the bottom left moves up").objects
    x, y = center(ball.box_at(0))
    assert x < 0.35 and y > 0.65
    x, y = center(plan("a red ball in the center").objects[0].box_at(0))
    assert (x, y) == pytest.approx((0.5, 0.5))


def test_layouts_are_valid_and_objects_keep_apart(plan):
    layout = plan("a green square slides from left to right, a blue ball falls and a red cross climbs")
    assert list(layout_faults(layout)) == []
    for t in (0, 0.25, 0.5, 0.75, 1):
        boxes = [track.box_at(t) for track in layout.objects]
        for i, a in enumerate(boxes):
            assert 0 <= a[0] < a[2] <= 1 and 0 <= a[1] < a[3] <= 1
            assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[i + 1 :])


def test_a_plan_depends_on_the_scene_and_not_on_its_objects(plan):
    one, two = plan("a red ball rolls right while a blue cube rises"), plan("a dog rolls right while a tall cat rises")
    assert [t.boxes for t in one.objects] == [t.boxes for t in two.objects]
    assert one.scene == two.scene == "<object A> rolls right while <object B> rises"
    assert plan("a red ball rolls right while a blue cube rises") == one


def test_background_is_no_object(plan):
    layout = plan("a red ball on a gray background")
    assert layout.background == "gray background" and len(layout.objects) == 1


@pytest.mark.parametrize("prompt", ["slowly and upwards", "in the background", "!!"])
def test_no_object_is_said(plan, prompt):
    with pytest.raises(PlanningError, match="finds no object"):
        plan(prompt)


def test_unknown_planner_names_the_known():
    with pytest.raises(TTOMError, match="unknown planner 'rule'") as caught:
        PlannerConfig(planner="rule")
    assert "did you mean 'rules'" in caught.value.hint


def test_between_others(plan):
    for prompt in ("a cat between two dogs", "a cat stands between a dog and a horse"):
        cat, *others = plan(prompt).objects
        (x, y), (a, b) = center(cat.box_at(0)), (center(o.box_at(0)) for o in others)
        assert min(a[0], b[0]) < x < max(a[0], b[0]) and abs(y - (a[1] + b[1]) / 2) < 0.1


@pytest.mark.parametrize(
    ("prompt", "turn"),
    [
        ("a moon orbits a planet", 1),
        ("a moon orbits a planet counterclockwise", -1),
        ("a bird flies in a circle around a tree", 1),
        ("a butterfly moves anticlockwise around a flower", -1),
        ("a bee flies clockwise", 1),
    ],
)
def test_circles_go_round_their_middle(plan, prompt, turn):
    mover, *middle = plan(prompt).objects
    points = [center(mover.box_at(i / 8)) for i in range(8)]
    x, y = center(middle[0].box_at(0)) if middle else map(sum, zip(*((p / 8, q / 8) for p, q in points), strict=True))
    # y grows downwards, so that the area is positive clockwise
    crosses = [
        (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x) for a, b in zip(points, points[1:] + points[:1], strict=True)
    ]
    assert all(c * turn > 0 for c in crosses)


@pytest.mark.parametrize(
    ("prompt", "grows"),
    [
        ("a car approaches the camera", True),
        ("a boat approaches from the left", True),
        ("a balloon drifts away", False),
        ("a ship sails into the distance", False),
        ("a windmill rotates clockwise", None),
        ("children stand around a table", None),
    ],
)
def test_nearer_is_larger(plan, prompt, grows):
    boxes = plan(prompt).objects[0].boxes
    sides = [k.box[2] - k.box[0] for k in boxes]
    assert (None if len(sides) == 1 else sides[-1] > sides[0]) is grows


def test_what_goes_to_another_ends_beside_it(plan):
    dog, cat = plan("a dog approaches a cat").objects
    (x, y), (u, v), goal = center(dog.box_at(0)), center(dog.box_at(1)), center(cat.box_at(0))
    assert abs(u - goal[0]) + abs(v - goal[1]) < abs(x - goal[0]) + abs(y - goal[1]) - 0.1


def test_start_and_end(plan):
    for prompt in (
        "a ball rolls from the top left to the bottom right",
        "a ball starts at the top left and ends at the bottom right",
    ):
        (ball,) = plan(prompt).objects
        (x, y), (u, v) = center(ball.box_at(0)), center(ball.box_at(1))
        assert max(x, y) < 0.35 and min(u, v) > 0.65


@pytest.mark.parametrize(
    ("prompt", "enters", "leaves"),
    [
        ("a red ball leaves the frame to the right", None, "right"),
        ("a red ball rolls to the left and leaves the frame", None, "left"),
        ("a bird flies off screen to the left", None, "left"),
        ("a bird flies up and out of view", None, "up"),
        ("a car enters from the left", "left", None),
        ("a car drives into the frame from the right", "right", None),
        ("a circle enters from the top and leaves at the bottom", "up", "down"),
        ("a man enters a room", None, None),
        ("leaves fall from a tree", None, None),
    ],
)
def test_what_crosses_the_edge_is_out_of_the_frame_before_or_after(plan, prompt, enters, leaves):
    layout, notes = check(plan(prompt))
    assert notes == []
    boxes = [layout.objects[0].box_at(t) for t in (0, 1)]
    assert [_outside(box) for box in boxes] == [enters, leaves]


def _outside(box):
    """The direction in which a box is wholly out of the frame."""
    ways = {"left": box[2] <= 0, "up": box[3] <= 0, "right": box[0] >= 1, "down": box[1] >= 1}
    return next((way for way, out in ways.items() if out), None)


@pytest.mark.parametrize(
    ("prompt", "legs"),
    [
        ("a ball moves right, then left", ["right", "left"]),
        ("a ball rolls left, then returns", ["left", "right"]),
        ("a ball moves right and then up while a cube rests", ["right", "up"]),
        ("a ball falls, then bounces up", ["down", "up"]),
        ("a ball goes up and comes down", ["up", "down"]),
        ("a swing moves back and forth", ["right", "left"]),
    ],
)
def test_one_motion_after_the_other(plan, prompt, legs):
    ball = check(plan(prompt))[0].objects[0]
    halves = [Track(id="x", phrase="x", word="x", boxes=ball.boxes[i : i + 2]).direction for i in range(2)]
    assert len(ball.boxes) == 3 and halves == legs


def test_a_prompt_of_two_motions_takes_no_layout_of_another(plan):
    layout = plan("a ball moves right, then left")
    left, right, _ = (k.box for k in layout.objects[0].boxes)
    backwards = Keyframe(0, right), Keyframe(1, left)
    with pytest.raises(LayoutError, match="goes left, and the prompt says right"):
        check(replace(layout, objects=(replace(layout.objects[0], boxes=backwards),)))


@pytest.mark.parametrize("prompt", ["a dog chases a cat", "a red ball follows a blue ball to the left"])
def test_what_follows_goes_behind(plan, prompt):
    after, ahead = plan(prompt).objects
    assert after.direction == ahead.direction
    way = {"right": 1, "left": -1}[after.direction]
    for t in (0, 0.5, 1):
        (x, y), (u, v) = center(after.box_at(t)), center(ahead.box_at(t))
        assert way * (u - x) > 0.2 and abs(y - v) < 0.1


@pytest.mark.parametrize(
    "prompt", ["a red ball and a blue ball swap places", "a ball swaps sides with a cube", "two balls swap places"]
)
def test_a_swap(plan, prompt):
    a, b = plan(prompt).objects
    for mine, other in ((a, b), (b, a)):
        assert center(mine.box_at(1)) == pytest.approx(center(other.box_at(0)), abs=0.15)
    assert all(iou(a.box_at(i / 8), b.box_at(i / 8)) == 0 for i in range(9))


@pytest.mark.parametrize(
    "prompt", ["a girl rides a horse to the right", "two men carry a sofa to the left", "a man pushes a cart",
               "a horse pulls a carriage to the right", "three girls ride horses"],
)  # fmt: skip
def test_who_rides_or_carries_moves_as_one_with_it(plan, prompt):
    layout, _ = check(plan(prompt))
    assert len({tuple(round(v, 2) for v in track.displacement) for track in layout.objects}) == 1
    for a in layout.objects:
        near = [iou(a.box_at(0), b.box_at(0)) > 0 for b in layout.objects if b.phrase != a.phrase]
        assert any(near)


def test_a_diagonal(plan):
    dx, dy = plan("a bird flies up and to the left").objects[0].displacement
    assert dx < -0.4 and dy < -0.4


@pytest.mark.parametrize("prompt", ["four squares in a row fall", "four ducklings swim left in a line"])
def test_a_row(plan, prompt):
    tracks = plan(prompt).objects
    for t in (0, 1):
        (xs, ys) = zip(*(center(track.box_at(t)) for track in tracks), strict=True)
        gaps = [b - a for a, b in zip(xs, xs[1:], strict=False)]
        assert len(set(ys)) == 1 and min(gaps) == pytest.approx(max(gaps), abs=0.02) and min(gaps) > 0.1


@pytest.mark.parametrize(("prompt", "times"), [("a red ball shrinks", 0.625), ("a square grows bigger", 1.6)])
def test_growing_and_shrinking_on_the_spot(plan, prompt, times):
    first, last = plan(prompt).objects[0].boxes
    assert (last.box[2] - last.box[0]) / (first.box[2] - first.box[0]) == pytest.approx(times, abs=0.01)
    assert center(first.box) == pytest.approx(center(last.box), abs=0.01)


@pytest.mark.parametrize(
    ("prompt", "text", "phrases"),
    [
        ("red, green and blue circles fall", "red circles, green circles and blue circles fall",
         ["red circles", "green circles", "blue circles"]),
        ("a red and two blue balls", "a red ball and two blue balls", ["red ball", "blue balls", "blue balls"]),
        ("a red and a blue ball rise", "a red ball and a blue ball rise", ["red ball", "blue ball"]),
        ("a red and white lighthouse", "", ["red and white lighthouse"]),
        ("two black and white cats", "", ["black and white cats"] * 2),
    ],
)  # fmt: skip
def test_each_colour_has_its_noun(plan, prompt, text, phrases):
    layout = plan(prompt)
    assert (layout.prompt, layout.enriched_prompt) == (prompt, text)
    assert [t.phrase for t in check(layout)[0].objects] == phrases


@pytest.mark.parametrize(
    ("prompt", "camera"),
    [
        ("a ball rests while the camera pans to the left", "pans to the left"),
        ("Camera zooms in on a red ball", "zooms in on"),
        ("a ball rests", ""),
    ],
)
def test_what_the_camera_does(plan, prompt, camera):
    assert plan(prompt).camera == camera


@pytest.mark.parametrize(
    "prompt",
    ["ein roter Ball rollt nach rechts", "一只红色的球向右滚动", "asdf qwer zxcv", "make it pop",
     "samurai, katana, rain, neon city, 8k", "something beautiful and calm"],
)  # fmt: skip
def test_what_is_not_surely_read_is_not_planned(prompt):
    for planner in ("rules", "auto"):
        with pytest.raises(PlanningError, match="finds no object that it is sure of") as caught:
            make_planner(PlannerConfig(planner=planner)).plan(prompt)
        assert "--llm-model" in caught.value.hint


def test_letters_with_accents_are_english_too():
    told = []
    make_planner(tell=told.append).plan("Furry dog fetching a rubber ball in a café")
    assert told == []


@pytest.mark.parametrize(
    ("prompt", "objects", "left"),
    [
        ("a realy cute dog next to a cat", ["cat"], "realy cute dog"),
        ("a dog plays wiht a ball", ["dog"], "wiht"),
        ("a corgi, a tiny hat, birthday cake, confetti, party, cute", ["corgi"], "confetti"),
    ],
)
def test_only_what_is_sure_is_planned_and_the_rest_is_said(prompt, objects, left):
    told = []
    layout = make_planner(tell=told.append).plan(prompt)
    assert [t.phrase for t in layout.objects][: len(objects)] == objects
    assert len(told) == 1 and "is sure of" in told[0] and left in told[0]


@pytest.mark.parametrize(
    ("prompt", "objects"),
    [
        ("a cat walks to the right for a few seconds. The light is warm and soft, from a tall window.",
         [("cat", "right")]),
        ("Create a video of a red ball rolling to the left.", [("red ball", "left")]),
        ("Make the dog run to the left, please.", [("dog", "left")]),
        ("Show me a hot air balloon rising slowly", [("hot air balloon", "up")]),
        ("a ball moves 3 meters to the right", [("ball", "right")]),
        ("A 5 second clip of a bird flying to the left", [("bird", "left")]),
        ("A person is tai chi", [("person", None)]),
        ("One tree stands tall, swaying gently in the breeze.", [("tree", None)]),
        ("a dog watches a rising balloon", [("dog", None), ("balloon", "up")]),
        ("a ball rolls left while a red ball rolls right", [("ball", "left"), ("red ball", "right")]),
        ("A row of four yellow ducks swims to the left.", [("yellow ducks", "left")] * 4),
        ("skis and a snowboard", [("skis", None), ("snowboard", None)]),
        ("a snowboard and a sports ball", [("snowboard", None), ("sports ball", None)]),
        ("a man wearing a red hat and a blue scarf walks to the left",
         [("man wearing a red hat and a blue scarf", "left")]),
    ],
)  # fmt: skip
def test_prompts_as_people_write_them(plan, prompt, objects):
    found = [(t.phrase.removeprefix("rising "), t.direction) for t in plan(prompt).objects]
    assert found == objects


@pytest.mark.parametrize(("side", "sign"), [("top", -1), ("bottom", 1)])
def test_on_the_top_and_on_the_bottom_of(plan, side, sign):
    a, b = (center(t.box_at(0)) for t in plan(f"a banana on the {side} of an apple, front view").objects)
    assert sign * (a[1] - b[1]) > abs(a[0] - b[0])


@pytest.mark.parametrize(
    "prompt", ["a woman walks down a Tokyo street", "a bird flies", "a man runs down a busy street"]
)
def test_what_moves_without_a_direction_moves_a_little_across(plan, prompt):
    dx, dy = plan(prompt).objects[0].displacement
    assert 0.1 < abs(dx) < 0.4 and dy == 0


def test_over_onto_and_past_another(plan):
    horse, fence = check(plan("a horse jumps over a fence"))[0].objects
    start, top, end = (center(horse.box_at(t)) for t in (0, 0.5, 1))
    x, y = center(fence.box_at(0.5))
    assert start[0] < x < end[0] and top[1] < y - 0.2 and top[0] == pytest.approx(x, abs=0.05)
    bird, branch = check(plan("a bird lands on a branch"))[0].objects
    assert bird.direction == "down" or center(bird.box_at(0))[1] < center(bird.box_at(1))[1]
    assert bird.box_at(1)[3] == pytest.approx(branch.box_at(1)[1], abs=0.08)
    fast, slow = check(plan("a motorcycle overtakes a truck to the left"))[0].objects
    assert fast.direction == slow.direction == "left"
    assert center(fast.box_at(0))[0] > center(slow.box_at(0))[0]
    assert center(fast.box_at(1))[0] < center(slow.box_at(1))[0]


def test_a_stack_stands_upright(plan):
    xs, ys = zip(*(center(t.box_at(0)) for t in plan("a stack of three books").objects), strict=True)
    assert len(ys) == 3 and max(xs) - min(xs) < 0.05 and max(ys) - min(ys) > 0.3


def test_to_the_upper_right(plan):
    dx, dy = plan("an eagle moves diagonally to the upper right").objects[0].displacement
    assert dx > 0.3 and dy < -0.3


def test_fallbacks():
    sure, partly = "a dog", "a dog plays wiht a ball"
    for fallback in ("none", "error"):
        planner = make_planner(PlannerConfig(planner_fallback=fallback))
        assert planner.plan(sure).objects
        with pytest.raises(PlanningError, match="is sure of 'dog'"):
            planner.plan(partly)
    assert make_planner(PlannerConfig(planner_fallback="rules")).plan(partly).objects


def test_controls_do_not_come_through(plan):
    assert plan("a red\u202e ball\x1b[31m rolls right").text == "a red ball [31m rolls right"


def test_pronouns_are_no_objects(plan):
    assert [t.word for t in plan("a dog next to a cat while a bird flies above them").objects] == ["dog", "cat", "bird"]


def test_a_place_or_a_relation_may_come_first(plan):
    lamp, clock = plan("on the left a lamp, on the right a clock").objects
    assert center(lamp.box_at(0))[0] < 0.35 and center(clock.box_at(0))[0] > 0.65
    sofa, painting = plan("above the sofa hangs a painting").objects
    assert center(painting.box_at(0))[1] < center(sofa.box_at(0))[1] - 0.25


def test_what_is_inside_is_smaller(plan):
    kitten, box = (track.box_at(0) for track in plan("a kitten inside a box").objects)
    assert box[0] < kitten[0] and kitten[2] < box[2] and box[1] < kitten[1] and kitten[3] < box[3]


@pytest.mark.parametrize("prompt", ["four apples on a table", "a cup and a plate on a table"])
def test_what_carries_several_is_wide_enough(plan, prompt):
    *apples, table = (track.box_at(0) for track in plan(prompt).objects)
    assert all(table[0] - 0.05 < apple[0] and apple[2] < table[2] + 0.05 for apple in apples)
    assert all(abs(apple[3] - table[1]) < 0.05 for apple in apples)


def test_many_objects_are_smaller_and_keep_apart(plan):
    boxes = [track.box_at(t) for t in (0,) for track in plan("eight red balloons float upwards").objects]
    assert len(boxes) == 8
    for i, a in enumerate(boxes):
        assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[i + 1 :])


@pytest.mark.parametrize("prompt", ["twenty bees", "99999999999 dogs", "12 cats and 12 dogs"])
def test_too_many_objects_are_said(plan, prompt):
    with pytest.raises(PlanningError, match="holds 16 at most"):
        plan(prompt)


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("two hundred red balls", 200), ("thirty five dogs", 35), ("three dozen cats", 36), ("forty-two bees", 42),
        ("2,500 birds fly", 2500), ("a couple of dozen kites", 24), ("a hundred and twenty ducks swim", 120),
        ("the nineteen horses run", 19), ("3 thousand ants", 3000),
    ],
)  # fmt: skip
def test_numbers_of_several_words(plan, prompt, number):
    with pytest.raises(PlanningError, match=f"asks for {number} objects"):
        plan(prompt)


def test_numbers_up_to_the_most(plan):
    assert len(plan("thirteen red balls").objects) == 13
    assert len(plan("sixteen red balls").objects) == 16
    assert len(plan("a hundred-year-old oak").objects) == 1


def test_digits_that_are_no_numbers(plan):
    assert len(plan("a ² dog").objects) == 1


def test_a_word_as_long_as_a_page_is_no_name_of_a_thing(capsys):
    from ttom_cli.cli import main

    assert main(["plan", "a" * 1200]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: the rules planner finds no object") and err.count("\n") == 1
