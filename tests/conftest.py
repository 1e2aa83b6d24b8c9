"""Shared parts: a bank of its own for every test, no network beyond loopback, and a toy pipeline."""

import os
import socket

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """The bank, the cache and the working directory are the test's own; only loopback can be reached."""
    monkeypatch.setenv("TTOM_BANK", str(tmp_path / "bank"))
    monkeypatch.setenv("TTOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    connect = socket.socket.connect

    def loopback_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests must not reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback_only)


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory):
    """An untrained pipeline of the embedded model's classes, smaller still, in diffusers' layout."""
    import torch
    from diffusers import WanTransformer3DModel

    from ttom_cli.shapes import networks

    torch.manual_seed(0)
    tokenizer, family = networks.build_tokenizer(), networks.Wan()
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=networks.LATENT_CHANNELS,
        out_channels=networks.LATENT_CHANNELS, text_dim=networks.TEXT_DIM, freq_dim=32, ffn_dim=64, num_layers=4,
        cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("toy")
    family.save(
        folder, vae=family.vae(), transformer=transformer, tokenizer=tokenizer,
        text_encoder=family.text_encoder(len(tokenizer)),
    )  # fmt: skip
    return folder


@pytest.fixture
def toy(toy_folder):
    from ttom_cli.catalog import find_card
    from ttom_cli.config import LoadConfig
    from ttom_cli.runtime import Runtime

    assert find_card(str(toy_folder)).source == str(toy_folder)
    return Runtime.open(str(toy_folder), load=LoadConfig(device="cpu"))


@pytest.fixture(scope="session")
def shapes():
    """The embedded model and its detector, loaded once."""
    from ttom_cli.config import CheckConfig, LoadConfig
    from ttom_cli.runtime import Runtime

    return Runtime.open("shapes", load=LoadConfig(device="cpu"), check=CheckConfig())


@pytest.fixture
def layout():
    from ttom_cli.layout import layout_from_json

    return layout_from_json(
        {
            "prompt": "a red ball rolls right while a blue cube rises",
            "scene": "<object A> rolls right while <object B> rises",
            "objects": [
                {"phrase": "red ball", "boxes": [{"t": 0, "box": [0, 0, 0.4, 0.4]}, {"t": 1, "box": [0.6, 0, 1, 0.4]}]},
                {
                    "phrase": "blue cube",
                    "boxes": [{"t": 0, "box": [0, 0.6, 0.4, 1]}, {"t": 1, "box": [0, 0.3, 0.4, 0.7]}],
                },
            ],
        }
    )


@pytest.fixture
def server(monkeypatch):
    """A language model's endpoint on loopback; the key is the test's own."""
    import llm_server

    from ttom_cli.commands import inputs

    monkeypatch.setenv("OPENAI_API_KEY", llm_server.SECRET)
    inputs._planner.cache_clear()  # an earlier test's server may have had the same port
    made = llm_server.Server()
    yield made
    made.http.shutdown()
    made.http.server_close()
