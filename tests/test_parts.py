"""A user's own LoRAs and denoiser files, with the guide beside them."""

from dataclasses import replace
from pathlib import Path

import families
import pytest
import torch
from safetensors.torch import load_file, save_file

from ttom_cli.cli import main
from ttom_cli.config import GuideConfig, LoadConfig, MemoryConfig, SampleConfig
from ttom_cli.errors import ModelError, TTOMError
from ttom_cli.generate import generate, refine
from ttom_cli.jobs import Job
from ttom_cli.memory import MemoryBank
from ttom_cli.parts import Lora
from ttom_cli.recipe import digest, replay_job
from ttom_cli.runtime import Runtime
from ttom_cli.video import read_recipe

GUIDE = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=1, iterations=2)


@pytest.fixture(scope="module")
def style(toy_folder, tmp_path_factory):
    """A LoRA's file, as diffusers saves them, on a layer that the guide adapts and on one that it does not."""
    from diffusers import WanPipeline

    def part(name, rows, columns):
        generator = torch.Generator().manual_seed(len(name))
        return {
            f"{name}.lora_A.weight": torch.randn(2, columns, generator=generator),
            f"{name}.lora_B.weight": torch.randn(rows, 2, generator=generator) / 2,
        }

    folder = tmp_path_factory.mktemp("loras")
    layers = part("blocks.0.attn2.to_q", 32, 32) | part("blocks.3.ffn.net.2", 32, 64)
    WanPipeline.save_lora_weights(folder, transformer_lora_layers=layers, weight_name="style.safetensors")
    return folder / "style.safetensors"


def opened(folder, *, bank=None, **load):
    return Runtime.open(str(folder), bank=bank, load=LoadConfig(device="cpu", **load))


def job(layout, path="a.mp4", guide=GUIDE):
    sample = SampleConfig(height=64, width=64, frames=5, fps=8, steps=2, guidance_scale=3.0, max_sequence_length=64)
    return Job(layout=layout, seed=0, path=Path(path), sample=sample, guide=guide, memory=MemoryConfig())


def test_loras_act_in_every_step_at_their_scale(toy_folder, style, layout):
    made = {}
    for scale in (None, 0, 0.5, 1):
        runtime = opened(toy_folder, **({} if scale is None else {"lora": (f"{style}:{scale}",)}))
        made[scale] = digest(generate(runtime, job(layout, guide=replace(GUIDE, mode="off"))).frames)
    assert made[None] == made[0] and len(set(made.values())) == 3
    twice = opened(toy_folder, lora=(f"{style}:0.5", str(style)))
    assert twice.pipe.get_active_adapters() == ["own0", "own1"]


def test_the_guide_works_beside_loras_and_the_memory_tells_them_apart(toy_folder, style, layout, tmp_path):
    bank = MemoryBank(tmp_path / "bank")
    runtime = opened(toy_folder, bank=bank, lora=(f"{style}:0.5",))
    plain = generate(runtime, job(layout, guide=replace(GUIDE, mode="off"))).frames
    first = generate(runtime, job(layout))
    assert first.losses[0][-1] < first.losses[0][0] and digest(first.frames) != digest(plain)
    assert digest(generate(runtime, job(layout, guide=replace(GUIDE, mode="off"))).frames) == digest(plain)
    assert generate(runtime, job(layout, "b.mp4")).memory["outcome"] == "hit"
    assert generate(opened(toy_folder, bank=bank), job(layout, "c.mp4")).memory["outcome"] == "miss"
    entry = bank.find(first.memory["entry"])
    assert entry.guide["lora"] == [f"{style}:0.5"]
    assert refine(bank, entry).memory["action"] == "continue"


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_video_with_loras_is_replayed_from_its_recipe(toy_folder, style, layout, quantize):
    runtime = opened(toy_folder, lora=(str(style),), quantize=quantize)
    outcome = generate(runtime, job(layout))
    again, load = replay_job(read_recipe(Path("a.mp4")), Path("b.mp4"))
    assert load.lora == (f"{style}:1",)
    assert digest(generate(Runtime.open(str(toy_folder), load=load), again).frames) == digest(outcome.frames)


def test_a_lora_that_has_changed_since_is_another_for_a_replay_and_for_resuming(toy_folder, style, layout, tmp_path):
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(style.read_bytes())
    generate(opened(toy_folder, lora=(str(mine),)), job(layout, guide=replace(GUIDE, mode="off")))
    asked = ["generate", "a red ball", "--model", str(toy_folder), "--size", "64x64", "--frames", "5"]
    asked += ["--steps", "2", "--guide", "off", "--no-memory", "--lora", str(mine), "--resume", "--out", "r/"]
    assert main(asked) == main(asked) == 0 and len(list(Path("r").iterdir())) == 1
    save_file({name: 2 * tensor for name, tensor in load_file(mine).items()}, mine)
    with pytest.raises(TTOMError, match=r"the LoRA .*mine\.safetensors has changed since the video was made"):
        replay_job(read_recipe(Path("a.mp4")), Path("b.mp4"))
    assert main(asked) == 0 and len(list(Path("r").iterdir())) == 2


def test_a_lora_for_a_pipeline_that_loads_none_is_refused(tmp_path, style):
    families.build("hunyuan1.5").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="diffusers loads no LoRAs onto a HunyuanVideo15Pipeline"):
        opened(tmp_path, lora=(str(style),))


@pytest.mark.parametrize("name", ["wan2.2-a14b", "cogvideox", "ltx", "hunyuan"])
def test_every_family_takes_loras(tmp_path, name):
    """Both experts of Wan2.2-A14B do."""
    pipe = families.build(name)
    pipe.save_pretrained(tmp_path / name)
    backbone = opened(tmp_path / name).backbone
    layer = f"{backbone.attention_name(pipe.transformer, 0)}.to_q"
    columns = pipe.transformer.get_submodule(layer).in_features
    rows = pipe.transformer.get_submodule(layer).out_features
    layers = {f"{layer}.lora_A.weight": torch.ones(1, columns), f"{layer}.lora_B.weight": torch.ones(rows, 1)}
    pipe.save_lora_weights(tmp_path, transformer_lora_layers=layers, weight_name="one.safetensors")
    made = opened(tmp_path / name, lora=(f"{tmp_path / 'one.safetensors'}:0.5",))
    denoisers = [p for p in (made.pipe.transformer, getattr(made.pipe, "transformer_2", None)) if p]
    assert [d.get_submodule(layer).scaling["own0"] for d in denoisers] == [0.5] * (2 if "a14b" in name else 1)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("owner/name", ("owner/name", 1.0)),
        ("owner/name.v2:0.7", ("owner/name.v2", 0.7)),
        ("owner/name/sub/file.safetensors:-1", ("owner/name/sub/file.safetensors", -1.0)),
    ],
)
def test_loras_on_the_hub(text, read):
    assert Lora.read(text) == read and Lora.read(str(Lora.read(text))) == read


@pytest.mark.parametrize("text", ["./none.safetensors", "none.safetensors:2", "folder/none.safetensors", "none"])
def test_loras_that_are_not_there(toy_folder, text):
    with pytest.raises(ModelError, match="--lora"):
        opened(toy_folder, lora=(text,))


def test_loras_of_another_model(toy_folder, tmp_path):
    for name, layer, said in (("a", "transformer.x.to_q", "cannot load"), ("b", "unet.x.to_q", "fits no layer")):
        save_file({f"{layer}.lora_{x}.weight": torch.ones(2, 2) for x in "AB"}, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelError, match=said):
            opened(toy_folder, lora=(str(tmp_path / f"{name}.safetensors"),))
    (tmp_path / "c.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match="cannot load"):
        opened(toy_folder, lora=(str(tmp_path / "c.safetensors"),))


@pytest.fixture(scope="module")
def own_weights(toy_folder):
    return load_file(toy_folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("scaled", [False, True])
def test_a_denoiser_in_fp8(toy_folder, own_weights, tmp_path, scaled):
    """As it is, and as ComfyUI's files have it: each matrix over its scale, and the scale beside it."""
    file, kept = tmp_path / "fp8.safetensors", {}
    for name, tensor in own_weights.items():
        if tensor.ndim != 2 or not name.startswith("blocks."):
            kept[name] = tensor
            continue
        scale = tensor.abs().max() / 448 if scaled else torch.tensor(1.0)
        kept[name] = (tensor / scale).to(torch.float8_e4m3fn)
        if scaled:
            kept[name.replace(".weight", ".scale_weight")] = scale
    save_file(kept | ({"scaled_fp8": torch.empty(2, dtype=torch.float8_e4m3fn)} if scaled else {}), file)
    for name, p in opened(toy_folder, transformer=str(file)).pipe.transformer.named_parameters():
        assert p.dtype == torch.float32
        assert torch.allclose(p, own_weights[name], atol=2**-4 * float(own_weights[name].abs().max())), name


def test_the_guide_works_through_a_gguf_file(toy_folder, own_weights, layout, tmp_path):
    pytest.importorskip("gguf")
    families.write_gguf(tmp_path / "mine.gguf", own_weights)
    runtime = opened(toy_folder, transformer=str(tmp_path / "mine.gguf"))
    assert runtime.pipe.transformer.blocks[0].attn2.to_q.weight.dtype == torch.uint8
    losses = generate(runtime, job(layout)).losses
    assert losses[0][-1] < losses[0][0]
    plain = generate(opened(toy_folder), job(layout, "b.mp4")).losses
    assert losses[0][0] == pytest.approx(plain[0][0], abs=0.02)


def test_gguf_without_its_library_says_what_to_install(toy_folder, tmp_path, monkeypatch):
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(ModelError, match="needs gguf") as caught:
        opened(toy_folder, transformer=str(tmp_path / "mine.gguf"))
    assert "ttom-cli[gguf]" in caught.value.hint


def test_a_denoiser_from_a_single_file(toy_folder, own_weights, layout, tmp_path):
    other = {name: tensor + 0.01 for name, tensor in own_weights.items()}
    save_file(other, tmp_path / "mine.safetensors")
    bank = MemoryBank(tmp_path / "bank")
    runtime = opened(toy_folder, bank=bank, transformer=str(tmp_path / "mine.safetensors"))
    assert all(torch.equal(p, other[name]) for name, p in runtime.pipe.transformer.named_parameters())
    more = ({"transformer": str(tmp_path / "mine.safetensors")}, {})
    half, usual = (opened(toy_folder, dtype="bf16", **m).pipe.transformer.parameters() for m in more)
    assert [p.dtype for p in half] == [p.dtype for p in usual]
    outcome = generate(runtime, job(layout))
    assert read_recipe(Path("a.mp4"))["load"]["transformer"] == str(tmp_path / "mine.safetensors")
    assert bank.find(outcome.memory["entry"]).guide["transformer"] == str(tmp_path / "mine.safetensors")
    save_file(dict(list(other.items())[1:]), tmp_path / "less.safetensors")
    for file, said in (("less", "cannot load the denoiser"), ("none", "there is no file")):
        with pytest.raises(ModelError, match=said):
            opened(toy_folder, transformer=str(tmp_path / f"{file}.safetensors"))
