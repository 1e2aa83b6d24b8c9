import pytest
import torch
import torch.nn.functional as F

from ttom_cli.guidance import tap
from ttom_cli.guidance.tap import Tap, Truncated, phrase_attention


def naive(query, key, columns):
    """The full map, then the columns: (B, L, T)."""
    scores = torch.einsum("bnld,bnsd->bnls", query, key)
    return scores.softmax(-1)[..., columns].mean(1)


def test_phrase_attention_equals_the_full_softmax():
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 50, 8), torch.randn(2, 3, 17, 8)
    columns = torch.tensor([1, 5, 6])
    assert torch.allclose(phrase_attention(query, key, columns), naive(query, key, columns), atol=1e-6)


def test_chunks_change_neither_values_nor_gradients(monkeypatch):
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 40, 8, requires_grad=True), torch.randn(1, 2, 9, 8, requires_grad=True)
    columns = torch.tensor([0, 4])
    whole = phrase_attention(query, key, columns)
    expected = torch.autograd.grad(whole.square().sum(), (query, key))
    monkeypatch.setattr(tap, "CHUNK_ELEMENTS", 2 * 9 * 7)  # seven rows at a time
    chunked = phrase_attention(query, key, columns)
    assert torch.allclose(whole, chunked, atol=1e-6)
    for a, b in zip(expected, torch.autograd.grad(chunked.square().sum(), (query, key)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


class Attention(torch.nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Attention() for _ in range(3)])
        self.ran = []

    def forward(self, x):
        for i, block in enumerate(self.blocks):
            x = block(x)
            self.ran.append(i)
        return x


def test_tap_reads_the_named_modules_and_leaves_no_hook():
    model, seen = Model(), []
    x = torch.randn(1, 2, 5, 4)
    plain = model(x)
    with Tap({2: model.blocks[2], 0: model.blocks[0]}, lambda *read: seen.append(read), truncate=False):
        tapped = model(x)
    assert torch.equal(plain, tapped)
    assert [name for name, *_ in seen] == [0, 2]
    assert torch.equal(seen[0][1], x * 4**-0.5) and torch.equal(seen[0][2], x)
    assert not any(block._forward_pre_hooks for block in model.blocks)


def test_truncation_ends_the_forward_after_the_last_tapped_module():
    model = Model()
    with pytest.raises(Truncated), Tap({1: model.blocks[1]}, lambda *read: None):
        model(torch.randn(1, 2, 5, 4))
    assert model.ran == [0]
    assert not any(block._forward_pre_hooks for block in model.blocks)
