"""What the launches of the cells share, one function at a time in a kernel of its own, against plain loops."""

import pytest
import torch

from tests.native.gpu.devices import DEVICE, by_the_interpreter, computes, in_the_first_process

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")
tiles = pytest.importorskip("mamlprobe.native.gpu.cell_tiles")

active, added, direction, exact = tiles.active, tiles.added, tiles.direction, tiles.exact
here, keep, place_of, stopped, winner = tiles.here, tiles.keep, tiles.place_of, tiles.stopped, tiles.winner


@in_the_first_process
def test_the_interpreter_finds_the_same():
    by_the_interpreter(__file__)


@triton.jit
def places_kernel(out, tall, wide, POOL: tl.constexpr, ROWS: tl.constexpr):
    cell = tl.arange(0, ROWS)
    top, left, corner, slot, full = place_of(cell, tall, wide, POOL)
    tl.store(out + cell, top)
    tl.store(out + ROWS + cell, left)
    tl.store(out + 2 * ROWS + cell, corner)
    tl.store(out + 3 * ROWS + cell, slot)
    tl.store(out + 4 * ROWS + cell, full.to(tl.int32))


@computes
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize(("tall", "wide"), [(4, 6), (5, 3), (1, 2), (3, 1)])
def test_places_of_cells_row_by_row(pool, tall, wide):
    """Cells are those of the whole map; only complete ones have a place in the pooled map."""
    found = torch.full((5, 32), -1, dtype=torch.int32, device=DEVICE)
    places_kernel[(1,)](found, tall, wide, POOL=pool, ROWS=32)
    cells = [(r, i, j) for r in range(32) for i in range(0, tall, pool) for j in range(0, wide, pool)][:32]
    slots = {}
    for number, (r, i, j) in enumerate(cells):
        full = i + pool <= tall and j + pool <= wide
        assert found[:3, number].tolist() == [i, j, (r * tall + i) * wide + j]
        assert bool(found[4, number]) == full
        if full:
            assert int(found[3, number]) == slots.setdefault((r, i, j), len(slots))


@triton.jit
def programs_kernel(out, channels, parts, LANES: tl.constexpr):
    part, group, lane, known = here(channels, LANES)
    tl.store(out + (group * parts + part) * channels + lane, 1000 * group + 100 * part + lane, mask=known)


@computes
def test_programs_share_groups_parts_and_channels():
    """Two groups, three parts, eleven channels of which the last tile has three."""
    found = torch.zeros(2, 3, 11, dtype=torch.int64, device=DEVICE)
    programs_kernel[(3 * 3, 2)](found, 11, 3, LANES=4)
    wanted = [[[1000 * group + 100 * part + lane for lane in range(11)] for part in range(3)] for group in range(2)]
    assert found.tolist() == wanted


@triton.jit
def sums_kernel(sums, out, channels, parts, ROWS: tl.constexpr, LANES: tl.constexpr):
    lane = tl.arange(0, LANES)
    known = lane < channels
    keep(out, lane, known, added(sums, parts, channels, lane, known, ROWS, LANES))


@computes
@pytest.mark.parametrize("parts", [1, 2, 5])
def test_sums_over_parts_are_in_float64(parts):
    """A float32 sum would lose the ones; what lies behind the parts is left out."""
    large = torch.tensor([1.0, *[3e8, -3e8] * 3], device=DEVICE)[:parts]
    sums = torch.full((parts + 1, 3), torch.nan, device=DEVICE)
    sums[:parts] = large[:, None] * torch.tensor([1.0, 2.0, -1.0], device=DEVICE)
    found = torch.full((4,), 7.0, dtype=torch.float64, device=DEVICE)
    sums_kernel[(1,)](sums, found, 3, parts, ROWS=2, LANES=4)
    assert found.tolist() == [*sums[:parts].double().sum(0).tolist(), 7]


@triton.jit
def values_kernel(
    gp,
    p,
    hy,
    y,
    bias,
    which,
    out,
    channels,
    FIRST: tl.constexpr,
    POOL: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    row, lane = tl.arange(0, ROWS), tl.arange(0, LANES)
    known = lane < channels
    at = row[:, None] * channels + lane[None, :]
    mask = (row < ROWS - 1)[:, None] & known[None, :]
    b = tl.load(bias + lane, mask=known, other=0.0)
    s = active(tl.load(y + at, mask=mask, other=0.0), b, FIRST)
    size = ROWS * LANES
    to = row[:, None] * LANES + lane[None, :]
    tl.store(out + to, s)
    tl.store(out + size + to, stopped(gp, p, at, mask, FIRST))
    tl.store(out + 2 * size + to, direction(hy, b, s, at, mask, FIRST))
    tl.store(out + 3 * size + to, winner(which, at, mask, POOL).to(tl.float32))
    tl.store(out + 4 * size + lane, exact(bias, lane, known).to(tl.float32))


@computes
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pool", [1, 2])
def test_values_are_zero_behind_a_relu_and_outside(first, pool):
    """Of eight rows and four channels the last row and the last channel are outside; ReLU before the norm or after."""
    source = torch.Generator().manual_seed(0)
    gp, p, hy, y = torch.randn(4, 8, 3, generator=source).to(DEVICE)
    p[0, 0] = 0.0
    bias = torch.tensor([0.5, -1.0, 0.0], device=DEVICE)
    which = torch.arange(24, device=DEVICE).remainder(4).to(torch.int8).reshape(8, 3)
    found = torch.full((5, 8, 4), torch.nan, device=DEVICE)
    values_kernel[(1,)](gp, p, hy, y, bias, which, found, 3, FIRST=first, POOL=pool, ROWS=8, LANES=4)
    inside = [(row, lane) for row in range(7) for lane in range(3)]
    for row, lane in inside:
        s = max(float(y[row, lane] + bias[lane]), 0.0) if first else float(y[row, lane])
        assert float(found[0, row, lane]) == s
        assert float(found[1, row, lane]) == (float(gp[row, lane]) if first or p[row, lane] > 0 else 0.0)
        passes = float(hy[row, lane] + bias[lane]) * (s > 0) if first else float(hy[row, lane])
        assert float(found[2, row, lane]) == pytest.approx(passes)
        assert int(found[3, row, lane]) == (int(which[row, lane]) if pool == 2 else 0)
    outside = [(row, lane) for row in range(8) for lane in range(4) if (row, lane) not in inside]
    assert all(found[1:3, row, lane].tolist() == [0, 0] and int(found[3, row, lane]) == -1 for row, lane in outside)
    assert found[4, 0].tolist() == [0.5, -1.0, 0.0, 0.0]
