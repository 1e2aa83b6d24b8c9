import pytest
import torch
import torch.nn.functional as F

from ttom_cli.bench.speed import LiveBytes
from ttom_cli.guidance.tap import Tap, Truncated, phrase_attention

PHRASES = [torch.tensor([1, 5]), torch.tensor([6])]


def naive(query, key, mask=None):
    """The full map, then the mean over each phrase's columns: (B, N, P, L)."""
    scores = torch.einsum("bnld,bnsd->bnls", query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return torch.stack([scores.softmax(-1)[..., columns].mean(-1) for columns in PHRASES], 2)


@pytest.mark.parametrize("masked", ["not", "out", "down"])
@pytest.mark.parametrize("joint", [False, True], ids=["cross", "joint"])
def test_phrase_attention_and_its_gradients_are_those_of_the_full_softmax(joint, masked):
    """Of queries that are no keys, and of queries and keys that are the same tokens."""
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 50, 8, requires_grad=True), torch.randn(2, 3, 17, 8, requires_grad=True)
    mask = {"not": None, "out": torch.rand(2, 1, 1, 17) < 0.7, "down": -torch.rand(2, 1, 1, 17)}[masked]
    if joint:
        query, key = query[:, :, :17], key + query[:, :, :17]
    leaves = [tensor for tensor in (query, key) if tensor.requires_grad]
    weights = torch.randn(2, 3, 2, query.shape[2])
    expected, heads = naive(query, key, mask), phrase_attention(query, key, PHRASES, mask, heads=True)
    assert torch.allclose(heads, expected, atol=1e-6)
    assert torch.allclose(phrase_attention(query, key, PHRASES, mask), expected.mean(1), atol=1e-6)
    wanted, got = (torch.autograd.grad((m * weights).sum(), leaves, retain_graph=True) for m in (expected, heads))
    for a, b in zip(wanted, got, strict=True):
        assert a.abs().max() > 0.01 and torch.allclose(a, b, atol=1e-5)


def test_more_phrases_than_a_head_has_dimensions():
    query, key = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 9, 4)
    maps = phrase_attention(query, key, [torch.tensor([s]) for s in range(9)])
    assert torch.allclose(maps, (query @ key.mT).softmax(-1).mean(1).mT, atol=1e-6)


def test_the_map_is_never_held():
    """Nothing that is made on the way, forwards or backwards, is as large as a tenth of it."""
    query, key = (torch.randn(1, 2, 2048, 8, requires_grad=True) for _ in range(2))
    with LiveBytes() as live:
        phrase_attention(query, key, PHRASES).sum().backward()
    assert live.peak < 2 * 2048 * 2048 * 4 / 10


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
