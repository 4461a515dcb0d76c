"""Checks of the Triton convolutions by Triton's interpreter, a process of their own: it must be asked for at import.

``python interpreted_conv.py kernels|doors`` prints one line of JSON: relative errors against float64, by case.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.interpreter import mend
from mamlprobe.native.gpu import conv
from mamlprobe.nets.fast.conv import Conv
from mamlprobe.nets.fast.geometry import Window

CASES = [  # B, G, C, K, side, step, pad
    (1, 1, 1, 4, 3, 1, 1),
    (1, 2, 3, 32, 2, 1, 1),
    (1, 2, 32, 4, 2, 2, 0),
    (1, 2, 4, 48, 3, 2, 1),
    (1, 1, 48, 4, 2, 1, 1),
    (3, 1, 1, 32, 3, 2, 0),
    (3, 1, 3, 4, 2, 1, 0),
    (3, 1, 4, 4, 3, 1, 1),
    (3, 1, 4, 4, 2, 2, 1),
    (2, 1, 32, 32, 3, 1, 1),
    (2, 1, 32, 48, 2, 2, 1),
    (1, 1, 64, 4, 2, 1, 0),
]
MANY = (3, 1, 4, 4, 3, 1, 1)
"""The case of more rows, whose places are split."""
SMALL = conv.Tiles(16, 16, 16, packed=False)


def poison() -> None:
    """Lets new memory hold no numbers, so that what a kernel leaves out is seen."""
    given = torch.Tensor.new_empty

    def filled(self: Tensor, *shape: Any, **words: Any) -> Tensor:
        made = given(self, *shape, **words)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    torch.Tensor.new_empty = filled


def planes(maps: Tensor) -> Tensor:
    return maps.double().flatten(0, 1).movedim(-1, 1)


def error(found: Tensor, wanted: Tensor) -> float:
    wanted = wanted.movedim(1, -1).reshape(found.shape) if found.dim() == 5 and wanted.dim() == 4 else wanted
    found, wanted = found.detach().double(), wanted.detach()
    return float((found - wanted.reshape(found.shape)).norm() / wanted.norm())


def kernels() -> dict[str, float]:
    found = {}
    for case in CASES:
        tasks, groups, inner, outer, side, step, pad = case
        options = {"step": step, "pad": pad, "precision": "tf32x3"}
        tiles = SMALL if inner + outer < 16 else None
        rows = 8 if case == MANY else 1
        x, x2 = (torch.randn(groups, rows, 5, 4, tasks * inner) for _ in range(2))
        w, w2 = (torch.randn(tasks, outer, inner, side, side) for _ in range(2))
        leaves = [each.requires_grad_() for each in (planes(x), *(v.double().flatten(0, 1) for v in (w, w2)))]
        first = F.conv2d(leaves[0], leaves[1], None, step, pad, 1, tasks)
        second = F.conv2d(planes(x2), leaves[2], None, step, pad, 1, tasks)
        name = "-".join(map(str, case))
        y = conv.conv(x, w, **options)
        found[f"conv {name}"] = error(y, first)
        found[f"pair {name}"] = error(conv.conv(x, w, x2, w2, **options), first + second)
        gy, gy2 = torch.randn_like(y), torch.randn_like(y)
        gx, gw = torch.autograd.grad(first, leaves[:2], planes(gy), retain_graph=True)
        found[f"input {name}"] = error(conv.conv_input(gy, w, x_shape=x.shape, **options), gx)
        more = torch.autograd.grad(F.conv2d(leaves[0], leaves[2], None, step, pad, 1, tasks), leaves[0], planes(gy2))[0]
        both = conv.conv_input(gy, w, gy2, w2, x_shape=x.shape, **options, tiles=tiles)
        found[f"inputs {name}"] = error(both, gx + more)
        found[f"weight {name}"] = error(conv.conv_weight(x, gy, tasks, side, **options, tiles=tiles), gw.view(w.shape))
    return found


def doors() -> dict[str, float]:
    os.environ["MAMLPROBE_KERNELS"] = "gpu"
    found, calls = {}, []
    for name in ("conv", "conv_input", "conv_weight"):
        setattr(conv, name, counted(getattr(conv, name), calls))
    for tasks, window in ((2, Window()), (1, Window(2, 2, 0))):
        x, w = torch.randn(2 // tasks, 2, 5, 4, tasks * 3), torch.randn(tasks, 4, 3, window.side, window.side)
        y, seeds = torch.randn(Conv.apply(x, w, window).shape), [torch.randn(x.shape), torch.randn(w.shape)]
        mine = derivatives(lambda x, w, window=window: Conv.apply(x, w, window), x, w, y, seeds)

        def torchs(x: Tensor, w: Tensor, window: Window = window, tasks: int = tasks) -> Tensor:
            z = F.conv2d(planes(x), w.flatten(0, 1), None, window.step, window.pad, 1, tasks)
            return z.movedim(1, -1).unflatten(0, x.shape[:2])

        theirs = derivatives(torchs, x.double(), w.double(), y.double(), [each.double() for each in seeds])
        for name, one, other in zip(("x", "w", "y of both", "x of w", "w of x"), mine, theirs, strict=True):
            found[f"{name} {tasks}"] = error(one, other)
    assert len(calls) == 2 * (2 + 2 + 3), calls
    return found


def counted(call: Callable[..., Tensor], calls: list[str]) -> Callable[..., Tensor]:
    def wrapper(*args: Any, **words: Any) -> Tensor:
        calls.append(call.__name__)
        return call(*args, **words)

    return wrapper


def derivatives(make: Callable[..., Tensor], x: Tensor, w: Tensor, y: Tensor, seeds: list[Tensor]) -> list[Tensor]:
    """First derivatives along y, and the second along the seeds."""
    x, w, y = (each.requires_grad_() for each in (x, w, y.clone()))
    first = torch.autograd.grad(make(x, w), (x, w), y, create_graph=True)
    return [*(each.detach() for each in first), *torch.autograd.grad(first, (y, x, w), seeds)]


if __name__ == "__main__":
    mend()
    poison()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(json.dumps({"kernels": kernels, "doors": doors}[sys.argv[1]]()))
