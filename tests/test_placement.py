"""Where a model's parts wait, and what of it is compiled."""

from dataclasses import replace
from pathlib import Path

import families
import pytest
import torch
from diffusers.hooks.group_offloading import ModuleGroup, apply_group_offloading

from ttom_cli.config import GuideConfig, LoadConfig, MemoryConfig, SampleConfig
from ttom_cli.errors import ModelError
from ttom_cli.generate import generate
from ttom_cli.jobs import Job
from ttom_cli.memory import MemoryBank
from ttom_cli.placement import check_placement, fetch_ahead, place
from ttom_cli.recipe import replay_job
from ttom_cli.runtime import Runtime
from ttom_cli.video import read_recipe

GUIDE = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=1, iterations=2)
SAMPLE = SampleConfig(height=64, width=64, frames=5, fps=8, steps=2, guidance_scale=3.0, max_sequence_length=64)


def opened(folder, *, bank=None, guide=GUIDE, **load):
    return Runtime.open(str(folder), bank=bank, guide=guide, load=LoadConfig(device="cpu", **load))


def job(layout, path="a.mp4"):
    return Job(layout=layout, seed=0, path=Path(path), sample=SAMPLE, guide=GUIDE, memory=MemoryConfig())


def test_streams_where_there_are_none_are_refused_before_anything_is_loaded():
    check_placement(LoadConfig(device="cuda", offload="stream"))
    for load, said in (
        (LoadConfig(device="mps", offload="stream"), "needs CUDA's streams, and mps has none"),
        (LoadConfig(device="cpu", offload="stream"), "needs a GPU"),
        (LoadConfig(device="cuda", offload="stream", quantize="nf4"), "--offload stream and --quantize"),
    ):
        with pytest.raises(ModelError, match=said):
            check_placement(load)


def test_diffusers_is_asked_for_streams(toy):
    """Which it has none of on a CPU."""
    with pytest.raises(ValueError, match="Using streams for data transfer"):
        place(toy.pipe, toy.backbone, LoadConfig(device="cpu", offload="stream"), resident=2)


def test_a_block_s_weights_come_while_the_one_before_computes(toy, monkeypatch):
    """Those of all but the first. Here nothing is moved, so that what is off the device looks as what is on it, and so
    each also comes when it runs; but every hook is there and called."""
    plain = toy.sample("a red ball", SAMPLE, 0)
    blocks, seen = list(toy.pipe.transformer.blocks)[1:], []
    names, onload = {block: f"block {i}" for i, block in enumerate(blocks)}, ModuleGroup.onload_

    def come(group):
        seen.append(f"{names[group.modules[0]]} comes")
        onload(group)

    monkeypatch.setattr(ModuleGroup, "onload_", come)
    for block in blocks:
        block.norm1.register_forward_hook(lambda *_, block=block: seen.append(f"{names[block]} runs"))
    tail = torch.nn.Module()
    tail.blocks = torch.nn.ModuleList(blocks)
    apply_group_offloading(tail, torch.device("cpu"), num_blocks_per_group=1)
    fetch_ahead(blocks)
    assert (toy.sample("a red ball", SAMPLE, 0) == plain).all()
    first = ["block 0 comes", "block 1 comes", "block 0 runs"]
    call = [*first, "block 1 comes", "block 2 comes", "block 1 runs", "block 2 comes", "block 2 runs"]
    assert seen == call * (2 * SAMPLE.steps)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pin", [True, False])
def test_streams_change_nothing_but_the_time(toy_folder, layout, pin):
    made = []
    for offload in ("none", "stream"):
        load = LoadConfig(device="cuda", dtype="float32", offload=offload, pin=pin)
        runtime = Runtime.open(str(toy_folder), load=load, guide=GUIDE)
        made.append(generate(runtime, job(layout)))
        waits = runtime.pipe.transformer.blocks[3].attn1.to_q.weight
        assert waits.device.type == ("cpu" if offload == "stream" else "cuda")
        assert offload == "none" or waits.is_pinned() == pin
    assert made[0].losses == [pytest.approx(step, abs=1e-4) for step in made[1].losses]
    assert abs(made[0].frames.astype(int) - made[1].frames).max() <= 2


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without machine code."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile_(function, backend="aot_eager"))


def test_what_was_learnt_is_of_use_compiled_or_not(toy_folder, layout, tmp_path, traced):
    bank = MemoryBank(tmp_path / "bank")
    assert generate(opened(toy_folder, bank=bank, compile=True), job(layout)).memory["outcome"] == "miss"
    assert generate(opened(toy_folder, bank=bank), job(layout, "b.mp4")).memory["outcome"] == "hit"
    recipe = read_recipe(Path("a.mp4"))
    assert recipe["load"]["compile"] and replay_job(recipe, Path("c.mp4"))[1].compile
    del recipe["load"]["compile"], recipe["load"]["pin"]  # as it was written before there were these
    assert not replay_job(recipe, Path("c.mp4"))[1].compile


def test_a_guide_that_reaches_into_what_is_compiled_is_refused(toy_folder, layout, traced):
    runtime = opened(toy_folder, compile=True, guide=replace(GUIDE, blocks=(1,)))
    blocks = runtime.pipe.transformer.blocks
    assert ["forward" in vars(block) for block in blocks] == [False, False, True, True]
    with pytest.raises(ModelError, match="needs block 2, and with --compile blocks from 2 on are compiled"):
        generate(runtime, job(layout))


@pytest.mark.parametrize(
    "more",
    [{"quantize": "int8"}, {"quantize": "nf4"}, {"lora": "style"}, {"transformer": "mine.gguf"}],
)
def test_blocks_held_otherwise_and_loras_are_compiled_too(toy_folder, traced, tmp_path, more):
    if "transformer" in more:
        pytest.importorskip("gguf")
        families.write_gguf(tmp_path / "mine.gguf", opened(toy_folder).pipe.transformer.state_dict())
        more = {"transformer": str(tmp_path / "mine.gguf")}
    if "lora" in more:
        from diffusers import WanPipeline

        sizes, layer = {"A": (2, 32), "B": (32, 2)}, "blocks.3.attn2.to_q.lora_{}.weight"
        layers = {layer.format(name): torch.ones(size) for name, size in sizes.items()}
        WanPipeline.save_lora_weights(tmp_path, transformer_lora_layers=layers, weight_name="style.safetensors")
        more = {"lora": (str(tmp_path / "style.safetensors"),)}
    plain, compiled = (opened(toy_folder, compile=on, **more).sample("a ball", SAMPLE, 0) for on in (False, True))
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert abs(plain.astype(int) - compiled).max() <= 2


@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled")
def test_without_a_compiler_it_is_said(toy_folder):
    from torch._inductor import config

    torch._dynamo.reset()
    runtime = opened(toy_folder, compile=True)
    missing = config.patch({"cpp.cxx": ("/nowhere/c++",), "force_disable_caches": True})
    with missing, pytest.raises(ModelError, match=r"torch\.compile fails: ") as caught:
        runtime.sample("a ball", SAMPLE, 0)
    assert "needs a C++ compiler" in caught.value.hint and len(str(caught.value).splitlines()) == 1
