"""Convolutions of many tasks with their own weights on a GPU: one product of gathered maps and weights.

Maps are [G, R, H, W, B*C] and the weights [B, K, C, side, side], float32 and contiguous; B > 1 asks for G = 1. Sums are
float32, and the factors are as exact as ``precision`` says: "ieee", "tf32" (11 bits), or "tf32x3", three products of
such halves, which are nearly float32; "float32" is the faster of the first and the last. The same inputs give the same
bits.
"""

from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from mamlprobe.native.gpu.maps import maps_kernel, total_kernel, weight_kernel

Sizes = tuple[int, ...]

PROGRAMS = 264
"""Programs of `conv` at least, if smaller tiles give that many: two for each multiprocessor of a large GPU."""
SPLIT_PROGRAMS = 1056
"""Programs of `conv_weight` at most, by its number of splits."""
BLOCK, ROWS = 64, 32
"""Numbers that one program of the sum over splits adds, and splits that it reads at a time."""


class Tiles(NamedTuple):
    """Sizes of a program's tiles, powers of two from 16 on, and how it runs."""

    positions: int
    """Of the maps."""
    channels: int
    """Of the maps made, or of the slopes."""
    reduction: int
    """Pairs of a tap and a channel: what the convolution sums over."""
    warps: int = 4
    stages: int = 3
    packed: bool = True
    """Whether the weights are copied first, such that what is summed over lies innermost."""


def conv(
    x: Tensor, w: Tensor, *more: Tensor, step: int, pad: int, precision: str, tiles: Tiles | None = None
) -> Tensor:
    """Convolve maps x by w, plus a second pair if one is given: y [G, R, h, w', B*K]."""
    side = w.shape[-1]
    height, width = ((length + 2 * pad - side) // step + 1 for length in x.shape[2:4])
    shape = (*x.shape[:2], height, width, w.shape[0] * w.shape[1])
    return _maps(x, w, *more, shape=shape, step=step, pad=pad, precision=precision, tiles=tiles, turned=False)


def conv_input(
    gy: Tensor,
    w: Tensor,
    *more: Tensor,
    x_shape: Sizes,
    step: int,
    pad: int,
    precision: str,
    tiles: Tiles | None = None,
) -> Tensor:
    """Compute the gradient of x [G, R, H, W, B*C] from that of y [G, R, h, w', B*K]; plus that of a second pair."""
    return _maps(gy, w, *more, shape=x_shape, step=step, pad=pad, precision=precision, tiles=tiles, turned=True)


def conv_weight(
    x: Tensor,
    gy: Tensor,
    weights: int,
    side: int,
    step: int,
    pad: int,
    precision: str,
    tiles: Tiles | None = None,
) -> Tensor:
    """Compute the gradient of w [B, K, C, side, side] for B = `weights` from x and the gradient of y."""
    inner, outer = x.shape[-1] // weights, gy.shape[-1] // weights
    precision = ("ieee" if inner >= 16 else "tf32x3") if precision == "float32" else precision
    total = prod(gy.shape[:-1])
    sizes = tiles or weight_tiles(inner, outer, side, precision)
    columns = triton.cdiv(side * side * inner, sizes.reduction)
    rows = weights * triton.cdiv(outer, sizes.channels)
    blocks = triton.cdiv(total, sizes.positions)
    splits = max(1, min(SPLIT_PROGRAMS // (columns * rows), blocks // 4))
    each = triton.cdiv(blocks, splits)
    splits = triton.cdiv(blocks, each)
    gw = x.new_empty(weights, outer, inner, side, side)
    size, taps = gw.numel(), side * side
    part = gw if splits == 1 else x.new_empty(splits, weights, outer, taps, inner)
    strides = (inner * taps, taps, 1) if splits == 1 else (inner * taps, 1, inner)
    with _on(x):
        weight_kernel[(columns, splits, rows)](
            part, x, gy, total, each, weights, size, *strides, *x.shape[2:4], *gy.shape[2:4], inner, outer,
            side, step, pad, _wide(x, gy), precision, sizes.positions, sizes.channels, sizes.reduction,
            num_warps=sizes.warps, num_stages=sizes.stages,
        )  # fmt: skip
        if splits > 1:
            total_kernel[(triton.cdiv(size, BLOCK),)](gw, part, splits, size, inner, taps, BLOCK, ROWS)
    return gw


def _maps(
    x: Tensor,
    w: Tensor,
    *more: Tensor,
    shape: Sizes,
    step: int,
    pad: int,
    precision: str,
    tiles: Tiles | None,
    turned: bool,
) -> Tensor:
    """Compute maps of this shape: those of `conv`, or of `conv_input` if the kernel is turned."""
    tasks, outer, inner, side, _ = w.shape if not turned else (w.shape[0], w.shape[2], w.shape[1], *w.shape[3:])
    precision = "tf32x3" if precision == "float32" else precision
    y = x.new_empty(shape)
    total = prod(shape[:-1])
    sizes = tiles or maps_tiles(total, tasks, inner, outer, side, precision)
    taps = side * side
    strides = (inner * taps, inner * taps, taps, 1)
    if turned:
        strides = (inner * taps, taps, outer * taps, 1)
    pairs = [x, w, *more] if more else [x, w, x, w]
    if sizes.packed:
        order = (0, 2, 3, 4, 1) if turned else (0, 1, 3, 4, 2)
        pairs[1] = w.permute(order).contiguous()
        pairs[3] = more[1].permute(order).contiguous() if more else pairs[1]
        strides = (inner * taps, inner * taps, 1, inner)
    grid = (triton.cdiv(total, sizes.positions), tasks * triton.cdiv(outer, sizes.channels))
    with _on(x):
        maps_kernel[grid](
            y, *pairs, total, tasks, *x.shape[2:4], *shape[2:4], outer * inner * taps, *strides[1:], inner, outer,
            side, step, pad, turned, bool(more), _wide(x, y), precision,
            sizes.positions, sizes.channels, sizes.reduction, num_warps=sizes.warps, num_stages=sizes.stages,
        )  # fmt: skip
    return y


def maps_tiles(total: int, tasks: int, inner: int, outer: int, side: int, precision: str) -> Tiles:
    """Choose the tiles of `conv` and `conv_input` for `total` places, from `inner` channels to `outer`."""
    channels = min(_power(outer), 64)
    reduction = _reduction(inner, side, 16 if precision == "ieee" else 32)
    if channels == 64 and inner >= 16 and precision != "ieee":
        return Tiles(128, channels, reduction, warps=8)
    columns = tasks * triton.cdiv(outer, channels)
    positions = 64 if precision == "tf32x3" else 128  # three products take three times the registers
    while positions > 64 and triton.cdiv(total, positions) * columns < PROGRAMS:
        positions //= 2
    return Tiles(positions, channels, reduction)


def weight_tiles(inner: int, outer: int, side: int, precision: str) -> Tiles:
    """Choose the tiles of `conv_weight`."""
    channels, reduction = min(_power(outer), 64), _reduction(inner, side, 64)
    if precision == "tf32" and inner >= 16:
        return Tiles(64, channels, min(reduction, 32), stages=1)
    if reduction == 16 and inner < 16 and precision != "ieee":
        return Tiles(64, channels, reduction, stages=1)
    return Tiles(64 if precision == "tf32" else 32, channels, reduction, stages=1 if precision == "tf32x3" else 3)


def _reduction(inner: int, side: int, most: int) -> int:
    """Choose the pairs of tap and channel in a tile: within one tap if the channels are a multiple of 16."""
    size = most
    while size > 16 and inner % size:
        size //= 2
    return size if inner % size == 0 else min(_power(side * side * inner), most)


def _power(count: int) -> int:
    """Return the next power of two, and 16 at least: the smallest tile of a product."""
    power: int = triton.next_power_of_2(count)
    return max(16, power)


def _wide(*maps: Tensor) -> bool:
    """Tell whether offsets need 64 bits; the last tile reaches beyond the maps."""
    return max(each.numel() for each in maps) >= 2**31 - 2**20


def _on(x: Tensor) -> AbstractContextManager[object]:
    """Select the device of the kernels: that of `x`."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
