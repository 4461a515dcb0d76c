"""Calls of every compiled kernel, at sizes that fill no vector and no tile, for a library that watches memory.

``python sanitized_kernels.py LIBRARY`` prints the kernels that it called; a library with sanitizers ends it at once
where one reads or writes beside a tensor.
"""

import ctypes
import itertools
import sys
from collections.abc import Iterator

import torch

from mamlprobe.measure.streamed_products import Products
from mamlprobe.native import load
from mamlprobe.native.arguments import PixelShape
from mamlprobe.native.block_passes import Directions, FirstDirections, FirstGradients, Gradients, Kind
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast.geometry import Window

TYPES = (torch.float32, torch.float64)
MAPS = [(1, 1, 2, 2, 1), (2, 2, 5, 3, 19), (1, 3, 3, 7, 37), (3, 1, 4, 4, 16)]
"""Groups, rows, height, width and channels."""
IMAGES = [(1, 2, 2, 1), (2, 7, 5, 19), (2, 4, 13, 35)]
"""Tasks, height, width and channels."""
CONVOLUTIONS = [(1, 1, 3, 5, 2, 1), (2, 3, 4, 7, 5, 19), (1, 5, 9, 6, 17, 33)]
"""Tasks, rows, height, width, channels in and out."""
WINDOWS = [Window(), Window(step=2), Window(step=2, pad=0), Window(side=2, pad=0), Window(4, 3, 2), Window(1, 1, 0)]


def blocks(dtype: torch.dtype) -> None:
    """Norm, ReLU and pooling: groups with vectors of their own, and shared."""
    for (groups, rows, height, width, channels), pool, first, own in itertools.product(MAPS, *[(False, True)] * 3):
        kind = Kind(1 + pool, first)
        y = torch.randn(groups, rows, height, width, channels, dtype=dtype)
        vectors = [torch.randn(groups if own else 1, channels, dtype=dtype) for _ in range(3)]
        p, _, saved = kernels.forward(y, *vectors, kind)
        made = kernels.backward(saved, torch.randn_like(p), kind)
        gradients = Gradients(torch.randn_like(p), made.gscale, made.gshift)
        kernels.double_backward(saved, gradients, Directions(*map(torch.randn_like, made)), kind)


def first_blocks(dtype: torch.dtype) -> None:
    """The first block and the first convolution: tasks side by side and behind each other."""
    cases = itertools.product(IMAGES, (1, 3), (1, 2), (1, 2), (False, True), (False, True))
    for (tasks, height, width, channels), colours, pool, step, own, grouped in cases:
        if step > 1 and min(height, width) < 3:  # nothing is left to pool
            continue
        kind, lead = Kind(pool, False), tasks if own else 1
        x = torch.randn(tasks, 2, colours, height, width, dtype=dtype)
        taps = torch.randn(lead, colours, 3, 3, channels, dtype=dtype)
        vectors = [torch.randn(lead, channels, dtype=dtype) for _ in range(2)]
        p, _, saved = kernels.first_forward(x, taps, *vectors, kind, step, grouped)
        made = kernels.first_backward(saved, torch.randn_like(p), kind, step)
        gradients = FirstGradients(torch.randn_like(p), *made[1:])
        directions = FirstDirections(torch.randn_like(taps), *(torch.randn_like(each) for each in made[1:3]))
        kernels.first_double_backward(saved, gradients, directions, kind, step)
        for window in (Window(step=step), Window(step=step, pad=0)):
            if min(window.places(height), window.places(width)) > 0:
                y = kernels.first_conv(x, taps.movedim(-1, 1), window, grouped)
                kernels.first_conv_weight(x, torch.randn_like(y), lead, window, grouped)


def convolutions(dtype: torch.dtype) -> None:
    """By minimal filtering, and by patches of every window."""
    for tasks, rows, height, width, into, out in CONVOLUTIONS:
        x, other = (torch.randn(1, rows, height, width, tasks * into, dtype=dtype) for _ in range(2))
        w, twin = (torch.randn(tasks, out, into, 3, 3, dtype=dtype) for _ in range(2))
        gy = torch.randn_like(kernels.conv(x, w, other, twin))
        kernels.conv(x, w)
        kernels.conv(gy, w, turned=True)
        kernels.conv_weight(x, gy, tasks)
        for window in WINDOWS:
            if min(window.places(height), window.places(width)) > 0:
                w, twin = (torch.randn(tasks, out, into, window.side, window.side, dtype=dtype) for _ in range(2))
                gy = torch.randn_like(kernels.direct(x, w, other, twin, window=window))
                kernels.direct(x, w, window=window)
                kernels.direct_input(gy, w, x, window=window)
                kernels.direct_weight(x, gy, tasks, window=window)


def tables(dtype: torch.dtype) -> None:
    """Inner products of few rows, of several pieces, and of full ones; images that are there, and one that is not."""
    for rows, f, g in [(1, 1, 1), (3, 2, 5), (1100, 7, 40), (512, 13, 16)]:
        sums = Products(f, g, dtype, torch.device("cpu"))
        sums.add(torch.randn(rows, f, dtype=dtype), torch.randn(rows, g, dtype=dtype))
        sums.finish()
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    for places, levels in itertools.product(([3, 0, 3], [], [4], [-1]), (None, torch.rand(2, 3, dtype=dtype))):
        out, rows = torch.empty(len(places), 3, 5, 7, dtype=dtype), torch.tensor(places, dtype=torch.int64)
        shape = PixelShape(all=4, count=len(places), colours=3, size=35)
        there = load.call("pixels", dtype, out, images, rows, levels, shape, torch.get_num_threads())
        assert there == (places not in ([4], [-1]))


def called(library: ctypes.CDLL) -> Iterator[str]:
    """Names of the kernels of that library, as they are called for the first time in either type."""
    call, seen = load.call, set()

    def watched(name: str, dtype: torch.dtype, *arguments: object) -> int:
        seen.add(f"{name} {dtype}")
        return call(name, dtype, *arguments)

    load.kernels = lambda: library
    for module in (sys.modules[Products.__module__], kernels, load):
        module.call = watched
    for dtype in TYPES:
        for part in (blocks, first_blocks, convolutions, tables):
            part(dtype)
    yield from sorted(seen)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(2)
    print("\n".join(called(ctypes.CDLL(sys.argv[1]))))
