"""The forward pass of the cells, its moments far from zero, and NaN."""

import pytest
import torch

from mamlprobe.nets.fast import norm_relu_pool as cells
from tests.native.gpu.cell_cases import KINDS, TILES, check_small, check_tiles, draw
from tests.native.gpu.devices import DEVICE, by_the_interpreter, computes, in_the_first_process

pytest.importorskip("triton")


@in_the_first_process
def test_the_interpreter_finds_the_same():
    by_the_interpreter(__file__)


@computes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("groups", "lead", "programs", "dtype", "tolerance"), TILES)
def test_it_is_that_in_torch(monkeypatch, kind, groups, lead, programs, dtype, tolerance):
    check_tiles(monkeypatch, "forward", kind, groups, lead, programs, dtype, tolerance)


@computes
@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_are_smaller_than_a_cell(kind):
    check_small("forward", kind)


@computes
def test_moments_hold_far_from_zero(monkeypatch):
    from mamlprobe.native.gpu import cells as gpu

    monkeypatch.setattr(gpu, "TILE", 64)
    s = (1e3 + torch.randn(2, 5, 9, 9, 3, generator=torch.Generator().manual_seed(0))).to(DEVICE)
    s[:, 0, 0, 0] = 0
    _, var, saved = gpu.forward(s, *torch.ones(3, 1, 3, device=DEVICE), cells.Kind(1, False))
    wanted = s.double().var((1, 2, 3), correction=0)
    torch.testing.assert_close(saved.mean.double(), s.double().mean((1, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(var.double(), wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(saved.rstd.double(), (wanted + cells.EPS).rsqrt(), rtol=1e-5, atol=0)


@computes
def test_what_is_no_number_stays_none():
    """As in torch, a channel with NaN has NaN; the others do not."""
    from mamlprobe.native.gpu import cells as gpu

    y = draw(torch.Generator().manual_seed(0), 1, 2, 4, 4, 3)
    y[0, 1, 2, 2, 1] = torch.nan
    one = torch.ones(1, 3, dtype=y.dtype, device=DEVICE)
    for kind in KINDS:
        (p, var, saved), (wanted_p, wanted_var, wanted_saved) = (
            route.forward(y, one, one, one, kind) for route in (gpu, cells)
        )
        pairs = [(p, wanted_p), (saved.mean, wanted_saved.mean), (saved.rstd, wanted_saved.rstd), (var, wanted_var)]
        for found, wanted in pairs:
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0, equal_nan=True)
        assert found[:, 1].isnan().all()
