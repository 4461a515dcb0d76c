"""The launches of the forward pass of `cells`."""

import triton
import triton.language as tl

from mamlprobe.native.gpu.cell_tiles import SIZES, active, added, here, keep, place_of


@triton.jit
def read(y, bias, start, end, count, channels, group, lane, known, FIRST: tl.constexpr, ROWS: tl.constexpr):
    """Load a tile's activities from position `start` on; return them and the mask of those inside `end`."""
    row = start + tl.arange(0, ROWS)
    mask = (row < end)[:, None] & known[None, :]
    at = (group * count + row)[:, None] * channels + lane[None, :]
    return active(tl.load(y + at, mask=mask, other=0.0), bias, FIRST), mask


@triton.jit(do_not_specialize=SIZES)
def moments_of_parts(
    y, bias, sums, count, channels, stride, chunk, parts, FIRST: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr
):
    """Compute the mean of each part and its sum of squared deviations, shifted by the mean of its first tile."""
    part, group, lane, known = here(channels, LANES)
    bias_here = tl.load(bias + group * stride + lane, mask=known, other=0.0)
    start, end = part * chunk, tl.minimum(part * chunk + chunk, count)
    s, mask = read(y, bias_here, start, end, count, channels, group, lane, known, FIRST, ROWS)
    middle = tl.sum(tl.where(mask, s, 0.0), axis=0) / tl.minimum(end - start, ROWS)
    total = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    square = tl.zeros((ROWS, LANES), dtype=y.dtype.element_ty)
    for first in range(start, end, ROWS):
        s, mask = read(y, bias_here, first, end, count, channels, group, lane, known, FIRST, ROWS)
        off = tl.where(mask, s - middle[None, :], 0.0)
        total += off
        square += off * off
    along = tl.sum(total, axis=0)
    mean = along / (end - start)
    size = tl.num_programs(1) * channels
    to = sums + part * size + group * channels + lane
    tl.store(to, middle + mean, mask=known)
    tl.store(to + parts * size, tl.sum(square, axis=0) - along * mean, mask=known)


@triton.jit(do_not_specialize=SIZES)
def moments(
    sums,
    mean,
    rstd,
    var,
    count,
    channels,
    chunk,
    parts,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Combine the parts' moments into mean, biased variance and (var + eps)^-1/2."""
    _, group, lane, known = here(channels, LANES)
    size = tl.num_programs(1) * channels
    at = group * channels + lane
    total = tl.zeros((ROWS, LANES), dtype=tl.float64)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        mask = (part < parts)[:, None] & known[None, :]
        many = tl.minimum(chunk, count - part * chunk).to(tl.float64)
        total += many[:, None] * tl.load(sums + part[:, None] * size + at[None, :], mask=mask, other=0.0).to(tl.float64)
    middle = tl.sum(total, axis=0) / count
    total = tl.zeros((ROWS, LANES), dtype=tl.float64)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        mask = (part < parts)[:, None] & known[None, :]
        many = tl.minimum(chunk, count - part * chunk).to(tl.float64)
        off = tl.load(sums + part[:, None] * size + at[None, :], mask=mask, other=0.0).to(tl.float64) - middle[None, :]
        total += tl.where(mask, many[:, None] * off * off, 0.0)
    spread = (tl.sum(total, axis=0) + added(sums + parts * size, parts, size, at, known, ROWS, LANES)) / count
    spread = tl.where(spread < 0.0, 0.0, spread)
    keep(mean, at, known, middle)
    keep(var, at, known, spread)
    keep(rstd, at, known, 1.0 / tl.sqrt(spread + EPS))


@triton.jit(do_not_specialize=SIZES)
def outputs(
    y,
    bias,
    scale,
    shift,
    mean,
    rstd,
    p,
    off,
    which,
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
    """Compute the forward pass after the moments; `chunk` is a tile."""
    part, group, lane, known = here(channels, LANES)
    vector_at = group * stride + lane
    bias_here = tl.load(bias + vector_at, mask=known, other=0.0)
    scale_here = tl.load(scale + vector_at, mask=known, other=0.0)
    shift_here = tl.load(shift + vector_at, mask=known, other=0.0)
    mean_here = tl.load(mean + group * channels + lane, mask=known, other=0.0)
    rstd_here = tl.load(rstd + group * channels + lane, mask=known, other=0.0)
    sign = tl.where(scale_here < 0.0, -1, tl.where(scale_here > 0.0, 1, 0)).to(y.dtype.element_ty)
    cell = part * chunk + tl.arange(0, ROWS)
    _, _, corner, slot, full = place_of(cell, tall, wide, POOL)
    mask = (full & (cell < cells))[:, None] & known[None, :]
    at = (group * count + corner)[:, None] * channels + lane[None, :]
    best = active(tl.load(y + at, mask=mask, other=0.0), bias_here, FIRST)
    top = sign[None, :] * best
    won = tl.zeros((ROWS, LANES), dtype=tl.int32)
    for place in tl.static_range(1, POOL * POOL):
        at = (group * count + corner + place // POOL * wide + place % POOL)[:, None] * channels + lane[None, :]
        s = active(tl.load(y + at, mask=mask, other=0.0), bias_here, FIRST)
        rank = sign[None, :] * s
        higher = rank > top
        best = tl.where(higher, s, best)
        top = tl.where(higher, rank, top)
        won = tl.where(higher, place, won)
    away = best - mean_here[None, :]
    z = shift_here[None, :] + away * (scale_here * rstd_here)[None, :]
    if not FIRST:
        z = tl.where(z < 0.0, 0.0, z)
    to = (group * slots + slot)[:, None] * channels + lane[None, :]
    tl.store(p + to, z, mask=mask)
    tl.store(off + to, away, mask=mask)
    if POOL > 1:
        tl.store(which + to, won.to(tl.int8), mask=mask)
