"""The hard sigmoid: torch's value and slope, and a second derivative, which torch has not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.nets.operations.hard_sigmoid import hard_sigmoid

POINTS = torch.cat([torch.linspace(-5, 5, 41, dtype=torch.float64), torch.tensor([-3.0, 3.0, -2.999, 2.999]).double()])


def clamped(x: Tensor) -> Tensor:
    """The same function out of pieces that torch can differentiate twice."""
    return ((x + 3) / 6).clamp(0, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_slope_are_torchs_to_the_bit(dtype):
    found, wanted = (POINTS.to(dtype, copy=True).requires_grad_() for _ in range(2))
    values = hard_sigmoid(found), F.hardsigmoid(wanted)
    assert torch.equal(*values)
    for leaf, value in zip((found, wanted), values, strict=True):
        (value * torch.arange(len(POINTS)).to(dtype)).sum().backward()
        assert value.dtype == leaf.grad.dtype == dtype
    assert torch.equal(found.grad, wanted.grad)


def test_second_derivative_of_what_follows_it():
    """Where it has a slope; torch's own would raise."""
    x = POINTS[(POINTS.abs() - 3).abs() > 1e-6]
    found = []
    for function in (hard_sigmoid, clamped):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad((function(leaf) ** 3).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
        found.append((first.detach(), second))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-9)  # torch's slope is a sixth in float32
    assert found[0][1].abs().max() > 1e-2


def test_in_place_is_the_same_tensor_with_the_same_slope():
    leaf = POINTS.clone().requires_grad_()
    x = leaf * 1
    assert hard_sigmoid(x, inplace=True) is x
    torch.testing.assert_close(x, clamped(POINTS), rtol=1e-12, atol=1e-12)
    x.sum().backward()
    assert torch.equal(leaf.grad > 0, (POINTS > -3) & (POINTS < 3))
