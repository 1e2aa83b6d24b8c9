"""`ttom_cli.guided`, on pipelines that are loaded as anyone loads them."""

import json
from dataclasses import replace

import families
import pytest
import torch
from diffusers import DiffusionPipeline

import ttom_cli
from ttom_cli.catalog import CARDS
from ttom_cli.config import GuideConfig
from ttom_cli.errors import LayoutError, ModelError, TTOMError

SMALL = dict(blocks=(1, 2), rank=4, lr=1e-2, steps=2, iterations=2)


def call(pipe, layout, name="wan2.1"):
    return families.call(pipe, name, layout.text)


@pytest.fixture
def pipe(toy_folder):
    made = DiffusionPipeline.from_pretrained(toy_folder)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("name", list(families.FAMILIES))
def test_any_family_is_guided_as_it_is_called_and_is_plain_outside(name, layout):
    pipe = families.build(name)
    pipe.set_progress_bar_config(disable=True)
    before = call(pipe, layout, name)
    with ttom_cli.guided(pipe, layout, **SMALL) as guide:
        inside = call(pipe, layout, name)
    assert [len(step) for step in guide.losses] == [2, 2] and guide.losses[0][1] < guide.losses[0][0]
    assert not torch.equal(inside, before) and torch.equal(call(pipe, layout, name), before)
    assert not {"step", "set_timesteps"} & vars(pipe.scheduler).keys()

    def fail(*_):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), ttom_cli.guided(pipe, layout, on_iteration=fail, **SMALL):
        call(pipe, layout, name)
    assert torch.equal(call(pipe, layout, name), before)


def test_what_was_learnt_is_used_again_and_a_second_call_is_guided_too(pipe, layout):
    with ttom_cli.guided(pipe, layout, **SMALL) as guide:
        first = call(pipe, layout)
        state = guide.state()
        again = call(pipe, layout)
    assert len(guide.losses) == 4 and guide.losses[2][0] < guide.losses[0][0] and not torch.equal(first, again)
    with ttom_cli.guided(pipe, layout, stored=state, optimise=False, **SMALL) as guide:
        kept = call(pipe, layout)
    assert guide.losses == [] and not torch.equal(kept, call(pipe, layout))


def test_layouts_are_given_as_json_or_files_and_the_guide_s_defaults_are_the_model_s(pipe, layout, tmp_path, shapes):
    (tmp_path / "mine.json").write_text(json.dumps(layout.to_json()))
    made = []
    for given in (layout, layout.to_json(), json.dumps(layout.to_json()), tmp_path / "mine.json"):
        with ttom_cli.guided(pipe, given, **SMALL) as guide:
            made.append(call(pipe, layout))
    assert all(torch.equal(made[0], m) for m in made[1:])
    assert guide.config == replace(CARDS["wan2.1-1.3b"].guide, share=1.0, **SMALL)
    with ttom_cli.guided(shapes.pipe, layout) as guide:
        assert guide.config == CARDS["shapes"].guide
    with ttom_cli.guided(pipe, layout, mode="off") as guide:
        assert guide is None
    with ttom_cli.guided(pipe, layout, guide=GuideConfig(**SMALL), mode="latents") as guide:
        assert guide.config == GuideConfig(**SMALL, mode="latents")


def test_what_cannot_be_guided_is_said_before_the_call(pipe, layout):
    for settings, said in (
        ({"colour": 1}, "unknown setting of the guide 'colour'"),
        ({"rank": 0}, "rank must be"),
        ({"guide": "latent"}, "latent"),
    ):
        with pytest.raises(TTOMError, match=said), ttom_cli.guided(pipe, layout, **settings):
            pass
    with pytest.raises(ModelError, match="there is no block 9"), ttom_cli.guided(pipe, layout, blocks=(9,)):
        pass
    with pytest.raises(ModelError, match="cannot guide a object"), ttom_cli.guided(object(), layout):
        pass
    tracks = (replace(layout.objects[0], phrase="green dog", word="dog"),)
    with pytest.raises(LayoutError), ttom_cli.guided(pipe, replace(layout, objects=tracks), **SMALL):
        call(pipe, layout)


def test_names_of_options_are_names_of_settings_too(pipe, layout):
    with ttom_cli.guided(pipe, layout, guide="latents", guided_steps=2, blocks=(1,)) as guide:
        assert guide.config.mode == "latents" and guide.config.guided_of(50) == 2
    with pytest.raises(TTOMError) as caught, ttom_cli.guided(pipe, layout, guided_step=2):
        pass
    assert "guided_steps" in caught.value.hint


def test_another_prompt_than_the_layout_s_is_refused_in_the_call(pipe, layout):
    with (
        pytest.raises(TTOMError, match="the pipeline's prompt is 'a dog', the layout's is"),
        ttom_cli.guided(pipe, layout, **SMALL),
    ):
        families.call(pipe, "wan2.1", "a dog")
    assert "encode_prompt" not in vars(pipe)
