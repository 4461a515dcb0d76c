"""Batch norm with derivatives of its own: value and three derivatives are those of plain operations."""

import pytest
import torch
from torch import Tensor

from mamlprobe.nets.operations.batch_norm import batch_norm
from tests.nets.operations.cases import derivatives, draw


def explicit(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Batch norm in plain operations."""
    axes = [0, *range(2, x.ndim)]
    shape = (-1,) + (1,) * (x.ndim - 2)
    mean = x.mean(axes, keepdim=True)
    found = (x - mean) / ((x - mean).pow(2).mean(axes, keepdim=True) + 1e-5).sqrt()
    return found if weight is None or bias is None else found * weight.reshape(shape) + bias.reshape(shape)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (6, 3), (4, 3, 5)])
def test_batch_norm(shape, affine):
    """torch's own third derivative takes the mean and variance for constants: the reference is in plain operations."""
    torch.manual_seed(0)
    given = [draw(*shape), draw(3), draw(3)] if affine else [draw(*shape)]
    layouts = [torch.contiguous_format, *([torch.channels_last] if len(shape) == 4 else [])]
    for layout in layouts:
        given[0] = given[0].detach().contiguous(memory_format=layout).requires_grad_()

        def ours(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
            return batch_norm(x, weight, bias, 1e-5)

        for mine, wanted in zip(derivatives(ours, given), derivatives(explicit, given), strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-9, atol=1e-9)
