"""The Triton convolutions by the doors of `nets.fast.conv`, on CUDA as exact as torch's own, and their tiles."""

import itertools

import pytest
import torch
from torch import Tensor

from mamlprobe.native.gpu.available import ready
from mamlprobe.training.precision import precision as exactly
from tests.marks import cuda
from tests.native.gpu.devices import convolution_errors

pytest.importorskip("triton")


def test_interpreted_convolutions_are_those_of_torch() -> None:
    errors = convolution_errors("doors")
    assert len(errors) == 10
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}


@cuda
@pytest.mark.parametrize("precision", ["ieee", "tf32x3", "float32"])
@pytest.mark.parametrize("case", [(4, 5, 3, 32, 84), (4, 5, 32, 32, 21), (16, 20, 1, 64, 28), (16, 20, 64, 64, 14)])
def test_on_cuda_they_are_as_exact_as_torchs(case: tuple[int, ...], precision: str) -> None:
    from mamlprobe.native.gpu import conv

    assert ready(torch.empty(1, device="cuda"))
    tasks, rows, inner, outer, size = case
    torch.manual_seed(0)
    x = torch.randn(1, rows, size, size, tasks * inner, device="cuda")
    w = torch.randn(tasks, outer, inner, 3, 3, device="cuda")
    gy = torch.randn(1, rows, size, size, tasks * outer, device="cuda")
    options = {"step": 1, "pad": 1, "precision": precision}
    mine = [
        conv.conv(x, w, **options),
        conv.conv_input(gy, w, x_shape=x.shape, **options),
        conv.conv_weight(x, gy, tasks, 3, **options),
    ]
    exact = torchs(x.double(), w.double(), gy.double())
    with exactly("float32", x.device):
        theirs = torchs(x, w, gy)
    for one, other, true in zip(mine, theirs, exact):
        assert (one - true).norm() <= 3 * (other - true).norm()
    assert torch.equal(mine[2], conv.conv_weight(x, gy, tasks, 3, **options))


def torchs(x: Tensor, w: Tensor, gy: Tensor) -> list[Tensor]:
    """The convolution and both of its gradients, by torch."""
    planes = [each.squeeze(0).movedim(-1, 1).contiguous() for each in (x, gy)]
    filters, ones = w.flatten(0, 1), [1, 1]
    y = torch.nn.functional.conv2d(planes[0], filters, None, 1, 1, 1, len(w))
    gx, gw, _ = torch.ops.aten.convolution_backward(
        planes[1], planes[0], filters, None, ones, ones, ones, False, [0, 0], len(w), [True, True, False]
    )
    return [y.movedim(1, -1).unsqueeze(0), gx.movedim(1, -1).unsqueeze(0), gw.reshape(w.shape)]


PRECISIONS = ("ieee", "tf32", "tf32x3")
LAYERS = list(itertools.product((1, 3, 4, 16, 24, 32, 48, 64, 96), (4, 32, 70), (2, 3)))
"""Channels in and out, and side of the window."""


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tiles_are_those_that_a_product_can_have(precision: str) -> None:
    """Powers of two from 16 on; what is summed over within one tap if the channels are a multiple of 16."""
    from mamlprobe.native.gpu import conv

    for inner, outer, side in LAYERS:
        of_maps = conv.maps_tiles(10_000, 4, inner, outer, side, precision)
        for tiles in (of_maps, conv.weight_tiles(inner, outer, side, precision)):
            for size in tiles[:3]:
                assert size >= 16
                assert size & (size - 1) == 0
            assert tiles.channels == (64 if outer > 32 else max(16, outer))
            if inner % 16 == 0:
                assert inner % tiles.reduction == 0


def test_few_places_have_smaller_tiles() -> None:
    """So that there are programs for every multiprocessor; never below 64 places."""
    from mamlprobe.native.gpu import conv

    sizes = [conv.maps_tiles(total, 1, 3, 32, 3, "ieee").positions for total in (64, 128 * conv.PROGRAMS)]
    assert sizes == [64, 128]
    assert conv.maps_tiles(64, conv.PROGRAMS, 3, 32, 3, "ieee").positions == 128  # of as many tasks


def test_offsets_of_large_maps_have_64_bits() -> None:
    from mamlprobe.native.gpu import conv

    small, large = (torch.empty(2**31 - 2**20 - less, device="meta") for less in (1, 0))
    assert not conv._wide(small, small)
    assert conv._wide(small, large)
