"""The hard sigmoid, which torch can differentiate only once, for gradients of gradients."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.autograd import Function

SLOPE = float(torch.tensor(1 / 6, dtype=torch.float32, device="cpu"))
"""The slope between -3 and 3 that torch uses, in every precision."""


class _HardSigmoid(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.hardsigmoid(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.where((x > -3) & (x < 3), slopes[0] * SLOPE, torch.zeros_like(x))


def hard_sigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute ``F.hardsigmoid``, value and slope, with a second derivative; parameters have torch's names."""
    output: Tensor = _HardSigmoid.apply(input.clone() if inplace else input)
    return input.copy_(output) if inplace else output
