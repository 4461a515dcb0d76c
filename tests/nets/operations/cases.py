"""Random tensors, and all the derivatives that an operation of our own must have."""

from collections.abc import Callable

import torch
from torch import Tensor


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def derivatives(function: Callable[..., Tensor], given: list[Tensor]) -> list[Tensor]:
    """The value, and the slopes of a sum that hangs on each three times over."""
    value = function(*given)
    first = torch.autograd.grad(value.tanh().pow(2).sum(), given, create_graph=True)
    second = torch.autograd.grad(sum((g.pow(2)).sum() for g in first), given, create_graph=True)
    third = torch.autograd.grad(sum((g.pow(2)).sum() for g in second), given)
    return [value, *first, *second, *third]
