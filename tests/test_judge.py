"""The judge's two registers: right layouts in many phrasings and languages pass, plain contradictions do not.

A line is a prompt, its objects with their paths, and perhaps an enriched prompt. A place is a letter for its column
(L, M, R; l, r nearer the middle) and one for its row (T, C, B; t, b); "-" and "+" are outside the frame.
"""

import pytest

from ttom_cli.errors import LayoutError
from ttom_cli.layout import layout_from_json
from ttom_cli.planning.check import check

ACROSS = {"-": -0.35, "L": 0.02, "l": 0.2, "M": 0.36, "r": 0.52, "R": 0.7, "+": 1.05}
UPRIGHT = {"-": -0.35, "T": 0.02, "t": 0.2, "C": 0.36, "b": 0.52, "B": 0.7, "+": 1.05}
SIDE = 0.28

RIGHT = """
a red ball rolls to the left | red ball: RC>LC
a red ball rolls left, bounces off the wall and comes back | red ball: MC>LC>RC
a red ball rolls left and right | red ball: LC>RC
a red ball rolls left, then right | red ball: MC>LC>RC
a ball rolls left while a red ball rolls right | ball: RT>LT; red ball: LB>RB
the red ball rolls left. Then the ball rolls right. | red ball: LC>RC
a ball rolls left, then the ball rolls right | ball: LC>RC
the red ball does not roll left, it rolls right | red ball: LC>RC
instead of a ball rolling left, a cube rises | ball: LC>RC; cube: RB>RT
the man left | man: LC>RC
a man walks right past a bench | man: RC>LC; bench: MC
a jet flies right over a house | jet: RT>LT; house: MB
a bird flies right at the viewer | bird: MC>lC
a woman walks down a Tokyo street | woman: MC
a man runs down a busy city street | man: MT>MB
a dog runs up the stairs to a girl | dog: LB>RT; girl: RT
a car turns left | car: MC>RC
a car turns left and drives off to the right | car: MC>RC
a cat walks to the left of a tree | cat: RB>LB; tree: MC
a ball rolls to the left side of the road | ball: MC>rC
a boy throws a ball to the left of a girl | boy: RC; ball: RC>rT; girl: MC
a man puts a cup to the left of a plate | cup: RC>LC; plate: MC
the camera follows a car that drives to the right | car: MC
the camera pans left as a red car drives to the left | red car: LC>RC
tracking shot: a horse gallops to the right | horse: MC
a man walks to the left on a treadmill | man: MC
smoke drifts to the left | smoke: MT
a long train moves to the right | train: LC
a man stands beside the tree walking to the left | tree: RC
a man beside the tree walks to the left | man: RC>LC; tree: MC
a man beside a tree and a bush walks left | man: RC>LC; tree: MT; bush: MC
a boat near an island drifting to the left | boat: RB>LB; island: MC
a dog with a ball rolling left runs right | dog: LC>RC; ball: RB>LB
a poster of a red car driving left | red car: LC>RC
in a mirror a cat walks to the left | cat: LC>RC
a cat in the mirror walks to the left | cat: LC>RC
a kite falls asleep in the wind and rises | kite: MB>MT
a man climbs into a boat | man: LC>RB; boat: RB
a girl drops a ball | girl: MT; ball: MC>MB
the sun rises over the sea | sun: MT
Two kids are building a sandcastle. Behind them a huge wave rises. They turn around, scream and run towards the
    camera. |
    kids: LB; kids: lB; sandcastle: RB; huge wave: MT
steam rises slowly from a cup | steam: MT; cup: MC
an elevator rises and falls | elevator: MB>MT>MB
a ball moves 3 meters to the right | ball: LC>RC
a red ball rolls right but a blue one doesn't | red ball: LC>RC
a 30 year old man with 2 dogs | man: MC; dogs: LB; dogs: RB
two year old girls play | girls: LC
two or three dogs run | dogs: LC; dogs: MC; dogs: RC
about ten birds fly | birds: LT; birds: RT
two men walking dogs | men: LC; men: MC; dogs: RC
two dogs are joined by another dog | dogs: LC; dogs: MC; dog: RC
two of the three dogs run | dogs: LC; dogs: RC
two dogs, a poodle and a labrador, play | poodle: LC; labrador: RC
two dogs play in a park | golden retriever: LC; dog: RC | A golden retriever and a dog play in a park.
a cat with two eyes | cat: MC; eyes: Mt
three balls: one rolls left, one rises, one falls | balls: RC>LC; balls: MB>MT; balls: RT>RB
three balls | red ball: LC; green ball: MC; blue ball: RC | A red ball, a green ball and a blue ball.
two dogs to the left of a cat | dogs: LC; dogs: lB; cat: RC
a cat under a blanket | cat: MC; blanket: Mb
a man on the top of a ladder | man: MT; ladder: Mt
a bridge over a river | bridge: Mt; river: MC
a bird flies above a boat | bird: LB>RT; boat: RC
a dog is not to the left of a cat | dog: RC; cat: LC
a balloon above a house | balloon: MB>MT; house: MC
a dog behind a fence | dog: MC; fence: Mb
to the left of the cat sits a dog | dog: LC; cat: RC
a woman stands to the left of a dog, and the dog runs around her | woman: LC; dog: RC>LC
a dog on the left and a cat on the right | dog: LC; cat: RC
dog and cat runing in park, cat on left dog on rigth | cat: LC; dog: RC
a dog to the left of a cat's bowl | dog: MC; cat: LC
a picture of a dog to the left of a cat | dog: RC; cat: LC
a frog turns into a prince | frog: MC; prince: MC
a knight in a shining armor | knight: MC; shining armor: MC
a red bal rolls form left to rigth | red bal: LC>RC
a realy cute kiten plays wiht a ball of yarn on the sofa | kiten: MB; ball of yarn: RB; sofa: MC
a realy cute kiten plays wiht a ball of yarn on the sofa | cute kitten: MB; ball of yarn: RB |
    A really cute kitten plays with a ball of yarn on the sofa.
Make the dog jump over the fence and then run to the left, please. | dog: LB>MT>RB>LB; fence: MC
Make the dog jump over the fence and then run to the left, please. | dog: RC>MT>LC; fence: MC |
    A dog jumps over the fence and then runs to the left.
Create a video of a red sports car drifting around a corner while a helicopter follows it from above. |
    red sports car: RB>LB; helicopter: RT>LT
Show me a cup of coffee on a wooden table, steam rising slowly, with a laptop on the right side. |
    cup of coffee: lC; wooden table: MB; laptop: RC
I want an astronaut riding a horse on mars, camera slowly zooms in | astronaut: MT; horse: MC
masterpiece, best quality, 1girl, solo, long hair, blue eyes, school uniform, walking, cherry blossoms, wind, smile |
    girl: MC | A girl with long hair and blue eyes walks among cherry blossoms.
A hot air balloon floats upward past a lighthouse, while a seagull glides in from the top left corner |
    hot air balloon: MB>MT; lighthouse: RC; seagull: LT>RC
Aerial tracking shot: three black horses gallop across a golden wheat field from left to right |
    black horses: MC; black horses: LC; black horses: RC
A basketball player dribbles past two defenders, leaps, and dunks the ball |
    basketball player: LC>RC; defenders: MC; defenders: rC
一只猫在公园里从左向右奔跑 | 猫: LC>RC
一只猫在公园里从左向右奔跑 | 橘猫: LC>RC | 一只橘猫在公园里从左向右奔跑,阳光明媚。
一只猫在公园里从左向右奔跑 | cat: LC>RC | A cat runs through a park from left to right.
两只红色的气球缓缓升起，背景是蓝天，电影质感，镜头缓缓拉远 | 红色的气球: LB>LT; 红色的气球: RB>RT
一位穿着红色连衣裙的女孩站在左边，右边有一只金毛犬向她跑来 | 女孩: LC; 金毛犬: +C>MC
一个红球向右滚动 | 红球: LC>RC
赤いボールが右に転がる | 赤いボール: LC>RC
빨간 공이 오른쪽으로 굴러간다 | 빨간 공: LC>RC
ein roter Ball rollt nach links | roter Ball: RC>LC
une balle rouge roule vers la gauche | balle rouge: RC>LC
a man’s hat to the left of a woman’s bag | man's hat: LC; woman's bag: RC
a black &amp; white cat walks to the right | black & white cat: LC>RC
"""

WRONG = """
a red ball rolls to the left | red ball: LC>RC | goes right, and the prompt says left
a red ball rolls left | red ball: LC>RC | says left
a red ball rolls slowly to the right while a blue cube rises | red ball: RC>LC; blue cube: MB>MT | says right
A red ball is rolling leftwards. | red ball: LC>RC | says left
the red ball moves toward the left, slowly | red ball: LC>RC | says left
a dog walks from left to right | dog: RC>LC | says right
a dog walks from the right side of the frame to the left side | dog: LC>RC | says left
A video of a dog running to the right | dog: RC>LC | says right
Create a video of a dog running to the right. | dog: RC>LC | says right
Make the dog run to the left, please. | dog: LC>RC | says left
a cat and a dog run to the left | cat: LC>RC; dog: LB>RB | 'dog' goes right
a ball and a cube move up | ball: LT>LB; cube: RB>RT | 'ball' goes down
two dogs run to the right | dogs: LC>RC; dogs: RB>LB | 'dogs' goes left
a girl in a red dress walks to the left | girl: LC>RC | says left
a girl in a red dress walks to the left | girl in a red dress: LC>RC | says left
a ball rolls left while a red ball rolls right | ball: RT>LT; red ball: RB>LB | 'red ball' goes left
a red ball rolls left and a blue ball rolls right | red ball: RT>LT; blue ball: RB>LB | 'blue ball' goes left
In a park, a dog runs to the right and barks | dog: RC>LC | says right
On the table a red ball rolls left. | red ball: LC>RC | says left
a cowboy rides a horse to the left | cowboy: LC>RC; horse: LB>RB | 'cowboy' goes right
a boat drifts across the lake to the right | boat: RC>LC | says right
a red ball rolls left, stops, and rolls on | red ball: LC>RC | says left
a red ball moves left | red ball: LC | stands still
a red ball moves left, then right | red ball: LC>RC | says left
a balloon floats up into the sky | balloon: MT>MB | says up
a kite climbs | kite: MT>MB | says up
A red balloon rises slowly. | red balloon: MT>MB | says up
a leaf falls to the ground | leaf: MB>MT | says down
a stone sinks | stone: MB>MT | says down
an arrow flies downward | arrow: MB>MT | says down
a kite moves diagonally to the upper right | kite: LT>RT | says up
a kite moves up and to the left | kite: LB>RT | says left
a plane flies to the top right corner | plane: RT>LB | says right
a dog enters from the left | dog: RC>MC | says right
a dog leaves the frame to the right | dog: MC>LC | says right
a cat walks to the left, static camera | cat: LC>RC | says left
three dogs run | dogs: LC; dogs: RC | has 3 'dogs', and the layout 2
Three dogs are playing in the snow. | dogs: LC; dogs: MC; dogs: RC; dogs: RB | has 3 'dogs', and the layout 4
5 red balls and a cube | red balls: LC; red balls: RC; cube: MB | has 5 'red balls'
two cats and three dogs | cats: LT; cats: RT; dogs: LC; dogs: RC | has 3 'dogs'
a group of four children | children: LC; children: MC; children: RC | has 4 'children'
two sheep graze | sheep: MC | has 2 'sheep', and the layout 1
one tree stands tall | tree: LC; tree: RC | has 1 'tree', and the layout 2
six women dance | women: LC; women: RC | has 6 'women'
a man with two dogs | man: MC; dogs: LB | has 2 'dogs'
a dog to the left of a cat | dog: RC; cat: LC | 'dog' is not left of 'cat'
a dog is on the left side of a cat | dog: RC; cat: LC | not left of
a dog sits left of a cat | dog: RC; cat: LC | not left of
a dog standing to the right of a cat | dog: LC; cat: RC | not right of
a red cup on the right of a blue cup | red cup: LC; blue cup: RC | not right of
a bird above a house | bird: MB; house: MT | not above
a lamp hangs over a table | lamp: MB; table: MT | not over
a banana on the bottom of an apple, front view | banana: MT; apple: MB | 'banana' is not below 'apple'
a snowboard on the top of a kite, front view | snowboard: MB; kite: MT | 'snowboard' is not above 'kite'
a snowboard on the top of a kite, front view | snowboard: LC; kite: RC | not above
a toaster on top of an oven | toaster: MB; oven: MT | not above
an oven below a toaster | oven: MT; toaster: MB | not below
a cat under a chair | cat: MT; chair: MB | not under
a ball beneath a table | ball: MT; table: MB | not under
to the left of the cat sits a dog | dog: RC; cat: LC | not left of
Above the sofa there is a painting. | painting: MB; sofa: MT | not above
On the left of a tree, there is a bench. | bench: RC; tree: LC | not left of
a cat inside a box | cat: LC; box: RC | not inside
a cat between a dog and a cow | dog: LC; cow: MC; cat: RC | not between
two dogs to the left of a cat | dogs: LC; dogs: RC; cat: MC | not left of
a dog on the left and a cat on the right | dog: RC; cat: LC | not left of
a red ball rises while a cup stands to the left of a plate | red ball: LB>LT; cup: RC; plate: MC | not left of
一个红球向左滚动 | red ball: LC>RC | says left | A red ball rolls to the left.
"""


def rows(table):
    return [[part.strip() for part in line.split(" | ")] for line in table.replace("\n    ", " ").strip().splitlines()]


def placed(objects):
    """ "ball: LC>RC; cube: MB" as a layout's objects."""
    for entry in objects.split("; "):
        phrase, path = entry.rsplit(": ", 1)
        places = [(ACROSS[x], UPRIGHT[y]) for x, y in path.split(">")]
        times = [i / max(len(places) - 1, 1) for i in range(len(places))]
        boxes = [{"t": t, "box": [x, y, x + SIDE, y + SIDE]} for t, (x, y) in zip(times, places, strict=True)]
        yield {"phrase": phrase, "boxes": boxes}


def judged(prompt, objects, enriched=""):
    data = {"prompt": prompt, "enriched_prompt": enriched, "objects": list(placed(objects))}
    return check(layout_from_json(data), whole=bool(enriched))


@pytest.mark.parametrize("row", rows(RIGHT), ids=" | ".join)
def test_right_layouts_pass(row):
    judged(*row)


@pytest.mark.parametrize("row", rows(WRONG), ids=" | ".join)
def test_plain_contradictions_are_refused(row):
    prompt, objects, fault, *enriched = row
    with pytest.raises(LayoutError) as caught:
        judged(prompt, objects, *enriched)
    assert fault in caught.value.message and "--trust-layout" in caught.value.hint


@pytest.mark.parametrize("row", rows(WRONG)[:3], ids=" | ".join)
def test_a_trusted_layout_has_its_contradictions_noted(row):
    prompt, objects, fault, *_ = row
    _, notes = check(layout_from_json({"prompt": prompt, "objects": list(placed(objects))}), trust=True)
    assert any(fault in note for note in notes)


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ("a red ball and a blue cube | red ball: MT | A red ball on a table.",
         "perhaps the enriched prompt leaves out 'blue cube'"),
        ("a frog turns into a prince | frog: MC; prince: MC", "objects 'frog_1' and 'prince_1' have the same boxes"),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_a_note(row, note):
    _, notes = judged(*rows(row)[0])
    assert any(note in said for said in notes)


def test_other_languages_are_left_alone():
    """The grammar is English: it neither suspects nor repairs what it cannot read."""
    layout, notes = judged("一只猫从左侧跑进画面", "猫: -C>MC")
    assert layout.objects[0].boxes[0].box[0] < 0 and notes == []


def test_an_object_is_named_in_the_prompt_or_in_the_enriched_one():
    layout, notes = judged("一个红球向右滚动", "红球: LC>RC", "A red ball rolls to the right.")
    assert layout.text == "一个红球向右滚动" and "does not name '红球'" in notes[0]
    layout, _ = judged("a red ball rolls", "red ball: LC", "A shiny scarlet ball rolls.")
    assert layout.text == "A shiny scarlet ball rolls."  # which has its noun
    with pytest.raises(LayoutError, match="'红球' stands in the prompt alone, and 'red cube' in the enriched"):
        judged("一个红球和一个方块", "红球: LC; red cube: RC", "A ball and a red cube.")
    with pytest.raises(LayoutError, match="does not stand in the prompt"):
        judged("a red ball", "green ball: LC", "A red ball rolls.")


def test_a_prompt_is_the_same_in_another_spelling():
    data = {"prompt": "a man’s hat", "objects": list(placed("man's hat: LC"))}
    assert layout_from_json(data, prompt="a man's hat").objects
