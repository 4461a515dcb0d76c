"""The launches of the first derivative of `cells`."""

import triton
import triton.language as tl

from mamlprobe.native.gpu.cell_tiles import SIZES, active, added, exact, here, keep, place_of, stopped, winner


@triton.jit(do_not_specialize=SIZES)
def gradient_sums(
    gp, p, off, sums, slots, channels, chunk, parts, FIRST: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr
):
    """Sum g and g (s - mean) over the winners, by part."""
    part, group, lane, known = here(channels, LANES)
    end = tl.minimum(part * chunk + chunk, slots)
    shift = tl.zeros((ROWS, LANES), dtype=gp.dtype.element_ty)
    scale = tl.zeros((ROWS, LANES), dtype=gp.dtype.element_ty)
    for first in range(part * chunk, end, ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < end)[:, None] & known[None, :]
        slot = (group * slots + row)[:, None] * channels + lane[None, :]
        g = stopped(gp, p, slot, mask, FIRST)
        shift += g
        scale += g * tl.load(off + slot, mask=mask, other=0.0)
    size = tl.num_programs(1) * channels
    to = sums + part * size + group * channels + lane
    tl.store(to, tl.sum(shift, axis=0), mask=known)
    tl.store(to + parts * size, tl.sum(scale, axis=0), mask=known)


@triton.jit(do_not_specialize=SIZES)
def gradient_numbers(
    sums,
    scale,
    rstd,
    gbias,
    gscale,
    gshift,
    numbers,
    count,
    channels,
    stride,
    parts,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Store the gradients of scale and shift, 0 for the bias, and each channel's `numbers` for the dense pass."""
    _, group, lane, known = here(channels, LANES)
    size = tl.num_programs(1) * channels
    at = group * channels + lane
    r = exact(rstd, at, known)
    by_shift = added(sums, parts, size, at, known, ROWS, LANES)
    by_scale = added(sums + parts * size, parts, size, at, known, ROWS, LANES) * r
    gain = exact(scale, group * stride + lane, known) * r
    keep(gbias, at, known, tl.zeros((LANES,), dtype=tl.float64))
    keep(gscale, at, known, by_scale)
    keep(gshift, at, known, by_shift)
    keep(numbers, at, known, gain)
    keep(numbers + size, at, known, gain * r * by_scale / count)
    keep(numbers + 2 * size, at, known, gain * by_shift / count)


@triton.jit(do_not_specialize=SIZES)
def gradient(
    gp,
    y,
    bias,
    mean,
    p,
    which,
    numbers,
    gy,
    sums,
    count,
    slots,
    cells,
    tall,
    wide,
    channels,
    stride,
    chunk,
    FIRST: tl.constexpr,
    POOL: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Store the gradient of y and, if the ReLU comes first, its sums by part."""
    part, group, lane, known = here(channels, LANES)
    size = tl.num_programs(1) * channels
    vector_at = group * channels + lane
    bias_here = tl.load(bias + group * stride + lane, mask=known, other=0.0)
    mean_here = tl.load(mean + vector_at, mask=known, other=0.0)
    gain = tl.load(numbers + vector_at, mask=known, other=0.0)
    slope = tl.load(numbers + size + vector_at, mask=known, other=0.0)
    level = tl.load(numbers + 2 * size + vector_at, mask=known, other=0.0)
    total = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    end = tl.minimum(part * chunk + chunk, cells)
    for first in range(part * chunk, end, ROWS):
        cell = first + tl.arange(0, ROWS)
        top, left, corner, slot, full = place_of(cell, tall, wide, POOL)
        whole = (full & (cell < end))[:, None] & known[None, :]
        slot = (group * slots + slot)[:, None] * channels + lane[None, :]
        g = stopped(gp, p, slot, whole, FIRST) * gain[None, :]
        won = winner(which, slot, whole, POOL)
        for place in tl.static_range(POOL * POOL):
            inside = (cell < end) & (top + place // POOL < tall) & (left + place % POOL < wide)
            mask = inside[:, None] & known[None, :]
            at = (group * count + corner + place // POOL * wide + place % POOL)[:, None] * channels + lane[None, :]
            s = active(tl.load(y + at, mask=mask, other=0.0), bias_here, FIRST)
            gy_here = tl.where(won == place, g, 0.0) - slope[None, :] * (s - mean_here[None, :]) - level[None, :]
            if FIRST:
                gy_here = tl.where(s <= 0.0, 0.0, gy_here)
                total += tl.where(mask, gy_here, 0.0)
            tl.store(gy + at, gy_here, mask=mask)
    if FIRST:
        tl.store(sums + part * size + vector_at, tl.sum(total, axis=0), mask=known)


@triton.jit(do_not_specialize=SIZES)
def add(sums, total, channels, parts, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Store the sum over parts."""
    _, group, lane, known = here(channels, LANES)
    at = group * channels + lane
    keep(total, at, known, added(sums, parts, tl.num_programs(1) * channels, at, known, ROWS, LANES))
