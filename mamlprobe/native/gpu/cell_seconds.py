"""The launches of the second derivative of `cells`."""

import triton
import triton.language as tl

from mamlprobe.native.gpu.cell_tiles import (
    SIZES,
    active,
    added,
    direction,
    exact,
    here,
    keep,
    place_of,
    stopped,
    winner,
)


@triton.jit(do_not_specialize=SIZES)
def direction_sums(
    gp,
    y,
    bias,
    mean,
    hy,
    hbias,
    p,
    which,
    sums,
    count,
    slots,
    cells,
    tall,
    wide,
    channels,
    stride,
    chunk,
    parts,
    FIRST: tl.constexpr,
    POOL: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Sum h, (s - mean) h and g h, by part."""
    part, group, lane, known = here(channels, LANES)
    vector_at = group * channels + lane
    bias_here = tl.load(bias + group * stride + lane, mask=known, other=0.0)
    hbias_here = tl.load(hbias + vector_at, mask=known, other=0.0)
    mean_here = tl.load(mean + vector_at, mask=known, other=0.0)
    level = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    tilt = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    inner = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    end = tl.minimum(part * chunk + chunk, cells)
    for first in range(part * chunk, end, ROWS):
        cell = first + tl.arange(0, ROWS)
        top, left, corner, slot, full = place_of(cell, tall, wide, POOL)
        whole = (full & (cell < end))[:, None] & known[None, :]
        slot = (group * slots + slot)[:, None] * channels + lane[None, :]
        g = stopped(gp, p, slot, whole, FIRST)
        won = winner(which, slot, whole, POOL)
        for place in tl.static_range(POOL * POOL):
            inside = (cell < end) & (top + place // POOL < tall) & (left + place % POOL < wide)
            mask = inside[:, None] & known[None, :]
            at = (group * count + corner + place // POOL * wide + place % POOL)[:, None] * channels + lane[None, :]
            s = active(tl.load(y + at, mask=mask, other=0.0), bias_here, FIRST)
            h = direction(hy, hbias_here, s, at, mask, FIRST)
            level += h
            tilt += (s - mean_here[None, :]) * h
            inner += tl.where(won == place, g * h, 0.0)
    size = tl.num_programs(1) * channels
    to = sums + part * size + vector_at
    tl.store(to, tl.sum(level, axis=0), mask=known)
    tl.store(to + parts * size, tl.sum(tilt, axis=0), mask=known)
    tl.store(to + 2 * parts * size, tl.sum(inner, axis=0), mask=known)


@triton.jit(do_not_specialize=SIZES)
def second_numbers(
    sums,
    scale,
    rstd,
    gscale,
    gshift,
    hscale,
    hshift,
    xbias,
    xscale,
    numbers,
    count,
    channels,
    stride,
    parts,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Store the derivative for the scale, 0 for the bias, and each channel's `numbers` for the dense pass."""
    _, group, lane, known = here(channels, LANES)
    size = tl.num_programs(1) * channels
    at = group * channels + lane
    r, by_scale, by_shift = exact(rstd, at, known), exact(gscale, at, known), exact(gshift, at, known)
    to_scale, to_shift = exact(hscale, at, known), exact(hshift, at, known)
    mean = added(sums, parts, size, at, known, ROWS, LANES) / count
    q = r * added(sums + parts * size, parts, size, at, known, ROWS, LANES) / count
    inner = added(sums + 2 * parts * size, parts, size, at, known, ROWS, LANES) - by_shift * mean - by_scale * q
    gain = exact(scale, group * stride + lane, known) * r
    slope = r * r / count * (to_scale * by_scale - 2.0 * gain * by_scale * q + gain * inner)
    level = r / count * (to_scale * by_shift - gain * (by_shift * q + by_scale * mean))
    keep(xbias, at, known, tl.zeros((LANES,), dtype=tl.float64))
    keep(xscale, at, known, r * inner)
    keep(numbers, at, known, gain)
    keep(numbers + size, at, known, r * (to_scale - gain * q))
    keep(numbers + 2 * size, at, known, gain * r * by_scale / count)
    keep(numbers + 3 * size, at, known, slope)
    keep(numbers + 4 * size, at, known, level)
    keep(numbers + 5 * size, at, known, to_shift - gain * mean)


@triton.jit(do_not_specialize=SIZES)
def second(
    gp,
    y,
    bias,
    mean,
    hy,
    hbias,
    p,
    off,
    which,
    numbers,
    xgp,
    xy,
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
    """Store the derivatives for gp and y and, if the ReLU comes first, sums of the latter by part."""
    part, group, lane, known = here(channels, LANES)
    size = tl.num_programs(1) * channels
    vector_at = group * channels + lane
    bias_here = tl.load(bias + group * stride + lane, mask=known, other=0.0)
    hbias_here = tl.load(hbias + vector_at, mask=known, other=0.0)
    mean_here = tl.load(mean + vector_at, mask=known, other=0.0)
    gain = tl.load(numbers + vector_at, mask=known, other=0.0)
    along = tl.load(numbers + size + vector_at, mask=known, other=0.0)
    curve = tl.load(numbers + 2 * size + vector_at, mask=known, other=0.0)
    slope = tl.load(numbers + 3 * size + vector_at, mask=known, other=0.0)
    level = tl.load(numbers + 4 * size + vector_at, mask=known, other=0.0)
    lift = tl.load(numbers + 5 * size + vector_at, mask=known, other=0.0)
    total = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    end = tl.minimum(part * chunk + chunk, cells)
    for first in range(part * chunk, end, ROWS):
        cell = first + tl.arange(0, ROWS)
        top, left, corner, slot, full = place_of(cell, tall, wide, POOL)
        whole = (full & (cell < end))[:, None] & known[None, :]
        slot = (group * slots + slot)[:, None] * channels + lane[None, :]
        g = stopped(gp, p, slot, whole, FIRST) * along[None, :]
        won = winner(which, slot, whole, POOL)
        moved = lift[None, :] + along[None, :] * tl.load(off + slot, mask=whole, other=0.0)
        for place in tl.static_range(POOL * POOL):
            inside = (cell < end) & (top + place // POOL < tall) & (left + place % POOL < wide)
            mask = inside[:, None] & known[None, :]
            at = (group * count + corner + place // POOL * wide + place % POOL)[:, None] * channels + lane[None, :]
            s = active(tl.load(y + at, mask=mask, other=0.0), bias_here, FIRST)
            h = direction(hy, hbias_here, s, at, mask, FIRST)
            moved += tl.where(won == place, gain[None, :] * h, 0.0)
            xy_here = tl.where(won == place, g, 0.0) - curve[None, :] * h
            xy_here = xy_here - slope[None, :] * (s - mean_here[None, :]) - level[None, :]
            if FIRST:
                xy_here = tl.where(s <= 0.0, 0.0, xy_here)
                total += tl.where(mask, xy_here, 0.0)
            tl.store(xy + at, xy_here, mask=mask)
        if not FIRST:
            moved = tl.where(tl.load(p + slot, mask=whole, other=0.0) <= 0.0, 0.0, moved)
        tl.store(xgp + slot, moved, mask=whole)
    if FIRST:
        tl.store(sums + part * size + vector_at, tl.sum(total, axis=0), mask=known)
