"""Norm, ReLU and pooling in torch, by hand; the derivatives are in `test_block`."""

import pytest
import torch

from mamlprobe.nets.fast import norm_relu_pool as cells


def test_the_first_of_equals_wins_where_the_scale_is_negative_or_zero_too():
    """One cell of four equal activities beside one whose extremes lie apart, by hand."""
    y = torch.tensor([[2.0, 2.0, 1.0, 7.0], [2.0, 2.0, 7.0, 1.0]]).reshape(1, 1, 2, 4, 1)
    for scale, values, places in ((2.0, [2, 7], [0, 3]), (-2.0, [2, 1], [0, 2]), (0.0, [2, 1], [0, 2])):
        one = torch.ones(1, 1)
        _, _, saved = cells.forward(y, 0 * one, scale * one, one, cells.Kind(2, False))
        assert saved.which.flatten().tolist() == places
        torch.testing.assert_close(saved.off.flatten() + saved.mean.flatten(), torch.tensor(values).float())


@pytest.mark.parametrize("mean", [0.0, 1e2])
def test_moments_hold_far_from_zero(mean):
    """In float32, against float64."""
    s = mean + torch.randn(2, 5, 20, 20, 3, generator=torch.Generator().manual_seed(0))
    _, var, saved = cells.forward(s, *torch.ones(3, 1, 3), cells.Kind(1, False))
    torch.testing.assert_close(saved.mean.double(), s.double().mean((1, 2, 3)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(var.double(), s.double().var((1, 2, 3), correction=0), rtol=1e-4, atol=0)
