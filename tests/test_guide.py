"""The guide on a real diffusers pipeline at toy size: what it must change, and what it must not."""

from dataclasses import replace

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from ttom_cli.config import GuideConfig
from ttom_cli.errors import BankError, ModelError, TTOMError
from ttom_cli.guidance.guide import Guide, attach
from ttom_cli.guidance.spans import phrase_spans
from ttom_cli.guidance.steering import Attention
from ttom_cli.guidance.targets import gaussian_targets

CONFIG = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=2, iterations=3)


def sample(runtime, layout, **more):
    """A plain pipeline call: the latents."""
    return runtime.pipe(
        prompt=layout.text, height=64, width=64, num_frames=13, num_inference_steps=4, guidance_scale=4.0,
        max_sequence_length=64, generator=torch.Generator().manual_seed(3), output_type="latent", **more,
    ).frames  # fmt: skip


def targets_of(runtime, layout):
    backbone, pipe = runtime.backbone, runtime.pipe
    spans = phrase_spans(layout, *backbone.tokens(pipe, layout.text, 64))
    return gaussian_targets(layout, spans, backbone.latent_times(pipe, 13), backbone.token_grid(pipe, 64, 64))


def guided(runtime, layout, config=CONFIG, **more):
    """(latents, guide, what it learnt) of a guided call."""
    with attach(runtime.pipe, runtime.backbone, config, seed=0) as adapter:
        guide = Guide(runtime.pipe, runtime.backbone, config, targets_of(runtime, layout), adapter=adapter, **more)
        with guide:
            latents = sample(runtime, layout)
        return latents, guide, guide.state()


@pytest.mark.parametrize("mode", ["params", "latents", "latents+params", "attention+params"])
def test_the_loss_falls_the_video_changes_and_the_pipeline_is_left_as_it_was(toy, layout, mode):
    before = sample(toy, layout)
    keys = list(toy.pipe.transformer.state_dict())
    config = GuideConfig(**{**vars(CONFIG), "mode": mode})
    latents, guide, _ = guided(toy, layout, config)
    assert [len(step) for step in guide.losses] == [3, 3]
    assert guide.losses[-1][-1] < guide.losses[0][0]
    assert not torch.equal(before, latents)
    assert torch.equal(before, sample(toy, layout))
    assert list(toy.pipe.transformer.state_dict()) == keys
    assert all(p.requires_grad for p in toy.pipe.transformer.parameters())
    assert "forward" not in vars(toy.pipe.transformer)
    assert "step" not in vars(toy.pipe.scheduler)


def test_the_pipeline_is_as_it_was_after_an_error_inside(toy, layout):
    before = sample(toy, layout)

    def fail(pipe, i, t, kwargs):
        raise RuntimeError("inside")

    with (
        pytest.raises(RuntimeError, match="inside"),
        attach(toy.pipe, toy.backbone, CONFIG, seed=0) as adapter,
        Guide(toy.pipe, toy.backbone, CONFIG, targets_of(toy, layout), adapter=adapter),
    ):
        sample(toy, layout, callback_on_step_end=fail)
    assert torch.equal(before, sample(toy, layout))


def lora_of(runtime, name, targets, scale=1.0):
    """A user's own LoRA on the denoiser, of random weights."""
    from peft import LoraConfig

    denoiser = runtime.pipe.transformer
    denoiser.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets), adapter_name=name)
    with torch.no_grad():
        for key, parameter in denoiser.named_parameters():
            if f"lora_B.{name}." in key:
                parameter.normal_(std=0.5 * scale, generator=torch.Generator().manual_seed(len(name)))


@pytest.mark.parametrize("disabled", [False, True])
def test_the_user_s_own_loras_stay_as_they_were_and_act_beside_the_guide(toy, layout, disabled):
    """One on a layer that the guide adapts too, one on another that is not active."""
    denoiser, plain = toy.pipe.transformer, sample(toy, layout)
    lora_of(toy, "style", ["blocks.0.attn2.to_q", "blocks.3.ffn.net.2"])
    lora_of(toy, "unused", ["blocks.1.attn2.to_k", "blocks.0.attn2.to_q"])
    denoiser.set_adapter("style")
    if disabled:
        denoiser.disable_adapters()
    before = sample(toy, layout)
    assert torch.equal(before, plain) == disabled
    flags = {name: p.requires_grad for name, p in denoiser.named_parameters()}
    latents, guide, state = guided(toy, layout)
    assert guide.losses[-1][-1] < guide.losses[0][0] and not torch.equal(latents, before)
    assert all(key.startswith("blocks.") and "style" not in key for key in state)
    assert {name: p.requires_grad for name, p in denoiser.named_parameters()} == flags
    assert denoiser.active_adapters() == ["style"] and set(denoiser.peft_config) == {"style", "unused"}
    assert torch.equal(sample(toy, layout), before)
    zero, *_ = guided(toy, layout, optimise=False)
    assert torch.equal(zero, before)  # on in both branches while the guide's own is switched


def test_loras_beside_which_there_can_be_no_other(toy, layout):
    lora_of(toy, "ttom", ["blocks.0.attn2.to_q"])
    with pytest.raises(ModelError, match="of the name 'ttom'"):
        guided(toy, layout)
    toy.pipe.transformer.fuse_lora()
    with pytest.raises(ModelError, match="is fused"):
        guided(toy, layout)


def test_a_zero_adapter_changes_nothing(toy, layout):
    latents, guide, _ = guided(toy, layout, optimise=False)
    assert guide.losses == []
    assert torch.equal(latents, sample(toy, layout))


def test_gradients_reach_the_adapter_and_nothing_else(toy, layout):
    pipe = toy.pipe
    with attach(pipe, toy.backbone, CONFIG, seed=0) as adapter:
        guide = Guide(pipe, toy.backbone, CONFIG, targets_of(toy, layout), adapter=adapter)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.01)  # off zero, so that A has a gradient too
        text, _ = pipe.encode_prompt(layout.text, None, False, max_sequence_length=64)
        call = {
            "hidden_states": torch.randn(1, 16, 4, 8, 8),
            "timestep": torch.tensor([900.0]),
            "encoder_hidden_states": text,
        }
        guide.loss(call).backward()
        named = dict(pipe.transformer.named_parameters())
        reached = {name for name, p in named.items() if p.grad is not None and p.grad.abs().sum() > 0}
        assert reached == {name for name in named if ".ttom." in name}
        assert not any("blocks.3" in name for name in reached)


@pytest.mark.parametrize("mode", ["params", "latents"])
def test_the_truncated_forward_is_the_full_one(toy, layout, mode):
    config = GuideConfig(**{**vars(CONFIG), "mode": mode})
    short, whole = (guided(toy, layout, config, truncate=truncate) for truncate in (True, False))
    assert short[1].losses == whole[1].losses
    assert torch.equal(short[0], whole[0])
    assert all(torch.equal(short[2][name], whole[2][name]) for name in short[2])


def test_attention_is_that_of_the_full_softmax(toy, layout):
    """Against a processor's own query and key, softmaxed whole."""
    seen = {}
    original = torch.nn.functional.scaled_dot_product_attention
    attention = toy.pipe.transformer.blocks[1].attn2

    def spy(query, key, value, **kwargs):
        if seen.get("inside"):
            seen["map"] = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        return original(query, key, value, **kwargs)

    enter = attention.register_forward_pre_hook(lambda *_: seen.update(inside=True))
    leave = attention.register_forward_hook(lambda *_: seen.update(inside=False))
    targets = targets_of(toy, layout)
    text, _ = toy.pipe.encode_prompt(layout.text, None, False, max_sequence_length=64)
    call = {
        "hidden_states": torch.randn(1, 16, 4, 8, 8),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": text,
    }
    try:
        torch.nn.functional.scaled_dot_product_attention = spy
        with torch.no_grad():
            toy.pipe.transformer(**call)
    finally:
        torch.nn.functional.scaled_dot_product_attention = original
        enter.remove()
        leave.remove()
    guide = Guide(toy.pipe, toy.backbone, GuideConfig(blocks=(1,), mode="latents"), targets, adapter=None)
    with torch.no_grad():
        maps = guide.attention(call)[1]
    for p, tokens in enumerate(targets.phrases):
        expected = seen["map"][..., list(tokens)].mean((1, 3))
        assert torch.allclose(maps[:, p], expected, atol=1e-5)


def test_steps_are_counted_where_timesteps_repeat(toy, layout):
    """As UniPC's integers do at a high shift."""
    toy.pipe.scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=999
    )
    _, guide, _ = guided(toy, layout, replace(CONFIG, steps=4, share=1.0))
    assert len(set(toy.pipe.scheduler.timesteps.tolist())) < 4
    assert [len(step) for step in guide.losses] == [3, 3, 3, 3]


def test_guided_steps_are_a_share_of_the_steps_at_most(toy, layout):
    config = replace(CONFIG, steps=3, share=0.25)
    assert len(guided(toy, layout, config)[1].losses) == 1
    assert [config.guided_of(n) for n in (1, 4, 5, 8, 50)] == [1, 1, 2, 2, 3]


def test_early_stop(toy, layout):
    _, guide, _ = guided(toy, layout, GuideConfig(**{**vars(CONFIG), "stop_loss": 10.0}))
    assert [len(step) for step in guide.losses] == [1, 1]


def test_an_adapter_is_taken_up_again_and_must_fit(toy, layout):
    _, _, state = guided(toy, layout)
    with attach(toy.pipe, toy.backbone, CONFIG, seed=9, stored=state) as adapter:
        again = adapter.state()
        assert again.keys() == state.keys() and all(torch.equal(again[k], state[k]) for k in state)
    for odd in ({k: v for k, v in state.items() if "blocks.0" not in k}, {k: v[:1] for k, v in state.items()}):
        with pytest.raises(BankError, match="does not fit"):
            attach(toy.pipe, toy.backbone, CONFIG, seed=9, stored=odd)
    last = max(CONFIG.blocks)
    assert not any(f"blocks.{last}.attn2.to_v" in k or f"blocks.{last}.attn2.to_out" in k for k in state)


def test_consolidation_lowers_the_loss_over_random_noises(toy, layout):
    with attach(toy.pipe, toy.backbone, CONFIG, seed=0) as adapter:
        guide = Guide(toy.pipe, toy.backbone, CONFIG, targets_of(toy, layout), adapter=adapter)
        with guide:
            latents = sample(toy, layout)
        assert torch.equal(guide.latents, latents)
        losses = guide.consolidate(12, seed=1)
    assert sum(losses[-4:]) < sum(losses[:4])


def test_guided_steps_train_from_a_block_on_and_consolidation_all(toy, layout):
    config = replace(CONFIG, train_from=1)

    def moved(adapter):
        """Blocks whose adapter is not zero any more."""
        return {int(name.split(".")[1]) for name, t in adapter.state().items() if "lora_B" in name and t.any()}

    with attach(toy.pipe, toy.backbone, config, seed=0) as adapter:
        guide = Guide(toy.pipe, toy.backbone, config, targets_of(toy, layout), adapter=adapter)
        with guide:
            sample(toy, layout)
        assert moved(adapter) == {1, 2} and guide.losses[0][-1] < guide.losses[0][0]
        guide.consolidate(1, seed=0)
        assert moved(adapter) == {0, 1, 2}


def test_train_from_is_within_what_can_be_trained():
    assert replace(CONFIG, train_from=9).trained_from == 1  # the first aligned
    assert replace(CONFIG, train_from=9, adapt=(0,)).trained_from == 0


@pytest.mark.parametrize("wrong", [{"train_from": -1}, {"adapt": ()}, {"adapt": (-1,)}, {"adapt": (3,)}])
def test_blocks_that_cannot_be_trained(wrong):
    with pytest.raises(TTOMError, match=next(iter(wrong)).replace("_", "-")):
        replace(CONFIG, **wrong)


def test_a_block_that_is_not_there(toy, layout):
    with pytest.raises(ModelError, match="there is no block 7") as caught:
        guided(toy, layout, GuideConfig(blocks=(7,)))
    assert "0 to 3" in caught.value.hint


def test_a_latent_frame_is_at_the_last_of_its_frames(toy):
    assert toy.backbone.latent_times(toy.pipe, 13) == pytest.approx([0, 4 / 12, 8 / 12, 1])


def test_a_size_that_the_model_cannot_make_names_the_nearest(toy):
    with pytest.raises(ModelError, match="cannot make 70x64") as caught:
        toy.backbone.token_grid(toy.pipe, 64, 70)
    assert "64x64" in caught.value.hint
    with pytest.raises(ModelError, match="cannot make 15 frames") as caught:
        toy.backbone.latent_times(toy.pipe, 15)
    assert "is 17" in caught.value.hint


def test_float16_gradients_survive(toy, layout):
    """Against float32's: as they are most of them vanish in float16, scaled they do not."""
    pipe, config = toy.pipe, GuideConfig(**{**vars(CONFIG), "blocks": (1,)})
    with torch.no_grad():
        text, _ = pipe.encode_prompt(layout.text, None, False, max_sequence_length=64)
    call = {
        "hidden_states": torch.randn(1, 16, 4, 8, 8),
        "timestep": torch.tensor([900.0]),
        "encoder_hidden_states": text,
    }
    targets = targets_of(toy, layout)
    # As tiny as the gradients of a large model's many tokens are.
    small = 2.0**-16

    def gradient(dtype, scale):
        pipe.transformer.to(dtype)
        kwargs = {k: v.to(dtype) for k, v in call.items()}
        with attach(pipe, toy.backbone, config, seed=0) as adapter:
            guide = Guide(pipe, toy.backbone, config, targets, adapter=adapter)
            assert (guide._scale == 1) == (dtype == torch.float32)
            guide._scale = scale or guide._scale
            loss = guide.loss
            guide.loss = lambda kwargs: loss(kwargs) * small
            guide.backward(kwargs)
            return torch.cat([p.grad.flatten() for p in adapter.parameters() if p.grad is not None])

    try:
        true, plain, scaled = gradient(torch.float32, None), gradient(torch.float16, 1.0), gradient(torch.float16, None)
    finally:
        pipe.transformer.to(torch.float32)
    assert (plain - true).norm() > 0.5 * true.norm()
    assert (scaled - true).norm() < 0.05 * true.norm()


def test_float16_gradients_that_overflow_are_scaled_down(toy, layout):
    pipe = toy.pipe
    pipe.transformer.half()
    try:
        config = GuideConfig(**{**vars(CONFIG), "lr": 1e-3})
        with attach(pipe, toy.backbone, config, seed=0) as adapter:
            guide = Guide(pipe, toy.backbone, config, targets_of(toy, layout), adapter=adapter)
            guide._scale = 2.0**60
            with torch.no_grad():
                text, _ = pipe.encode_prompt(layout.text, None, False, max_sequence_length=64)
            call = {
                "hidden_states": torch.randn(1, 16, 4, 8, 8).half(),
                "timestep": torch.tensor([900.0]).half(),
                "encoder_hidden_states": text.half(),
            }
            guide.backward(call)
            assert 1 < guide._scale < 2.0**60
            assert all(p.grad.isfinite().all() for p in adapter.parameters() if p.grad is not None)
    finally:
        pipe.transformer.float()


def test_the_bias_is_that_of_a_mask_on_the_scores(toy, layout):
    """Against the same attention with the bias as a mask; of the phrases' columns, in the blocks alone."""
    config = replace(CONFIG, mode="attention", bias=3.0, bias_blocks=(1,))
    targets = targets_of(toy, layout)
    way = Attention(toy.pipe.transformer, toy.backbone, config, lambda: targets)
    way.tables()
    query, key, value = torch.randn(3, 1, 2, 64, 16).unbind()
    mask = torch.zeros(64, 64)
    for inside, tokens in zip(targets.inside, targets.phrases, strict=True):
        for token in tokens:
            mask[:, token] = 3.0 * (2 * inside.flatten() - 1)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert targets.present.all() and (mask > 0).any() and (mask < 0).any()
    assert torch.allclose(way.biased({}, query, key, value, {}), expected, atol=1e-5)
    assert list(way.modules) == [1]


def test_the_bias_needs_no_iterations_and_moves_the_attention(toy, layout):
    config = replace(CONFIG, mode="attention", bias=6.0)
    before = sample(toy, layout)
    latents, guide, _ = guided(toy, layout, config)
    assert guide.losses == [] and not torch.equal(latents, before)
    assert torch.equal(before, sample(toy, layout))
    assert not any(module._forward_pre_hooks for module in toy.pipe.transformer.modules())
