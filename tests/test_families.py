"""One contract for every model family: real diffusers classes at toy size, saved and loaded again."""

import copy
import functools
import inspect
import json
from contextlib import nullcontext
from dataclasses import replace

import families
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ttom_cli.backbones import FAMILIES
from ttom_cli.catalog import CARDS, find_card
from ttom_cli.config import GuideConfig, LoadConfig
from ttom_cli.errors import BankError, ModelError, TTOMError
from ttom_cli.guidance.adapter import Adapter, Folded
from ttom_cli.guidance.guide import Guide, attach
from ttom_cli.guidance.spans import phrase_spans
from ttom_cli.guidance.steering import Attention
from ttom_cli.guidance.targets import gaussian_targets
from ttom_cli.guidance.thrift import Thrift
from ttom_cli.layout import layout_from_json
from ttom_cli.placement import place
from ttom_cli.runtime import Runtime

PROMPT = "a red ball rolls right while the blue cube rises"
LAYOUT = layout_from_json(
    {
        "prompt": PROMPT,
        "objects": [
            {"phrase": "red ball", "boxes": [{"t": 0, "box": [0, 0.5, 0.4, 0.9]}, {"t": 1, "box": [0.6, 0.5, 1, 0.9]}]},
            {"phrase": "blue cube", "boxes": [{"t": 0, "box": [0.1, 0.1, 0.4, 0.4]}]},
        ],
    }
)
CONFIG = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=2, iterations=3)


@pytest.fixture(scope="module", params=list(families.FAMILIES))
def runtime(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    families.build(request.param).save_pretrained(folder)
    made = Runtime.open(str(folder), load=LoadConfig(device="cpu"))
    made.name, made.toy = request.param, families.FAMILIES[request.param]
    vars(made.pipe).update(made.toy.own)
    return made


def settings(runtime, **more):
    return families.settings(runtime.name, **more)


def sample(runtime, *, guidance=4.0):
    return families.call(runtime.pipe, runtime.name, PROMPT, guidance=guidance)


def targets_of(runtime, size=(64, 64)):
    backbone, pipe = runtime.backbone, runtime.pipe
    spans = phrase_spans(LAYOUT, *backbone.tokens(pipe, PROMPT, runtime.toy.length))
    times = backbone.latent_times(pipe, runtime.toy.frames)
    return gaussian_targets(LAYOUT, spans, times, backbone.token_grid(pipe, *size))


def guided(runtime, config=CONFIG, *, state=None, optimise=True, guidance=4.0, **more):
    """(latents, guide, what it learnt) of a guided call."""
    with attach(runtime.pipe, runtime.backbone, config, seed=0, stored=state, optimise=optimise) as adapter:
        with Guide(
            runtime.pipe, runtime.backbone, config, targets_of(runtime), adapter=adapter, stored=state,
            optimise=optimise, **more,
        ) as guide:  # fmt: skip
            latents = sample(runtime, guidance=guidance)
        return latents, guide, guide.state()


def conditional_call(runtime):
    """The arguments of the first conditional call of the denoiser."""
    seen = []
    config = GuideConfig(blocks=(1,), mode="latents", steps=1)
    guided(runtime, config, optimise=False, on_conditional=lambda step, kwargs: seen.append(kwargs))
    return seen[0]


def test_the_family_is_known_by_its_index(runtime):
    assert runtime.backbone is FAMILIES[type(runtime.pipe).__name__]
    assert find_card(runtime.card.source).pipeline == type(runtime.pipe).__name__


def test_the_settings_are_those_of_the_listed_model_that_is_like_it(runtime):
    card = CARDS[runtime.toy.like]
    assert (runtime.card.sample, runtime.card.guide) == (card.sample, card.guide)


@pytest.mark.parametrize(
    ("index", "config", "name"),
    [
        ({"_class_name": "WanPipeline", "boundary_ratio": None}, {"num_layers": 40}, "wan2.1-14b"),
        ({"_class_name": "WanPipeline", "boundary_ratio": None}, {"num_layers": 30}, "wan2.1-1.3b"),
        ({"_class_name": "WanPipeline", "expand_timesteps": True}, {"num_layers": 30}, "wan2.2-5b"),
        ({"_class_name": "CogVideoXPipeline"}, {"use_rotary_positional_embeddings": True}, "cogvideox-5b"),
        ({"_class_name": "HunyuanVideo15Pipeline"}, {"target_size": 960}, "hunyuanvideo1.5-720p"),
        ({"_class_name": "LTXConditionPipeline"}, {"num_layers": 48}, "ltx-video-0.9.7-13b"),
    ],
)
def test_models_are_told_apart_by_their_configuration(tmp_path, index, config, name):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    assert find_card(str(tmp_path)).sample == CARDS[name].sample


@pytest.mark.parametrize(
    ("index", "config", "said"),
    [
        ({"_class_name": "LTX2Pipeline"}, {}, "layers ahead of its denoiser mix the prompt's words"),
        ({"_class_name": "StableDiffusionPipeline"}, {}, "cannot guide a StableDiffusionPipeline"),
        ({"_class_name": "WanImageToVideoPipeline"}, {"pos_embed_seq_len": 514}, "wants a first and a last picture"),
    ],
)
def test_what_cannot_be_guided_is_said_by_its_configuration(tmp_path, index, config, said):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=said):
        find_card(str(tmp_path))


@pytest.mark.parametrize("mode", ["params", "latents"])
@pytest.mark.parametrize("guidance", [4.0, 1.0])
def test_the_guide_lowers_the_loss_and_leaves_no_trace(runtime, mode, guidance):
    before = sample(runtime, guidance=guidance)
    config = GuideConfig(**{**vars(CONFIG), "mode": mode, "latent_lr": 0.2})
    latents, guide, _ = guided(runtime, config, guidance=guidance)
    assert [len(step) for step in guide.losses] == [3, 3]
    assert guide.losses[0][-1] < guide.losses[0][0]
    assert not torch.equal(before, latents)
    assert torch.equal(before, sample(runtime, guidance=guidance))


def test_moves_of_the_latents_are_made_again_and_gone_on_with(runtime):
    config = replace(CONFIG, mode="latents", latent_lr=0.2)
    latents, first, moves = guided(runtime, config)
    assert list(moves) == ["moves.0", "moves.1"] and all(m.dtype == torch.half for m in moves.values())
    again, guide, _ = guided(runtime, config, state=moves, optimise=False)
    assert guide.losses == [] and torch.allclose(again, latents, atol=1e-2) and not torch.equal(again, sample(runtime))
    _, guide, further = guided(runtime, config, state=moves)
    assert guide.losses[0][0] < first.losses[0][0] and not torch.equal(further["moves.0"], moves["moves.0"])
    with pytest.raises(BankError, match="the stored moves do not fit"):
        guided(runtime, config, state={name: move[:-1] for name, move in moves.items()})


def masked(way, kwargs, query, key, value, more):
    """The bias as a mask over all scores."""
    backbone, rows = way.backbone, way.backbone.video_rows(key.shape[2], kwargs)
    mask = torch.zeros(*query.shape[:3], key.shape[2])
    for column, owner in zip(backbone.key_columns(way.columns, key.shape[2], kwargs), way.owners, strict=True):
        mask[:, :, rows, column] = way.bias_LP[:, owner]
    if more.get("attn_mask") is not None:
        given = more["attn_mask"]
        mask = mask.masked_fill(~given, -torch.inf) if given.dtype == torch.bool else mask + given
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, **{**more, "attn_mask": mask})


def test_the_bias_enters_where_the_text_is_in_the_conditional_branch_alone(runtime, monkeypatch):
    plain = sample(runtime)
    config = replace(CONFIG, mode="attention", bias=3.0)
    biased, guide, _ = guided(runtime, config)
    assert guide.losses == [] and not torch.equal(biased, plain)
    monkeypatch.setattr(Attention, "biased", masked)
    assert torch.allclose(guided(runtime, config)[0], biased, atol=1e-4)
    assert torch.equal(sample(runtime), plain)


def test_latents_are_moved_in_the_guided_steps_alone(runtime, monkeypatch):
    """Also where another expert runs the steps after them."""
    scheduler, seen = type(runtime.pipe.scheduler), []
    step = scheduler.step

    @functools.wraps(step)
    def watched(self, *args, **kwargs):
        output = step(self, *args, **kwargs)
        seen.append((inspect.signature(step).bind(self, *args, **kwargs).arguments["sample"], output[0]))
        return output

    monkeypatch.setattr(scheduler, "step", watched)
    steps = 4 if runtime.name in ("wan2.2-a14b", "wan2.2-i2v-a14b") else 3  # whose first expert runs three
    config = GuideConfig(**{**vars(CONFIG), "mode": "latents", "iterations": 1, "steps": steps, "share": 1.0})
    _, guide, _ = guided(runtime, config)
    own = slice(64 if runtime.name == "ltx-0.9.5-i2v" else 0, None)  # the pipeline sets the picture's tokens again
    moved = [not torch.equal(old[:, own], new[:, own]) for (_, old), (new, _) in zip(seen, seen[1:], strict=False)]
    assert len(guide.losses) == 3 and moved == [True, True, False]


def test_an_adapter_that_is_zero_changes_nothing(runtime):
    latents, *_ = guided(runtime, optimise=False)
    assert torch.allclose(latents, sample(runtime), atol=1e-5)  # the branches may be called apart


def test_the_adapter_acts_on_the_conditional_branch_alone(runtime):
    if runtime.backbone.family == "wan" or not runtime.backbone.cfg_in_batch:
        pytest.skip("the pipeline calls the branches apart")
    _, _, state = guided(runtime)
    both = GuideConfig(**{**vars(CONFIG), "conditional_only": False})
    assert not torch.equal(
        guided(runtime, state=state, optimise=False)[0], guided(runtime, both, state=state, optimise=False)[0]
    )


def test_truncated_is_full(runtime):
    short, whole = (guided(runtime, truncate=truncate) for truncate in (True, False))
    assert short[1].losses == whole[1].losses
    assert all(torch.equal(short[2][name], whole[2][name]) for name in whole[2])
    assert torch.equal(short[0], whole[0])


def test_what_is_ahead_of_the_adapter_runs_once_a_step(runtime, monkeypatch):
    """The blocks ahead, and a self-attention ahead in the adapter's block: the same losses as of all each time."""
    backbone, denoiser = runtime.backbone, runtime.backbone.denoiser(runtime.pipe)
    config = GuideConfig(**{**vars(CONFIG), "adapt": (2,), "blocks": (2,)})
    names = [backbone.attention_name(denoiser, 0), backbone.self_attention_name(denoiser, 2)]
    runs, hooks = {name: 0 for name in names if name}, []
    for name in runs:
        layer = denoiser.get_submodule(name).to_q  # what its attention does, and not whether it is called
        hooks.append(layer.register_forward_pre_hook(lambda *_, name=name: runs.update({name: runs[name] + 1})))
    kept, once = guided(runtime, config)[1], dict(runs)
    monkeypatch.setattr(Thrift, "prefix_kept", lambda self: nullcontext())
    whole = guided(runtime, config)[1]
    for hook in hooks:
        hook.remove()
    assert kept.losses == whole.losses
    for name in runs:
        assert runs[name] - 2 * once[name] == config.steps * (config.iterations - 1)


def test_attention_and_its_gradient_are_those_of_the_full_softmax(runtime):
    """Against the processor's own query, key and mask, softmaxed whole."""
    call = conditional_call(runtime)
    latents = call["hidden_states"] = call["hidden_states"].clone().requires_grad_()
    denoiser = runtime.backbone.denoiser(runtime.pipe)
    seen, original = {}, torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, value, attn_mask=None, **kwargs):
        if seen.get("inside"):
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
            if attn_mask is not None:
                scores = (
                    scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
                )
            seen["map"] = scores.softmax(-1).mean(1)
        return original(query, key, value, attn_mask=attn_mask, **kwargs)

    module = runtime.backbone.text_attention(denoiser, 2)
    hooks = [
        module.register_forward_pre_hook(lambda *_: seen.update(inside=True)),
        module.register_forward_hook(lambda *_: seen.update(inside=False)),
    ]
    try:
        torch.nn.functional.scaled_dot_product_attention = spy
        denoiser(**call)
    finally:
        torch.nn.functional.scaled_dot_product_attention = original
        for hook in hooks:
            hook.remove()
    targets = targets_of(runtime)
    guide = Guide(runtime.pipe, runtime.backbone, GuideConfig(blocks=(2,), mode="latents"), targets, adapter=None)
    maps = guide.attention(call)[2]
    L = maps.shape[-1]
    grid = runtime.backbone.grid(denoiser, call)
    assert grid[0] * grid[1] * grid[2] == L and grid == tuple(targets.mass.shape[1:])
    text = call["encoder_hidden_states"].shape[1]
    queries = seen["map"].shape[1]  # the video's begin behind the text's, or behind those of a reference picture
    first = {"cogvideox": text, "qwen-image": text, "wan-vace": queries - L}.get(runtime.backbone.family, 0)
    keys = L if runtime.backbone.family in ("hunyuan", "hunyuan1.5") else 0  # where the text's keys begin
    whole = [seen["map"][:, first : first + L, [keys + t for t in tokens]].mean(-1) for tokens in targets.phrases]
    expected, weights = torch.stack(whole, 1), torch.randn(maps.shape)
    assert torch.allclose(maps, expected, atol=1e-5)
    wanted, got = (torch.autograd.grad((m * weights).sum(), latents)[0] for m in (expected, maps))
    assert wanted.abs().max() > 0 and torch.allclose(wanted, got, atol=1e-4 * float(wanted.abs().max()))


def test_phrases_are_found_where_the_text_encoder_reads_them(runtime):
    """The ids that the pipeline gives its text encoder, at the spans, are those of the phrases."""
    pipe, ids = runtime.pipe, []
    hook = pipe.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: ids.append(args[0] if args else kwargs["input_ids"]), with_kwargs=True
    )
    sample(runtime)
    hook.remove()
    call = conditional_call(runtime)
    read = next(i for i in ids if (i == pipe.tokenizer.convert_tokens_to_ids("ball")).any())[0]
    if runtime.backbone.family in ("hunyuan", "hunyuan1.5", "qwen-image"):  # whose pipelines cut the template off
        read = read[len(read) - call["encoder_hidden_states"].shape[1] :]
    spans = phrase_spans(LAYOUT, *runtime.backbone.tokens(pipe, PROMPT, runtime.toy.length))
    assert [pipe.tokenizer.convert_ids_to_tokens(read[list(span)].tolist()) for span in spans] == [
        ["red", "ball"], ["blue", "cube"],
    ]  # fmt: skip


def test_latent_times_are_the_vae_s(runtime):
    """As many as the denoiser sees, from the first frame on, in order."""
    times = runtime.backbone.latent_times(runtime.pipe, runtime.toy.frames)
    grid = runtime.backbone.grid(runtime.backbone.denoiser(runtime.pipe), conditional_call(runtime))
    assert len(times) == grid[0] and times == sorted(times) and 0 <= times[0] < 0.1
    assert 0.7 < times[-1] <= 1 or runtime.backbone.still
    with pytest.raises(ModelError, match="cannot make 16 frames") as caught:
        runtime.backbone.latent_times(runtime.pipe, 16)
    assert ("--frames 1" if runtime.backbone.still else "nearest number that it can is 17") in caught.value.hint


def test_layouts_land_right_at_any_size(runtime):
    """The centre of mass of each target is the box's, whatever the grid."""
    for size in ((64, 64), (64, 128), (96, 64)):
        targets = targets_of(runtime, size)
        _, H, W = targets.mass.shape[1:]
        mass = targets.mass[1, 0]
        x = (mass.sum(0) * (torch.arange(W) + 0.5) / W).sum()
        y = (mass.sum(1) * (torch.arange(H) + 0.5) / H).sum()
        assert (float(x), float(y)) == pytest.approx((0.25, 0.25), abs=0.06)


def test_a_size_that_it_cannot_take_names_the_nearest(runtime):
    with pytest.raises(ModelError, match="cannot make 67x64") as caught:
        runtime.backbone.token_grid(runtime.pipe, 64, 67)
    assert "64x64" in caught.value.hint


def test_the_adapter_loads_with_load_lora_weights(runtime, tmp_path):
    """From the bank's file, and exported by diffusers' and by ComfyUI's names, where that has such layers."""
    from ttom_cli.memory import MemoryBank, trade

    kept = GuideConfig(**{**vars(CONFIG), "conditional_only": False, "keep_on": True})
    _, _, state = guided(runtime, kept)
    expected, *_ = guided(runtime, kept, state=state, optimise=False)
    bank = MemoryBank(tmp_path / "bank")
    entry = bank.insert(LAYOUT, state, model="toy", guide={}, losses=[1.0, 0.5], consolidated=0, seed=0)
    files = [bank.folder / entry.file]
    for names in ("diffusers", "comfyui"):
        if names == "comfyui" and not runtime.backbone.family.startswith(("wan", "skyreels", "ltx")):
            with pytest.raises(BankError, match="ComfyUI"):
                trade.export(bank, [entry], tmp_path / "none.safetensors", names)
        else:
            files.append(tmp_path / f"{names}.safetensors")
            trade.export(bank, [entry], files[-1], names)
    denoiser = runtime.backbone.denoiser(runtime.pipe)
    for file in files:
        whole = hasattr(runtime.pipe, "load_lora_weights")  # HunyuanVideo-1.5's denoiser loads them itself
        (runtime.pipe.load_lora_weights if whole else denoiser.load_lora_adapter)(str(file))
        try:
            assert torch.allclose(sample(runtime), expected, atol=1e-4), file
        finally:
            (runtime.pipe.unload_lora_weights if whole else denoiser.unload_lora)()


def test_a_stored_adapter_that_is_used_as_it_is_is_folded_into_the_weights_and_taken_out_again(runtime, monkeypatch):
    _, _, state = guided(runtime)
    weights = {name: p.clone() for name, p in runtime.backbone.denoiser(runtime.pipe).named_parameters()}
    folded, guide, _ = guided(runtime, state=state, optimise=False)
    assert isinstance(guide.adapter, Folded)
    after = dict(runtime.backbone.denoiser(runtime.pipe).named_parameters())
    assert weights.keys() == after.keys() and all(torch.equal(weights[name], after[name]) for name in weights)
    monkeypatch.setattr("ttom_cli.guidance.guide._foldable", lambda *_: False)
    inserted, guide, _ = guided(runtime, state=state, optimise=False)
    assert isinstance(guide.adapter, Adapter)
    assert torch.allclose(folded, inserted, atol=1e-4) and not torch.allclose(folded, sample(runtime), atol=1e-3)


def test_all_of_the_loss_is_where_the_model_is(runtime, monkeypatch):
    """On another device than the CPU: an operation of two devices raises."""
    if runtime.backbone.family in ("hunyuan1.5", "ltx-condition", "wan-vace"):
        pytest.skip("what the call is given is looked into, and has no content there")

    def moved(value):
        if torch.is_tensor(value):
            return value.to("meta")
        if isinstance(value, dict):
            return {name: moved(part) for name, part in value.items()}
        return type(value)(map(moved, value)) if isinstance(value, tuple | list) else value

    call, targets = conditional_call(runtime), targets_of(runtime)
    denoiser = copy.deepcopy(runtime.backbone.denoiser(runtime.pipe)).to("meta")
    monkeypatch.setattr(type(runtime.backbone), "denoiser", lambda *_: denoiser)
    with attach(runtime.pipe, runtime.backbone, CONFIG, seed=0) as adapter:
        guide = Guide(runtime.pipe, runtime.backbone, CONFIG, targets, adapter=adapter)
        guide.loss(moved(call)).backward()
        assert {p.grad.device.type for p in adapter.parameters() if p.grad is not None} == {"meta"}


def test_consolidation_lowers_the_loss(runtime):
    config = GuideConfig(**{**vars(CONFIG), "lr": 3e-2})
    with attach(runtime.pipe, runtime.backbone, config, seed=0) as adapter:
        with Guide(
            runtime.pipe, runtime.backbone, config, targets_of(runtime), adapter=adapter, optimise=False
        ) as guide:
            sample(runtime)
        losses = guide.consolidate(16, seed=1)
    assert sum(losses[-4:]) < sum(losses[:4])


def test_arguments_that_mean_the_same_follow_and_others_are_set(runtime):
    made = settings(runtime, fps=30, more=runtime.card.sample.more, negative_prompt="")
    runtime.prepare(made)
    said = runtime.backbone.arguments(runtime.pipe, made)
    assert said.get("frame_rate") == (30 if runtime.backbone.family.startswith("ltx") else None)
    assert said.keys() <= inspect.signature(runtime.pipe.__call__).parameters.keys()
    for name, told in (("height", "cannot set height"), ("hight", "unknown argument of"), ("output_type", "unknown")):
        with pytest.raises(TTOMError, match=told):
            runtime.prepare(replace(made, more={name: 1}))


@pytest.mark.parametrize("runtime", ["hunyuan"], indirect=True)
def test_a_negative_prompt_is_not_passed_over(runtime):
    made = settings(runtime, frames=5, guidance=6.0, more={})
    with pytest.raises(ModelError, match="takes no negative prompt"):
        runtime.prepare(made)
    truly, without = replace(made, more={"true_cfg_scale": 4.0}), replace(made, negative_prompt="")
    runtime.prepare(truly)
    assert not np.array_equal(runtime.sample(PROMPT, truly, 0), runtime.sample(PROMPT, without, 0))


@pytest.mark.parametrize("runtime", ["hunyuan1.5"], indirect=True)
@pytest.mark.parametrize("prompt", [PROMPT, 'the "ball" rolls left'])
def test_the_prompt_s_columns_are_found_where_the_denoiser_puts_its_tokens(runtime, prompt):
    """It puts those of what is in quotes before them, and padding last."""
    denoiser, seen = runtime.pipe.transformer, {}

    def keep(name, value) -> None:
        seen.setdefault(name, value)

    hooks = [
        denoiser.context_embedder.register_forward_hook(lambda m, a, output: keep("words", output[0])),
        denoiser.transformer_blocks[0].register_forward_pre_hook(lambda m, a: keep("text", a[1][0])),
        denoiser.register_forward_pre_hook(lambda m, a, kwargs: keep("call", kwargs), with_kwargs=True),
    ]
    families.call(runtime.pipe, runtime.name, prompt)
    for hook in hooks:
        hook.remove()
    tokens, video = torch.arange(1, 4), 5 * 8 * 8
    columns = runtime.backbone.key_columns(tokens, video + len(seen["text"]), seen["call"]) - video
    assert columns[0] > tokens[0] if '"' in prompt else torch.equal(columns, tokens)
    assert torch.allclose(seen["text"][columns], seen["words"][tokens] + denoiser.cond_type_embed.weight[0], atol=1e-6)


def test_every_family_has_a_card_and_every_card_a_family():
    assert {card.pipeline for card in CARDS.values()} == set(FAMILIES)


def test_a_decode_that_runs_out_of_memory_is_done_again_in_tiles(runtime, monkeypatch):
    made = settings(runtime, guidance=1.0, negative_prompt="")
    plain = runtime.sample(PROMPT, made, 0)
    vae, tries = runtime.pipe.vae, []
    original = type(vae)._decode

    def once(self, *args, **kwargs):
        tries.append(vae.use_tiling)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(vae), "_decode", once)
    again = runtime.sample(PROMPT, made, 0)
    assert tries[:2] == [False, True] and plain.shape == again.shape
    assert "decode" not in vars(vae)
    vae.disable_tiling()


def test_out_of_memory_names_what_helps(runtime, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(runtime.pipe.transformer, "forward", full)
    made = settings(runtime, guidance=1.0, negative_prompt="")
    with pytest.raises(ModelError, match="out of memory: tried to allocate 9 GiB") as caught:
        runtime.sample(PROMPT, made, 0)
    assert "--dtype bfloat16" in caught.value.hint


@pytest.mark.parametrize("checkpointing", ["blocks", "parts"])
def test_checkpointing_changes_memory_and_nothing_else(runtime, checkpointing):
    """Same losses, same adapter, and fewer tensors are kept for the backward."""

    def kept_bytes(config):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
            latents, guide, state = guided(runtime, config)
        return sum(kept), guide.losses, state, latents

    config = GuideConfig(**{**vars(CONFIG), "blocks": (2,)})
    whole, losses, state, latents = kept_bytes(config)
    less, *again = kept_bytes(GuideConfig(**{**vars(config), "checkpointing": checkpointing}))
    assert less < whole
    assert again[0] == losses and torch.equal(again[2], latents)
    assert all(torch.equal(again[1][name], state[name]) for name in state)


def test_attentions_are_not_computed_again_in_the_backward_pass(runtime):
    """As often as without checkpointing."""
    seen = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    def attentions(checkpointing):
        seen.clear()
        config = replace(CONFIG, blocks=(2,), steps=1, iterations=1, checkpointing=checkpointing)
        with Count():
            guided(runtime, config)
        return sum(func is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default for func in seen)

    assert 0 < attentions("none") == attentions("parts")


@pytest.mark.parametrize("offload", ["model", "group"])
def test_offloading_and_guidance_work_together(runtime, tmp_path, offload):
    """On the CPU nothing is moved, but every hook is there and called."""
    runtime.pipe.save_pretrained(tmp_path / "copy")
    other = Runtime.open(str(tmp_path / "copy"), load=LoadConfig(device="cpu"))
    other.name, other.toy = runtime.name, runtime.toy
    place(other.pipe, other.backbone, LoadConfig(device="cpu", offload=offload), resident=CONFIG.reach)
    hooked = [
        hasattr(other.backbone.block(other.backbone.denoiser(other.pipe), b), "_diffusers_hook")
        for b in range(other.backbone.blocks(other.backbone.denoiser(other.pipe)))
    ]
    assert hooked == [offload == "group" and b >= CONFIG.reach for b in range(len(hooked))]
    (latents, guide, _), (expected, plain, _) = guided(other), guided(runtime)
    assert guide.losses[0] == pytest.approx(plain.losses[0], abs=1e-5)
    assert torch.allclose(latents, expected, atol=1e-3)
    assert torch.allclose(sample(other), sample(runtime), atol=1e-3)


@pytest.fixture
def compiled(runtime, tmp_path, monkeypatch):
    """The same model with its blocks compiled; traced and differentiated as ever, but no machine code is made."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    runtime.pipe.save_pretrained(tmp_path / "copy")
    made = Runtime.open(str(tmp_path / "copy"), load=LoadConfig(device="cpu", compile=True), guide=CONFIG)
    made.name, made.toy = runtime.name, runtime.toy
    vars(made.pipe).update(made.toy.own)
    return made


SOME = ("wan2.1", "cogvideox")
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in families.FAMILIES if name not in SOME]


@pytest.mark.parametrize("runtime", [*SOME, *OTHERS], indirect=True)
def test_compiled_blocks_and_guidance_work_together(runtime, compiled):
    """All that steers does what it does without, also what changes attentions in blocks that are compiled."""
    plain, frames = sample(runtime), torch._dynamo.utils.counters["frames"]
    assert torch.allclose(sample(compiled), plain, atol=1e-4) and frames["ok"] > 0
    for mode in ("attention", "params", "attention+latents+params"):
        config = replace(CONFIG, mode=mode, latent_lr=0.2, checkpointing="blocks")
        (latents, guide, _), (expected, other, _) = guided(compiled, config), guided(runtime, config)
        assert not torch.allclose(expected, plain, atol=1e-2)
        assert torch.allclose(latents, expected, atol=1e-3)
        assert guide.losses == [pytest.approx(step, abs=1e-5) for step in other.losses]
    assert torch.allclose(sample(compiled), plain, atol=1e-4)
    assert frames["total"] == frames["ok"] <= 3  # a guide that comes and goes is no reason to compile anew


def test_another_attention_backend_for_what_is_not_read(runtime):
    """The attention that is read is PyTorch's own while it is, and the rest is the backend's."""
    if runtime.backbone.family == "cogvideox":
        pytest.skip("its processor calls PyTorch's attention itself")
    denoiser, seen = runtime.backbone.denoiser(runtime.pipe), {0: set(), 2: set()}
    hooks = [
        runtime.backbone.text_attention(denoiser, b).register_forward_hook(
            lambda module, args, output, b=b: seen[b].add(module.processor._attention_backend), always_call=True
        )
        for b in seen
    ]
    denoiser.set_attention_backend("_native_math")
    try:
        _, guide, _ = guided(runtime, GuideConfig(**{**vars(CONFIG), "blocks": (2,)}), truncate=False)
    finally:
        denoiser.set_attention_backend("native")
        for hook in hooks:
            hook.remove()
    assert seen == {0: {"_native_math"}, 2: {"native", "_native_math"}}
    assert guide.losses[0][-1] < guide.losses[0][0]
