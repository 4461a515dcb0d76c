"""Inner products of columns by the compiled kernels and by torch's own operations."""

import pytest
import torch

from mamlprobe.measure import streamed_products as products
from mamlprobe.measure.streamed_products import Products
from mamlprobe.native.build import compiler
from mamlprobe.native.load import kernels


@pytest.fixture(autouse=True)
def _there_are_kernels():
    if compiler() is None:
        pytest.skip("no compiler, no compiled kernels")
    assert kernels() is not None


SHAPES = [(2, 1, 1), (3, 2, 5), (512, 29, 32), (513, 16, 61), (700, 64, 64), (5000, 7, 40), (9000, 70, 3)]


@pytest.mark.parametrize(("rows", "f", "g"), SHAPES)
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_products_are_those_of_the_columns(rows, f, g, kind, tolerance, monkeypatch):
    generator = torch.Generator().manual_seed(f)
    x = torch.randn(rows, f, generator=generator, dtype=kind)
    y = x[:, :1] + torch.randn(rows, g, generator=generator, dtype=kind)
    found = {}
    for route in (True, False):
        monkeypatch.setattr(products, "supported", lambda x, route=route: route)
        sums = Products(f, g, kind, torch.device("cpu"))
        assert (sums.blocks is None) == route
        cut = rows // 3
        sums.add(x[:cut], y[:cut])
        sums.add(x[cut:], y[cut:])
        found[route] = sums.finish()
        shift = sums.shift.double()
    z = torch.cat([x.double(), y.double()], dim=1) - shift
    norms = [part.square().sum(1, keepdim=True) for part in (z[:, :f], z[:, f:])]
    z = torch.cat([z, *norms, torch.ones(rows, 1)], dim=1)
    wanted = z.T @ z
    scale = wanted.diagonal().sqrt()
    for about, _, mean in found.values():
        assert float(((about - wanted) / scale / scale[:, None]).abs().max()) < tolerance
        assert torch.allclose(mean, torch.cat([x, y], 1).double().mean(0), atol=10 * tolerance)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_bit(threads):
    before, x = torch.get_num_threads(), torch.randn(6000, 37, generator=torch.Generator().manual_seed(0))
    found = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            sums = Products(37, 37, torch.float32, torch.device("cpu"))
            sums.add(x, x.flip(1))
            found.append((sums.total, sums.squares))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(here, there) for here, there in zip(*found, strict=True))
