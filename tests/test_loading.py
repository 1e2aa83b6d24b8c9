"""How a model is held in memory, and what guidance costs."""

import io
import json
import math
import shutil
from pathlib import Path

import families
import numpy as np
import pytest
import sentencepiece
import torch

from ttom_cli.bench.sizes import SIZES, real_size
from ttom_cli.catalog import CARDS, find_card
from ttom_cli.cli import main
from ttom_cli.config import GuideConfig, LoadConfig, MemoryConfig
from ttom_cli.errors import ModelError
from ttom_cli.generate import generate
from ttom_cli.guidance.guide import Guide, attach
from ttom_cli.guidance.spans import phrase_spans
from ttom_cli.guidance.targets import Targets
from ttom_cli.jobs import Job
from ttom_cli.runtime import Runtime, find_variant

GUIDE = GuideConfig(blocks=(1, 2), rank=4, lr=1e-2, steps=2, iterations=3)


def job(layout, guide=GUIDE):
    from ttom_cli.config import SampleConfig

    sample = SampleConfig(
        height=64, width=64, frames=13, fps=8, steps=3, guidance_scale=3.0, max_sequence_length=64, enlarge=1
    )
    return Job(
        layout=layout, seed=0, path=Path("a.mp4"), sample=sample, guide=guide, memory=MemoryConfig(enabled=False)
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--offload", "model", "--device", "cpu"], "--offload needs a GPU"),
        (["--offload", "stream", "--device", "cpu"], "--offload needs a GPU"),
        (["--offload", "disk"], "unknown offload 'disk'"),
        (["--quantize", "int4"], "unknown quantize 'int4'"),
        (["--dtype", "float8"], "unknown dtype 'float8'"),
        (["--attention-backend", "magic", "--device", "cpu"], "unknown attention backend 'magic'"),
    ],
)
def test_what_cannot_be_loaded_so_is_said(capsys, args, said):
    assert main(["generate", "a red ball", *args]) == (2 if said.startswith("unknown") and "backend" not in said else 1)
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_guidance_through_quantised_weights(toy_folder, layout, kind):
    runtime = Runtime.open(str(toy_folder), load=LoadConfig(device="cpu", quantize=kind))
    weight = runtime.pipe.transformer.blocks[0].attn2.to_q.weight
    assert weight.dtype in (torch.int8, torch.uint8)
    losses = generate(runtime, job(layout)).losses
    assert losses[0][-1] < losses[0][0]
    plain = generate(Runtime.open(str(toy_folder), load=LoadConfig(device="cpu")), job(layout)).losses
    assert losses[0][0] == pytest.approx(plain[0][0], abs=0.05)


def test_quantising_without_its_library_says_what_to_install(toy_folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(ModelError, match="needs bitsandbytes") as caught:
        Runtime.open(str(toy_folder), load=LoadConfig(device="cpu", quantize="nf4"))
    assert "ttom-cli[quantize]" in caught.value.hint


def test_names_of_dtypes_and_wan_s_vae_in_float32(toy_folder):
    """As diffusers advises for Wan."""
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)):
        runtime = Runtime.open(str(toy_folder), load=LoadConfig(device="cpu", dtype=name))
        parts = runtime.pipe.transformer.dtype, runtime.pipe.text_encoder.dtype, runtime.pipe.vae.dtype
        assert parts == (dtype, dtype, torch.float32) and runtime.load.dtype == str(dtype).removeprefix("torch.")
    assert np.isfinite(runtime.sample("a red ball", job(None).sample, 0)).all()


def test_weights_of_one_variant_alone_are_found(toy_folder, tmp_path):
    from diffusers import DiffusionPipeline

    DiffusionPipeline.from_pretrained(toy_folder).save_pretrained(tmp_path / "half", variant="fp16")
    assert (tmp_path / "half" / "transformer" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    found = Runtime.open(str(tmp_path / "half"), load=LoadConfig(device="cpu"))
    plain = Runtime.open(str(toy_folder), load=LoadConfig(device="cpu"))
    for one, other in zip(found.pipe.transformer.parameters(), plain.pipe.transformer.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (find_variant(tmp_path / "half"), find_variant(toy_folder)) == ("fp16", None)
    with pytest.raises(ModelError, match="cannot load"):
        Runtime.open(str(tmp_path / "half"), load=LoadConfig(device="cpu", variant="bf16"))


def test_tiling_is_on_from_the_start(toy_folder):
    assert Runtime.open(str(toy_folder), load=LoadConfig(device="cpu", tiling=True)).pipe.vae.use_tiling


def test_a_guide_beyond_the_resident_blocks_is_refused(toy, layout):
    toy.resident = 2
    with pytest.raises(ModelError, match="needs block 2"):
        generate(toy, job(layout))
    generate(toy, job(layout, GuideConfig(mode="off")))


def test_a_tokenizer_that_is_a_sentencepiece_model_alone(tmp_path, layout):
    """As CogVideoX's repositories have it: `spiece.model`, and no tokenizer.json."""
    families.build("cogvideox").save_pretrained(tmp_path / "cog")
    words, trained = tmp_path / "cog" / "tokenizer", io.BytesIO()
    sentences = [" ".join(families.WORDS[i:] + families.WORDS[:i]) for i in range(len(families.WORDS))] * 3
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=trained, vocab_size=60, hard_vocab_limit=False, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    shutil.rmtree(words)
    words.mkdir()
    (words / "spiece.model").write_bytes(trained.getvalue())
    (words / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0}))
    index = tmp_path / "cog" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"tokenizer": ["transformers", "T5Tokenizer"]}))
    runtime = Runtime.open(str(tmp_path / "cog"), load=LoadConfig(device="cpu"))
    read, tokens = runtime.pipe.tokenizer, runtime.backbone.tokens(runtime.pipe, layout.text, 226)
    ids = read(layout.text).input_ids
    said = [read.decode([ids[i] for i in span]).strip() for span in phrase_spans(layout, *tokens)]
    assert said == ["red ball", "blue cube"]


# ---------------------------------------------------------------- ttom bench speed


def test_speed_stands_side_by_side(toy_folder, capsys):
    assert main(["bench", "speed", "--model", str(toy_folder), "--repeats", "1", "--json", "--device", "cpu",
                 "--size", "64x64", "--frames", "13", "--steps", "6"]) == 0  # fmt: skip
    (table,) = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == ["plain", "attention", "hit, skip", "cold, params", "the reference's way"]
    assert rows["plain"]["times plain"] == 1 and all(row["peak MB"] > 0 for row in rows.values())
    assert rows["the reference's way"]["peak MB"] > rows["hit, skip"]["peak MB"]


@pytest.mark.parametrize(("model", "most"), [("wan2.1-14b", 0.1), ("cogvideox-5b", 0.35)])
def test_operations_at_real_size(model, most, capsys):
    """Counted, not timed: the same on any machine."""
    assert main(["bench", "speed", "--model", model, "--count", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    over, peak = ({row["name"]: row[column] for row in table["rows"]} for column in ("overhead", "peak"))
    cold = "cold, params"
    assert 0 < over[cold] <= most and over[cold] <= over["the reference's way"] / 2
    assert 0 <= over["hit, skip"] <= 0.01 and 0 < over["attention"] <= 0.005
    assert 1 <= peak["hit, skip"] <= peak[cold] <= 1.08 and peak[cold] <= peak["the reference's way"]


@pytest.mark.parametrize(
    "name",
    [
        "wan2.1-i2v-14b-480p", "wan2.2-i2v-5b", "skyreels-v2-14b-540p", "ltx-video-0.9.7-13b", "hunyuanvideo1.5-480p",
        "qwen-image",
    ],
)  # fmt: skip
def test_real_sizes_have_the_model_s_parameters_and_are_guided(name):
    """And the guide finds as many video tokens as there are."""
    card, real = CARDS[name], real_size(CARDS[name])
    denoiser, grid = real.pipe.transformer, real.backbone.grid(real.pipe.transformer, real.call)
    assert round(sum(p.numel() for p in denoiser.parameters()) / 1e9) == int(card.parameters.split()[0])
    targets = Targets(torch.empty(2, *grid), torch.empty(2, grid[0]), torch.empty(2, *grid), ((1, 2), (5, 6)))
    with attach(real.pipe, real.backbone, card.guide, seed=0) as adapter:
        guide = Guide(real.pipe, real.backbone, card.guide, targets, adapter=adapter)
        maps = guide.attention(real.call)
    assert {m.shape[-1] for m in maps.values()} == {math.prod(grid)}


def test_every_model_s_cost_can_be_counted():
    assert set(SIZES) == {name for name, card in CARDS.items() if not card.embedded}


def test_live_bytes_are_counted_and_let_go():
    from ttom_cli.bench.speed import LiveBytes

    with LiveBytes() as live:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b.view(10, 100)
    assert live.peak == 8000 and live.now == 4000
    del b, c
    assert live.now == 0


def test_a_model_saved_again_takes_the_settings_of_the_embedded_one(tmp_path):
    """And so does one that was trained anew: the configuration is the same but for who wrote it."""
    ours = CARDS["shapes-cog"]
    shutil.copytree(ours.source, tmp_path / "mine")
    config = tmp_path / "mine" / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_diffusers_version": "9", "_name_or_path": "x"}))
    card = find_card(str(tmp_path / "mine"))
    assert (card.guide, card.sample) == (ours.guide, ours.sample) and not card.embedded
