"""The shapes world: scenes, captions, and the trainer's loop."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ttom_cli.shapes import train
from ttom_cli.shapes.captions import cannot_draw, caption, caption_and_spans, look_of, vocabulary
from ttom_cli.shapes.networks import FAMILIES, build_tokenizer
from ttom_cli.shapes.train import LOOKS, POOL_PLANS, binding, words_of
from ttom_cli.shapes.world import (
    BACKGROUNDS,
    COLORS,
    SHAPES,
    Scene,
    Thing,
    clear,
    held_out,
    render,
    sample_scene,
)


def scenes(seed, count, *args, **options):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, *args, **options) for _ in range(count)]


def test_a_scene_is_its_seed():
    assert scenes(1, 5) == scenes(1, 5) != scenes(2, 5)


def test_things_stay_in_the_frame_and_apart():
    for scene in scenes(0, 200):
        for i, thing in enumerate(scene.things):
            for t in (0, 0.5, 1):
                assert min(thing.box(t)) > 0 and max(thing.box(t)) < 1
            assert all(clear(thing, other) for other in scene.things[:i])


def test_the_world_is_as_rich_as_said():
    many = scenes(0, 600)
    assert len(COLORS) >= 6 and len(SHAPES) >= 4
    assert {len(s.things) for s in many} == {1, 2, 3, 4}
    moving = [t.direction for s in many for t in s.things]
    assert {*moving} == {None, "left", "right", "up", "down"}
    assert any(t.color_end for s in many for t in s.things)
    assert {s.background for s in many} == set(BACKGROUNDS)


def test_a_seed_draws_what_it_always_drew():
    """The tests' and the benchmark's figures rest on it."""
    one, two, three = scenes(11, 3)
    purple = Thing(color="purple", shape="circle", radius=0.165, start=(0.5625, 0.25), end=(0.5625, 0.625))
    blue = Thing(color="blue", shape="circle", radius=0.13, start=(0.1875, 0.75), end=(0.1875, 0.1875))
    orange = Thing(color="orange", shape="circle", radius=0.165, start=(0.375, 0.25), end=(0.375, 0.625))
    at = (0.8125, 0.1875)
    turning = Thing(color="purple", shape="square", radius=0.13, start=at, end=at, color_end="red")
    assert one == Scene(groups=((purple,), (blue,)), background="black")
    assert two == Scene(groups=((orange,),), background="white")
    assert three == Scene(groups=((turning,),), background="white")


def test_paths_cross_where_that_is_asked_for():
    def apart(scene, *times):
        return all(clear(a, b, *times) for a, b in itertools.combinations(scene.things, 2))

    several = scenes(5, 150, 1.0, plans={(1, 1): 0.8, (1, 1, 1, 1): 0.2})
    assert {len(s.groups) for s in several} == {2, 4}
    assert all(apart(scene, np.array([0.0, 1.0])) for scene in several)
    assert 0.1 < np.mean([not apart(scene) for scene in several]) < 0.6
    assert all(map(apart, scenes(5, 50, plans=POOL_PLANS)))


def test_about_one_pair_of_looks_in_six_is_held_out():
    def of(*looks):
        things = [Thing(color=c, shape=s, radius=0.1, start=(0.5, 0.5), end=(0.5, 0.5)) for c, s in looks]
        return held_out(Scene(groups=tuple((thing,) for thing in things), background="white"))

    pairs = list(itertools.combinations(LOOKS, 2))
    kept = [pair for pair in pairs if of(*pair)]
    assert all(of(b, a) for a, b in kept) and all(a[0] != b[0] for a, b in kept)
    assert 0.12 < len(kept) / len(pairs) < 0.2
    assert {look for pair in kept for look in pair} == set(LOOKS)  # every look is seen, with others
    assert not any(of(look) for look in LOOKS)
    (a, b), other = kept[0], next(look for look in LOOKS if not any(of(look, x) for x in kept[0]))
    assert of(a, other, b) and not of(a, other)


def test_rendering_puts_the_colour_where_the_thing_is():
    thing = Thing(color="red", shape="square", radius=0.15, start=(0.3, 0.5), end=(0.7, 0.5))
    video = render(Scene(groups=((thing,),), background="white"))
    assert video.shape == (13, 64, 64, 3)
    assert tuple(video[0, 32, 19]) == COLORS["red"] == tuple(video[-1, 32, 45])
    assert tuple(video[0, 32, 45]) == BACKGROUNDS["white"]


def test_captions_name_every_group_and_only_sometimes_place_and_motion():
    rng = np.random.default_rng(0)
    places = motions = 0
    every = scenes(3, 400)
    for scene in every:
        text = caption(scene, rng)
        for group in scene.groups:
            assert group[0].color in text
        places += " at the " in text
        motions += any(
            w in text for w in (" right", " left", " up", " down", "ris", "fall", "sink", "drop", "climb", "ascend")
        )
    assert 0.2 < places / 400 < 0.7 and 0.3 < motions / 400 < 0.9


def test_the_vocabulary_covers_the_captions():
    rng, known = np.random.default_rng(0), set(vocabulary())
    unknown = [w for s in scenes(4, 300) for w in caption(s, rng).replace(",", " ").split() if w not in known]
    assert len(unknown) < 60  # the few made-up words alone
    tokenizer = build_tokenizer()
    ids = tokenizer("a Red ball, zigzag!").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[:4] == ["a", "red", "ball", ","]
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == "</s>"


def test_a_look_is_what_a_phrase_says_of_it():
    assert look_of("small red boxes") == ("red", "square")
    assert look_of("ball") == (None, "circle") and look_of("blue thing") == ("blue", None)
    assert look_of("dog") == (None, None)


def test_what_the_world_does_not_hold_is_said():
    for phrase in ("red ball", "circle", "three orange crosses", "fluffy large blue cube", "Yellow Plus"):
        assert cannot_draw(phrase) == "", phrase
    assert cannot_draw("brown dog") == "it does not know 'dog'"
    assert cannot_draw("red ball of wool, bright") == ""
    assert "nothing pink, only red, orange" in cannot_draw("pink ball")
    assert "nothing white" in cannot_draw("white square")


# ---------------------------------------------------------------- training


def test_spans_are_the_colour_and_the_noun_of_each_group():
    rng = np.random.default_rng(7)
    for scene in scenes(7, 200):
        text, spans = caption_and_spans(scene, rng)
        assert len(spans) == len(scene.groups)
        for group, (color, noun) in zip(scene.groups, spans, strict=True):
            assert text[slice(*color)] == group[0].color
            assert look_of(f"{text[slice(*color)]} {text[slice(*noun)]}") == (group[0].color, group[0].shape)


def two_groups():
    """A red circle at the left and a blue square at the right, its caption, and its words' tokens."""
    red = Thing(color="red", shape="circle", radius=0.15, start=(0.25, 0.5), end=(0.25, 0.5))
    blue = Thing(color="blue", shape="square", radius=0.15, start=(0.75, 0.5), end=(0.75, 0.5))
    text = "a red circle and a blue square"
    spans = [[(2, 5), (6, 12)], [(19, 23), (24, 30)]]
    scene = Scene(groups=((red,), (blue,)), background="white")
    return scene, words_of(build_tokenizer(), [(text, spans), ("", [])], 16)


def test_words_are_found_among_the_tokens():
    _, words = two_groups()
    assert words.shape == (2, 2, 2, 16) and not words[1].any()
    assert words[0].argmax(-1).tolist() == [[1, 2], [5, 6]] and words[0].sum() == 4


def test_words_beyond_the_text_that_is_read_are_left_out():
    text = "a red circle and a blue square"
    words = words_of(build_tokenizer(), [(text, [[(2, 5), (6, 12)], [(19, 23), (24, 30)]]), ("", [])], 5)
    assert words[0, 0].any() and not words[0, 1].any()


def test_binding_asks_each_word_for_the_whole_look():
    scene, words = two_groups()
    looks = [LOOKS.index(("red", "circle")), LOOKS.index(("blue", "square"))]
    context = torch.zeros(2, 16, len(LOOKS))
    for look, tokens in zip(looks, ([1, 2], [5, 6]), strict=True):
        context[0, tokens, look] = 20.0
    assert binding(torch.nn.Identity(), context, words, [scene, scene]) < 0.01
    context[0, 6] = context[0, 2]  # the second noun is encoded as the first
    assert binding(torch.nn.Identity(), context, words, [scene, scene]) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_and_what_is_to_be_said_of_it(family):
    """From both the clean latents follow, and the noise is of the level asked for."""
    kind = FAMILIES[family]()
    clean, noise = torch.randn(2, 4, 16, 5, 8, 8)
    sigma = torch.tensor([0.2, 0.5, 0.7, 0.9])
    noisy, t, wanted = kind.noised(clean, noise, sigma)
    if family == "wan":
        share, found = sigma, noisy - sigma.view(-1, 1, 1, 1, 1) * wanted
    else:
        a = kind.scheduler.alphas_cumprod.float()[t]
        share = (1 - a).sqrt() / ((1 - a).sqrt() + a.sqrt())
        a = a.view(-1, 1, 1, 1, 1)
        found = a.sqrt() * noisy - (1 - a).sqrt() * wanted
    assert torch.allclose(found, clean, atol=1e-4) and torch.allclose(share, sigma, atol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_training(tmp_path, monkeypatch, family):
    monkeypatch.setattr(train, "finish", lambda *_: None)
    weights = FAMILIES[family]().vae().state_dict()
    torch.save(dict(model=weights, ema=weights, losses=[]), tmp_path / "vae.pt")
    argv = ["--out", str(tmp_path), "--family", family, "--stage", "denoiser"]
    result = CliRunner().invoke(train.app, [*argv, "--steps", "1", "--pool", "4", "--batch", "2"])
    assert result.exit_code == 0, result.output
    assert len(torch.load(tmp_path / "denoiser.pt", weights_only=True)["losses"]) == 1


def test_every_level_of_noise_counts_alike():
    evened, sigma = train.Evened(), torch.tensor([0.3, 0.97])
    losses = torch.tensor([0.02, 4.0])
    assert evened(losses, sigma).item() == pytest.approx(train.TYPICAL)
    for _ in range(300):  # the second gets better
        evened(torch.tensor([0.02, 1.0]), sigma)
    wanted = losses.clone().requires_grad_()
    evened(wanted, sigma).backward()
    assert wanted.grad[0] / wanted.grad[1] == pytest.approx(1.0 / 0.02, rel=0.3)


TWO = """
import sys, torch
from ttom_cli.shapes import train
rank, processes = train._processes()
layer = torch.nn.Linear(1, 1, bias=False)
torch.nn.init.ones_(layer.weight)
sgd = torch.optim.SGD(layer.parameters(), lr=1.0)
train.descend(layer(torch.tensor([[float(rank)]])).sum(), layer.parameters(), sgd)
open(sys.argv[1] + str(rank), "w").write(f"{processes} {layer.weight.item()}")
"""


def test_processes_train_one_model(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(tmp_path / "two.py"), str(tmp_path / "w")], env=env, check=True, timeout=300)
    assert (tmp_path / "w0").read_text() == (tmp_path / "w1").read_text() == "2 0.5", "of gradients 0 and 1 the mean"


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_training_runs_from_nothing_and_resumes(tmp_path, family):
    from diffusers import DiffusionPipeline

    def run(*argv):
        argv = ["--out", str(tmp_path), "--family", family, "--pool", "16", "--batch", "2", *argv]
        result = CliRunner().invoke(train.app, argv)
        assert result.exit_code == 0, result.output

    run("--stage", "vae", "--vae-steps", "2")
    first = torch.load(tmp_path / "vae.pt", weights_only=True)["losses"]
    run("--stage", "vae", "--vae-steps", "4")
    losses = torch.load(tmp_path / "vae.pt", weights_only=True)["losses"]
    assert len(losses) == 4 and losses[:2] == first
    run("--stage", "denoiser", "--steps", "2")
    assert len(torch.load(tmp_path / "denoiser.pt", weights_only=True)["losses"]) == 2
    for name in ("vae_loss.png", "vae_samples.png", "denoiser_loss.png", "samples.png"):
        assert (tmp_path / name).stat().st_size > 1000
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "model")
    assert pipe.vae.config.get("scaling_factor") != 1.0
    run("--stage", "decoder", "--decoder-steps", "2")
    sharper = DiffusionPipeline.from_pretrained(tmp_path / "model")
    old, new = pipe.vae.state_dict(), sharper.vae.state_dict()
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert "decoder" in changed and "encoder" not in changed
