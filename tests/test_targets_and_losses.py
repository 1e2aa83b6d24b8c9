"""The maths, against numbers worked out by hand."""

import math

import pytest
import torch

from ttom_cli.guidance.losses import alignment_loss, jsd, l2, normalise
from ttom_cli.guidance.targets import Targets, covered, gaussian_mass, gaussian_targets
from ttom_cli.layout import layout_from_json


def test_jsd_by_hand():
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    m = (0.75, 0.25)
    kl_p = 0.5 * math.log(0.5 / m[0]) + 0.5 * math.log(0.5 / m[1])
    kl_q = math.log(1 / m[0])
    assert jsd(p, q).item() == pytest.approx((kl_p + kl_q) / 2, abs=1e-6)
    assert jsd(p, p).item() == pytest.approx(0, abs=1e-6)
    apart = jsd(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert apart.item() == pytest.approx(math.log(2), abs=1e-5)


def test_l2_by_hand():
    assert l2(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0.5)


def test_normalise_makes_each_frame_a_distribution():
    maps = torch.rand(2, 3, 4, 5)
    assert torch.allclose(normalise(maps).sum((-1, -2)), torch.ones(2, 3), atol=1e-5)


def test_gaussian_mass_is_the_integral_over_each_cell():
    box = (0.2, 0.3, 0.6, 0.5)  # centre (0.4, 0.4), sigma (0.1, 0.05)
    mass = gaussian_mass(box, (10, 10))

    def cdf(x):
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    row = cdf((0.5 - 0.4) / 0.05) - cdf((0.4 - 0.4) / 0.05)
    column = cdf((0.4 - 0.4) / 0.1) - cdf((0.3 - 0.4) / 0.1)
    assert mass[4, 3].item() == pytest.approx(row * column, abs=1e-6)
    assert mass.sum().item() == pytest.approx(1, abs=1e-3)
    assert mass.shape == (10, 10)


def test_a_box_beyond_the_frame_counts_by_its_visible_part():
    assert torch.equal(gaussian_mass((-0.4, 0, 0.4, 1), (8, 8)), gaussian_mass((0, 0, 0.4, 1), (8, 8)))
    assert gaussian_mass((1.1, 0, 1.4, 1), (8, 8)).sum() == 0


def test_targets_follow_the_boxes_and_share_rows_by_phrase():
    layout = layout_from_json(
        {
            "prompt": "two dogs and a cat",
            "objects": [
                {"phrase": "dogs", "boxes": [{"t": 0, "box": [0, 0, 0.2, 0.2]}]},
                {"phrase": "dogs", "boxes": [{"t": 0, "box": [0.8, 0.8, 1, 1]}]},
                {"phrase": "cat", "boxes": [{"t": 0.5, "box": [0, 0.8, 0.2, 1]}, {"t": 1, "box": [0.8, 0.8, 1, 1]}]},
            ],
        }
    )
    targets = gaussian_targets(layout, [(1,), (1,), (4,)], [0.0, 0.5, 1.0], (10, 10))
    assert targets.phrases == ((1,), (4,))
    assert targets.present.tolist() == [[True, True, True], [False, True, True]]
    dogs, cat = targets.mass
    assert dogs.sum((-1, -2)).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert dogs[0, :5, :5].sum().item() == pytest.approx(0.5, abs=1e-3)
    assert cat[0].sum() == 0
    assert cat[1, 5:, :5].sum().item() == pytest.approx(1, abs=1e-3)
    assert cat[2, 5:, 5:].sum().item() == pytest.approx(1, abs=1e-3)


def test_loss_is_the_mean_over_present_frames_alone():
    q = torch.zeros(1, 2, 1, 2)
    q[0, :, 0, 0] = 1
    targets = Targets(q, torch.tensor([[True, False]]), q, ((0,),))
    maps = torch.tensor([0.5, 0.5, 0.0, 3.0]).view(1, 2, 1, 2)
    expected = jsd(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])).item()
    assert alignment_loss(maps, targets, "jsd").item() == pytest.approx(expected, abs=1e-6)


def test_inside_is_the_share_of_a_cell_that_a_box_covers():
    inside = covered((0.125, 0.0, 0.75, 0.5), (2, 4))
    assert inside.tolist() == [[0.5, 1.0, 1.0, 0.0], [0.0] * 4]
    assert covered((-0.5, -1.0, 0.25, 2.0), (1, 4)).tolist() == [[1.0, 0.0, 0.0, 0.0]]
