import json

import pytest
import torch

from ttom_cli.generate import Job
from ttom_cli.probe import coverage, probe, soft_iou


def test_coverage_is_the_covered_share_of_each_cell():
    cells = coverage((0.25, 0.0, 0.75, 0.5), (2, 2))
    assert cells.tolist() == [[pytest.approx(0.5)] * 2, [0.0, 0.0]]


def test_soft_iou_by_hand():
    mask = torch.tensor([[1.0, 0.0]]).view(1, 1, 1, 2)
    assert soft_iou(mask.clone(), mask) == pytest.approx(1)
    assert soft_iou(1 - mask, mask) == pytest.approx(0)
    # A = (1, .5, 0) against M = (1, 0, 0): 1 / (1 + .5) = 2/3
    a, m = torch.tensor([2.0, 1.5, 1.0]).view(1, 1, 1, 3), torch.tensor([1.0, 0, 0]).view(1, 1, 1, 3)
    assert soft_iou(a, m) == pytest.approx(2 / 3)


def test_probe_scores_every_block_and_leaves_no_trace(toy, layout, tmp_path):
    from dataclasses import replace

    sample = replace(toy.card.sample, height=64, width=64, frames=13, steps=4, max_sequence_length=64)
    jobs = [Job(layout=layout, seed=s, path=tmp_path, sample=sample, guide=toy.card.guide, memory=None) for s in (0, 1)]
    scores = probe(toy, jobs)
    assert [s.block for s in scores] == [0, 1, 2, 3]
    assert all(0 < s.mean < 1 and s.interval >= 0 for s in scores)
    assert not toy.pipe.transformer._forward_pre_hooks


def test_the_command_ranks_the_blocks(capsys):
    from ttom_cli.__main__ import main

    assert main(["probe", "a red ball rolls right", "--json"]) == 0
    assert [row["block"] for row in json.loads(capsys.readouterr().out)] == list(range(6))
