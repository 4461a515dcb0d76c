"""Convolutions of many tasks with their own weights: ``python -m benchmarks.gpu_conv [--seconds 40] [--device cuda]``.

Every candidate computes the maps, the gradient of the input or that of the weights of one layer; a line each, those
that matter most first: milliseconds, TFLOP/s, and the error against float64 in the norm.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.training.precision import precision

Call = Callable[[], Tensor]
PASSES = ("forward", "input", "weight")
PRECISIONS = ("float32", "tf32x3", "tf32", "ieee")


class Layer(NamedTuple):
    """A convolution 3x3 with stride 1 and pad 1 of square maps."""

    work: str
    tasks: int
    rows: int
    inner: int
    outer: int
    size: int


LAYERS = (
    *(Layer("B", tasks, rows, 32, 32, 42) for tasks in (4, 16) for rows in (5, 75)),
    Layer("A", 16, 20, 64, 64, 14),
    *(Layer("B", 4, rows, 32, 32, size) for size in (21, 10) for rows in (5, 75)),
    Layer("B", 4, 5, 3, 32, 84),
    Layer("A", 16, 20, 1, 64, 28),
    Layer("A", 16, 20, 64, 64, 7),
    Layer("B", 4, 75, 3, 32, 84),
    *(Layer("B", 16, rows, 32, 32, size) for size in (21, 10) for rows in (5, 75)),
    *(Layer("B", 16, rows, 3, 32, 84) for rows in (5, 75)),
)
TINY = (Layer("tiny", 2, 1, 3, 4, 4),)


def rows(seconds: float, device: str = "cuda", layers: tuple[Layer, ...] | None = None) -> Iterator[dict[str, object]]:
    """Measurements, one at a time, until the seconds are over; a candidate that fails has a note instead."""
    end = time.monotonic() + seconds
    for layer in layers or (LAYERS if device == "cuda" else TINY):
        inputs = made(layer, device)
        for which in PASSES:
            if which == "input" and layer.inner < 4:
                continue  # images need no gradient
            exact = looped(which, [each.double() for each in inputs])()
            compiled(layer, which, inputs)
            for name, prepare, exactness in candidates(layer, which, inputs):
                if time.monotonic() > end:
                    return
                row = {**layer._asdict(), "pass": which, "name": name}
                try:
                    with exactness:
                        call = prepare()
                        found = call()
                        row["error"] = float((found - exact).norm() / exact.norm())
                        spent = milliseconds(call, device)
                    flops = 2 * 9 * layer.tasks * layer.rows * layer.size**2 * layer.inner * layer.outer
                    row |= {"milliseconds": round(spent, 4), "tflops": round(flops / spent / 1e9, 2)}
                except Exception as error:  # whatever it is, the others are still to be measured
                    row["note"] = f"{type(error).__name__}: {error}"[:300]
                yield row


def made(layer: Layer, device: str) -> list[Tensor]:
    """Maps x, weights and the gradient of y."""
    draw = torch.Generator(device).manual_seed(0)
    place = (1, layer.rows, layer.size, layer.size)
    shapes = (
        (*place, layer.tasks * layer.inner),
        (layer.tasks, layer.outer, layer.inner, 3, 3),
        (*place, layer.tasks * layer.outer),
    )
    return [torch.randn(shape, generator=draw, device=device) for shape in shapes]


def candidates(
    layer: Layer, which: str, inputs: list[Tensor]
) -> Iterator[tuple[str, Callable[[], Call], AbstractContextManager[object]]]:
    """Name, maker and surroundings of each."""
    for word in ("float32", "tf32"):
        exactness = partial(precision, word, inputs[0].device)
        for name, last in (("channels last", True), ("NCHW", False)):
            yield f"cudnn {word}, {name}", lambda last=last: torchs(which, inputs, last=last), exactness()
        yield f"cudnn {word}, loop", lambda: looped(which, inputs), exactness()
    for word in PRECISIONS:
        for numbers in choices(layer, which, word):
            name = f"triton {word}, {'rule' if numbers is None else ' '.join(map(str, numbers))}"
            yield name, lambda p=word, n=numbers: tritons(which, inputs, p, n), nullcontext()


def choices(layer: Layer, which: str, word: str) -> list[tuple[int, int, int, int, int, bool] | None]:
    """Tiles: None for the rule, else positions, channels, reduction, warps, stages, packed."""
    wide = layer.inner >= 16
    channels = min(max(16, layer.inner if which == "input" else layer.outer), 64)
    if which == "weight":
        found = [
            (64, channels, 32 if wide else 16, 4, 1, True),
            (32, channels, 32, 4, 1, True),
            (32, channels, 128 if wide else 32, 8, 2, True),
        ]
    else:
        least = 16 if word == "ieee" or not wide else 32
        found = [
            (128, channels, least, 8, 3, True),
            (64, channels, least, 4, 4, False),
            (256, min(channels, 32), least, 8, 2, True),
        ]
    return [None, *found[: 3 if word == "tf32x3" else 1]]


def torchs(which: str, inputs: list[Tensor], *, last: bool) -> Call:
    """Torch's grouped convolution: of maps channels last in memory, or copied to planes beforehand."""
    x, w, gy = inputs
    layout = torch.channels_last if last else torch.contiguous_format
    planes = [each[0].movedim(-1, 1).contiguous(memory_format=layout) for each in (x, gy)]

    def call() -> Tensor:
        filters = w.flatten(0, 1).contiguous(memory_format=layout)
        return product(which, planes[0], filters, planes[1], len(w))

    if which == "weight":
        return lambda: call().reshape(w.shape)
    return lambda: call().movedim(1, -1)[None]


def product(which: str, x: Tensor, w: Tensor, gy: Tensor, groups: int) -> Tensor:
    if which == "forward":
        return F.conv2d(x, w, None, 1, 1, 1, groups)
    mask, ones = [which == "input", which == "weight", False], [1, 1]
    found = torch.ops.aten.convolution_backward(gy, x, w, None, ones, ones, ones, False, [0, 0], groups, mask)
    return found[0] if which == "input" else found[1]


def looped(which: str, inputs: list[Tensor]) -> Call:
    """Torch's convolution of one task after the other, each channels last beforehand."""
    x, w, gy = inputs
    parts = [
        [each.contiguous(memory_format=torch.channels_last) for each in planes[0].movedim(-1, 1).chunk(len(w), 1)]
        for planes in (x, gy)
    ]
    filters = [each.contiguous(memory_format=torch.channels_last) for each in w]

    def call() -> list[Tensor]:
        return [product(which, *each, 1) for each in zip(parts[0], filters, parts[1], strict=True)]

    return lambda: torch.stack(call()) if which == "weight" else torch.cat(call(), 1).movedim(1, -1)[None]


def tritons(which: str, inputs: list[Tensor], word: str, numbers: tuple[int, ...] | None) -> Call:
    """The Triton kernel with these tiles."""
    from mamlprobe.native.gpu import conv

    x, w, gy = inputs
    tiles = None if numbers is None else conv.Tiles(*numbers)
    options = {"step": 1, "pad": 1, "precision": word, "tiles": tiles}
    if which == "forward":
        return lambda: conv.conv(x, w, **options)
    if which == "input":
        return lambda: conv.conv_input(gy, w, x_shape=tuple(x.shape), **options)
    return lambda: conv.conv_weight(x, gy, len(w), 3, **options)


def compiled(layer: Layer, which: str, inputs: list[Tensor]) -> None:
    """Compile the Triton kernels of all candidates side by side, where this Triton can; the later calls find them."""
    if not inputs[0].is_cuda:
        return
    try:
        from triton import AsyncCompileMode
        from triton.runtime.jit import JITFunction
    except ImportError:
        return
    launch = JITFunction.__getitem__
    JITFunction.__getitem__ = lambda self, grid: partial(self.run, grid=grid, warmup=True)
    try:
        with ThreadPoolExecutor(16) as pool, AsyncCompileMode(pool, ignore_errors=True):
            for name, prepare, _ in candidates(layer, which, inputs):
                if name.startswith("triton"):
                    with suppress(Exception):  # it is told when the candidate is called
                        prepare()()
    finally:
        JITFunction.__getitem__ = launch


def milliseconds(call: Call, device: str, repeats: int = 10) -> float:
    """Of one call: the median of three times ten, after two; on CUDA captured in a graph, which waits for no Python."""
    if device != "cuda":
        return statistics.median(wall(call) for _ in range(3))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            call()
    graph.replay()
    spent = []
    for _ in range(3):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        graph.replay()
        last.record()
        torch.cuda.synchronize()
        spent.append(first.elapsed_time(last) / repeats)
    return statistics.median(spent)


def wall(call: Call) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Print the rows as lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    for row in rows(options.seconds, options.device):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
