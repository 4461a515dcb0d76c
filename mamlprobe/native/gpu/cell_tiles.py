"""Functions that the launches of `cells` share: the tile of a program, and how it is read.

The first axis of a grid is parts times tiles of LANES channels, the second one groups. A part is `chunk` positions or
cells of its group, of less than 2^31, and a program takes ROWS of them at once; cells are those of the whole map, with
the cut ones at the edges of odd sizes. Sums over parts are added in float64 and in one order. FIRST is 1 where the ReLU
comes before the norm.
"""

import triton
import triton.language as tl

SIZES = ("count", "slots", "cells", "tall", "wide", "chunk", "parts", "stride")
"""Arguments whose values do not specialise a kernel."""


@triton.jit
def here(channels, LANES: tl.constexpr):
    """Return this program's part and group, its channels, and the mask of those that exist."""
    tiles = (channels + LANES - 1) // LANES
    lane = tl.program_id(0) % tiles * LANES + tl.arange(0, LANES)
    return tl.program_id(0) // tiles, tl.program_id(1).to(tl.int64), lane, lane < channels


@triton.jit
def place_of(cell, tall, wide, POOL: tl.constexpr):
    """Return a cell's top and left, its first position, its place in the pooled map, and whether it is complete."""
    down, across = (tall + POOL - 1) // POOL, (wide + POOL - 1) // POOL
    j, i, r = cell % across, cell // across % down, cell // (across * down)
    high, broad = tall // POOL, wide // POOL
    corner = (r * tall + i * POOL) * wide + j * POOL
    return i * POOL, j * POOL, corner, (r * high + i) * broad + j, (i < high) & (j < broad)


@triton.jit
def active(s, bias, FIRST: tl.constexpr):
    """Return the activity that the norm takes as input."""
    if FIRST:
        s = s + bias[None, :]
        s = tl.where(s < 0.0, 0.0, s)
    return s


@triton.jit
def stopped(gp, p, slot, mask, FIRST: tl.constexpr):
    """Load the outputs' gradient, 0 where the ReLU after the norm gives 0 and outside of the mask."""
    g = tl.load(gp + slot, mask=mask, other=0.0)
    if not FIRST:
        g = tl.where(tl.load(p + slot, mask=mask, other=0.0) <= 0.0, 0.0, g)
    return g


@triton.jit
def direction(hy, hbias, s, at, mask, FIRST: tl.constexpr):
    """Load the activity's part of a direction; 0 outside of the mask."""
    h = tl.load(hy + at, mask=mask, other=0.0)
    if FIRST:
        h = tl.where(s <= 0.0, 0.0, tl.where(mask, h + hbias[None, :], 0.0))
    return h


@triton.jit
def winner(which, slot, mask, POOL: tl.constexpr):
    """Return the winner's place in its cell, counted row by row; -1 outside of the mask."""
    if POOL == 1:
        won = tl.where(mask, 0, -1)
    else:
        won = tl.load(which + slot, mask=mask, other=-1).to(tl.int32)
    return won


@triton.jit
def added(sums, parts, size, at, known, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Sum over parts that lie `size` apart, in float64."""
    total = tl.zeros((ROWS, LANES), dtype=tl.float64)
    for start in range(0, parts, ROWS):
        part = start + tl.arange(0, ROWS)
        mask = (part < parts)[:, None] & known[None, :]
        total += tl.load(sums + part[:, None] * size + at[None, :], mask=mask, other=0.0).to(tl.float64)
    return tl.sum(total, axis=0)


@triton.jit
def exact(vector, at, known):
    """Load values of channels in float64."""
    return tl.load(vector + at, mask=known, other=0.0).to(tl.float64)


@triton.jit
def keep(vector, at, known, values):
    """Store values of channels."""
    tl.store(vector + at, values.to(vector.dtype.element_ty), mask=known)
