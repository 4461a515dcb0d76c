"""Arithmetic on lists: the bits and the derivatives of one tensor after the other."""

import pytest
import torch

from mamlprobe.learn.foreach import differences, scaled

SHAPES = [(2, 3), (4,), (1, 2, 2)]


def tensors(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True) for shape in SHAPES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_one_after_the_other(dtype):
    a, b = tensors(0, dtype), tensors(1, dtype)
    for one, two, x, y in zip(scaled(0.37, a), differences(a, b), a, b):
        assert torch.equal(one, 0.37 * x)
        assert torch.equal(two, x - y)
    assert scaled(2.0, []) == differences([], []) == ()


def step(a, b, minus, times):
    """A number that hangs on a step of a step, so that third derivatives are there."""
    once = minus(a, times(0.3, [x * y.square() for x, y in zip(a, b)]))
    return sum((x**3).sum() for x in minus(once, times(-2.0, [x * x for x in once])))


def plain_minus(these, those):
    return [x - y for x, y in zip(these, those)]


def plain_times(factor, values):
    return [factor * value for value in values]


def test_derivatives_of_three_orders():
    found = []
    for minus, times in ((differences, scaled), (plain_minus, plain_times)):
        a, b = tensors(0), tensors(1)
        slopes = torch.autograd.grad(step(a, b, minus, times), [*a, *b], create_graph=True)
        second = torch.autograd.grad(sum(x.sin().sum() for x in slopes), [*a, *b], create_graph=True)
        third = torch.autograd.grad(sum(x.square().sum() for x in second), [*a, *b])
        found.append([*slopes, *second, *third])
    for mine, wanted in zip(*found, strict=True):
        assert torch.allclose(mine, wanted, rtol=1e-12)


def test_what_nothing_hangs_on_has_no_slope():
    a, b = tensors(0), tensors(1)
    first = differences(a, scaled(2.0, b))[0].sum()
    found = torch.autograd.grad(first, [*a, *b], allow_unused=True)
    assert [slope is None for slope in found] == [False, True, True] * 2
    assert torch.equal(found[3], torch.full((2, 3), -2.0, dtype=torch.float64))
