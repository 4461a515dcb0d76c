"""`nets.fast.norm_relu_pool` for CUDA devices: three or four launches for each function, whatever the number of groups.

Sums go by part into a buffer, in the maps' type; a small launch adds the parts and computes the few numbers that a
dense pass needs for each channel. Nothing depends on the order in which programs run. Tiles and parts are chosen by the
shapes alone. All tensors are contiguous.
"""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from mamlprobe.native.block_passes import BackwardResult, Directions, DoubleBackwardResult, Gradients, Kind, Saved
from mamlprobe.native.gpu.cell_forward import moments, moments_of_parts, outputs
from mamlprobe.native.gpu.cell_gradients import add, gradient, gradient_numbers, gradient_sums
from mamlprobe.native.gpu.cell_seconds import direction_sums, second, second_numbers

TILE = 2048
"""Values of one tile, in float32 and of one tensor; fewer if a program holds several tensors."""
WIDEST = 64
"""Most channels of one tile."""
PARTS_WIDTH = 16
"""Most channels of one tile of a launch that adds parts."""
PROGRAMS = 1024
"""About this number of programs sum the values of a large input."""


class _Split(NamedTuple):
    """How positions or cells of a group are divided."""

    grid: tuple[int, int]
    chunk: int
    parts: int
    tile: dict[str, int]


def _tile(like: Tensor, widest: int, share: int) -> dict[str, int]:
    lanes = min(widest, triton.next_power_of_2(like.shape[-1]))
    return {"ROWS": max(TILE * 4 // (like.element_size() * share * lanes), 1), "LANES": lanes}


def _split(count: int, like: Tensor, share: int, *, dense: bool = False) -> _Split:
    """Give each part of a dense pass a tile, else split for PROGRAMS programs or so; tiles 1 / share of the largest."""
    groups, channels = like.shape[0], like.shape[-1]
    tile = _tile(like, WIDEST, share)
    across = triton.cdiv(channels, tile["LANES"])
    tiles = max(triton.cdiv(count, tile["ROWS"]), 1)
    most = tiles if dense else max(PROGRAMS // (groups * across), 1)
    chunk = triton.cdiv(tiles, min(most, tiles)) * tile["ROWS"]
    parts = max(triton.cdiv(count, chunk), 1)
    return _Split((parts * across, groups), chunk, parts, tile)


def _parts(like: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Return grid and tile of a launch that adds parts, in float64 for all types."""
    tile = _tile(like, PARTS_WIDTH, 8 // like.element_size())
    return (triton.cdiv(like.shape[-1], tile["LANES"]), like.shape[0]), tile


def _sizes(y: Tensor, pool: int) -> tuple[int, int, int, int, int, int]:
    """Return positions, winners and cells (cut ones included) of a group, then height, width and channels."""
    _, rows, tall, wide, channels = y.shape
    winners = rows * (tall // pool) * (wide // pool)
    return rows * tall * wide, winners, rows * -(-tall // pool) * -(-wide // pool), tall, wide, channels


def _stride(vector: Tensor) -> int:
    return vector.shape[-1] if vector.shape[0] > 1 else 0


def forward(
    y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Saved]:
    """Compute `nets.fast.norm_relu_pool.forward`; the winners' positions are int8, counted within the cell."""
    groups, rows, tall, wide, channels = y.shape
    pool, first = kind.pool, int(kind.relu_first)
    sizes, stride = _sizes(y, pool), _stride(scale)
    p = y.new_empty(groups, rows, tall // pool, wide // pool, channels)
    off, which = torch.empty_like(p), torch.empty_like(p, dtype=torch.int8) if pool > 1 else None
    mean, rstd, var = (y.new_empty(groups, channels) for _ in range(3))
    split, (small, tile) = _split(sizes[0], y, 1), _parts(y)
    dense = _split(sizes[2], y, 2 * pool, dense=True)
    sums = y.new_empty(2, split.parts, groups, channels)
    with torch.cuda.device_of(y):
        moments_of_parts[split.grid](
            y, bias, sums, sizes[0], channels, stride, split.chunk, split.parts, FIRST=first, **split.tile
        )
        moments[small](sums, mean, rstd, var, sizes[0], channels, split.chunk, split.parts, EPS=eps, **tile)
        tensors = [y, bias, scale, shift, mean, rstd, p, off, p if which is None else which]
        outputs[dense.grid](*tensors, *sizes, stride, dense.chunk, FIRST=first, POOL=pool, **dense.tile)
    return p, var, Saved(y, bias, scale, shift, mean, rstd, p.detach(), off, which)


def backward(saved: Saved, gp: Tensor, kind: Kind) -> BackwardResult:
    """Compute `nets.fast.norm_relu_pool.backward`."""
    y, mean = saved.y, saved.mean
    p, off, which = saved.winners
    groups, channels = mean.shape
    pool, first = kind.pool, int(kind.relu_first)
    sizes, stride = _sizes(y, pool), _stride(saved.scale)
    made = BackwardResult(torch.empty_like(y), *(torch.empty_like(mean) for _ in range(3)))
    split, (small, tile) = _split(sizes[1], y, 2), _parts(y)
    dense = _split(sizes[2], y, 2 * pool, dense=not first)
    sums, numbers = y.new_empty(2, split.parts, groups, channels), y.new_empty(3, groups, channels)
    places = y.new_empty(dense.parts, groups, channels) if first else sums
    with torch.cuda.device_of(y):
        gradient_sums[split.grid](
            gp, p, off, sums, sizes[1], channels, split.chunk, split.parts, FIRST=first, **split.tile
        )
        tensors = [sums, saved.scale, saved.rstd, made.gbias, made.gscale, made.gshift, numbers]
        gradient_numbers[small](*tensors, sizes[0], channels, stride, split.parts, **tile)
        tensors = [gp, y, saved.bias, mean, p, p if which is None else which, numbers, made.gy, places]
        gradient[dense.grid](*tensors, *sizes, stride, dense.chunk, FIRST=first, POOL=pool, **dense.tile)
        if first:
            add[small](places, made.gbias, channels, dense.parts, **tile)
    return made


def double_backward(saved: Saved, gradients: Gradients, directions: Directions, kind: Kind) -> DoubleBackwardResult:
    """Compute `nets.fast.norm_relu_pool.double_backward`."""
    y, bias, mean = saved.y, saved.bias, saved.mean
    p, off, which = saved.winners
    gp, gscale, gshift = gradients
    hy, hbias, hscale, hshift = directions
    groups, channels = mean.shape
    pool, first = kind.pool, int(kind.relu_first)
    sizes, stride = _sizes(y, pool), _stride(saved.scale)
    made = DoubleBackwardResult(
        torch.empty_like(gp), torch.empty_like(y), torch.empty_like(mean), torch.empty_like(mean)
    )
    split, (small, tile) = _split(sizes[2], y, 2 * pool), _parts(y)
    dense = _split(sizes[2], y, 2 * pool, dense=not first)
    sums, numbers = y.new_empty(3, split.parts, groups, channels), y.new_empty(6, groups, channels)
    places = y.new_empty(dense.parts, groups, channels) if first else sums
    won = p if which is None else which
    flags = {"FIRST": first, "POOL": pool}
    with torch.cuda.device_of(y):
        tensors = [gp, y, bias, mean, hy, hbias, p, won, sums]
        direction_sums[split.grid](*tensors, *sizes, stride, split.chunk, split.parts, **flags, **split.tile)
        tensors = [sums, saved.scale, saved.rstd, gscale, gshift, hscale, hshift, made.xbias, made.xscale, numbers]
        second_numbers[small](*tensors, sizes[0], channels, stride, split.parts, **tile)
        tensors = [gp, y, bias, mean, hy, hbias, p, off, won, numbers, made.xgp, made.xy, places]
        second[dense.grid](*tensors, *sizes, stride, dense.chunk, **flags, **dense.tile)
        if first:
            add[small](places, made.xbias, channels, dense.parts, **tile)
    return made
