"""`cells` and the first convolution compiled for this CPU: built once a machine, kept in the cache folder."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from mamlprobe.base.cache import cache_folder
from mamlprobe.nets.cells import EPS, Kind

SOURCES = tuple(Path(__file__).with_name(name) for name in ("kernels.cpp", "winograd.h"))
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
ENDS = {torch.float32: "f32", torch.float64: "f64"}


def compiler() -> str | None:
    """The C++ compiler: the environment's CXX, else c++, g++ or clang++; None where there is none."""
    return next(
        (found for word in (os.environ.get("CXX"), "c++", "g++", "clang++") if word and (found := shutil.which(word))),
        None,
    )


@lru_cache
def library_path() -> Path | None:
    """Where the compiled kernels of this source, compiler and processor lie, or would lie; None without compiler.

    ``MAMLPROBE_KERNELS=off`` in the environment turns them off.
    """
    tool = compiler()
    if tool is None or os.environ.get("MAMLPROBE_KERNELS") == "off":
        return None
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    words = (*(source.read_text() for source in SOURCES), version, " ".join(FLAGS), platform.machine(), flags)
    return cache_folder() / f"kernels-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}.so"


def prepare() -> bool:
    """Compile the kernels unless that was done before (some seconds); whether they are there now.

    Until then, and where there is no compiler, nets take the general route.
    """
    path, tool = library_path(), compiler()
    if path is None or tool is None:
        return False
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            done = subprocess.run([tool, *FLAGS, str(SOURCES[0]), "-o", str(made)], capture_output=True, check=False)
            if done.returncode != 0:
                return False
            made.replace(path)
    kernels.cache_clear()
    return kernels() is not None


@lru_cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, if they were compiled before."""
    path = library_path()
    if path is None or not path.is_file():
        return None
    try:
        found = ctypes.CDLL(str(path))
    except OSError:
        return None
    keep_memory()
    return found


def keep_memory() -> None:
    """Let glibc keep freed blocks for the next use: a fresh one costs a page fault every 4 KB, often more than its use.

    Blocks above 1 GiB still go back at once. ``MAMLPROBE_MALLOC=default`` in the environment leaves the allocator be.
    """
    if os.environ.get("MAMLPROBE_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return
    mmap_threshold, trim_threshold = -3, -1
    system = ctypes.CDLL(None)
    system.mallopt(mmap_threshold, 1 << 30)
    system.mallopt(trim_threshold, 1 << 30)


def ready(x: Tensor) -> bool:
    """Whether the compiled kernels can take tensors like `x`."""
    return x.device.type == "cpu" and x.dtype in ENDS and kernels() is not None


def _call(name: str, tensors: Sequence[Tensor | None], numbers: Sequence[object]) -> None:
    like = next(x for x in tensors if x is not None)
    pointers = [ctypes.c_void_p(None if x is None else x.data_ptr()) for x in tensors]
    getattr(kernels(), f"{name}_{ENDS[like.dtype]}")(*pointers, *numbers)


def _tail(y: Tensor, scale: Tensor, kind: Kind) -> list[ctypes.c_int64]:
    stride = y.shape[-1] if scale.shape[0] > 1 else 0
    numbers = (*y.shape, stride, 2 * (kind.pool == 2) + kind.relu_first, torch.get_num_threads())
    return [ctypes.c_int64(int(number)) for number in numbers]


def forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`cells.forward`; all contiguous."""
    groups, rows, height, width, channels = y.shape
    out = y.new_empty(groups, rows, height // kind.pool, width // kind.pool, channels)
    mean, rstd, var = (
        y.new_empty(groups, channels),
        y.new_empty(groups, channels),
        y.new_empty(groups, channels, dtype=torch.float64),
    )
    _call("forward", [y, bias, scale, shift, out, mean, rstd, var], [ctypes.c_double(EPS), *_tail(y, scale, kind)])
    return out, mean, rstd, var.to(y.dtype)


def backward(
    gp: Tensor, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, rstd: Tensor, kind: Kind
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`cells.backward`; all contiguous."""
    gy, gbias = torch.empty_like(y), torch.zeros_like(mean)
    gscale, gshift = torch.empty_like(mean), torch.empty_like(mean)
    _call("backward", [gp, y, bias, scale, shift, mean, rstd, gy, gbias, gscale, gshift], _tail(y, scale, kind))
    return gy, gbias, gscale, gshift


def twice(
    gp: Tensor,
    y: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    rstd: Tensor,
    gscale: Tensor,
    gshift: Tensor,
    hy: Tensor,
    hbias: Tensor,
    hscale: Tensor,
    hshift: Tensor,
    kind: Kind,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`cells.twice`; all contiguous."""
    given = [gp, y, bias, scale, shift, mean, rstd, gscale, gshift, hy, hbias, hscale, hshift]
    made = [torch.empty_like(gp), torch.empty_like(y), torch.zeros_like(mean), torch.empty_like(mean)]
    _call("twice", [*given, *made], _tail(y, scale, kind))
    return made[0], made[1], made[2], made[3]


def _images(x: Tensor, y: Tensor, weights: int, step: int, grouped: bool) -> ctypes.Array[ctypes.c_int64]:
    """The shapes and strides of images x [B, R, C, H, W] and maps y [G, R, h, w, K]."""
    tasks, rows, _, height, width = x.shape
    tall, wide = y.shape[2:4]
    channels = y.shape[-1] // tasks if grouped else y.shape[-1]
    by_pixel = y.shape[-1]
    by_row = tall * wide * by_pixel
    by_task = channels if grouped else rows * by_row
    size = 9 * x.shape[2] * channels if weights > 1 else 0
    numbers = (tasks, rows, height, width, step, tall, wide, channels, by_task, by_row, by_pixel, size)
    return (ctypes.c_int64 * 12)(*numbers)


def first_conv(x: Tensor, weight: Tensor, step: int, grouped: bool) -> Tensor:
    """3x3 convolution, padding 1, of images x [B, R, C, H, W], C 1 or 3, by weights [B or 1, K, C, 3, 3].

    Maps [1, R, h, w, B*K] where grouped, else [B, R, h, w, K].
    """
    tasks, rows, colours, height, width = x.shape
    tall, wide, channels = (height - 1) // step + 1, (width - 1) // step + 1, weight.shape[1]
    y = x.new_empty((1, rows, tall, wide, tasks * channels) if grouped else (tasks, rows, tall, wide, channels))
    taps = weight.movedim(1, -1).contiguous()
    numbers = [
        _images(x, y, len(weight), step, grouped),
        ctypes.c_int64(colours),
        ctypes.c_int64(torch.get_num_threads()),
    ]
    _call("first_conv", [x, taps, y], numbers)
    return y


def first_conv_weight(x: Tensor, gy: Tensor, weights: int, step: int, grouped: bool) -> Tensor:
    """Gradient [B or 1, K, C, 3, 3] of the weights of `first_conv` from the gradient of its maps."""
    tasks, _, colours = x.shape[:3]
    channels = gy.shape[-1] // tasks if grouped else gy.shape[-1]
    found = x.new_empty(tasks, colours, 3, 3, channels)
    numbers = [_images(x, gy, weights, step, grouped), ctypes.c_int64(colours), ctypes.c_int64(torch.get_num_threads())]
    _call("first_conv_weight", [x, gy, found], numbers)
    found = found if weights > 1 or tasks == 1 else found.sum(0, keepdim=True)
    return found.movedim(-1, 1)


def _maps(x: Tensor, tasks: int, into: int, out: int) -> ctypes.Array[ctypes.c_int64]:
    """Shapes and strides of maps x [G, R, H, W, B*C] that a convolution of `tasks` groups takes to [..., B*K]."""
    groups, rows, height, width, _ = x.shape
    numbers = (tasks, groups * rows, height, width, into, out, into, tasks * into, out, tasks * out)
    return (ctypes.c_int64 * 10)(*numbers)


def conv(x: Tensor, w: Tensor, *more: Tensor, turned: bool = False) -> Tensor:
    """3x3 convolution, padding 1, of maps x [G, R, H, W, B*C] by weights [B, K, C, 3, 3], one group a task.

    `more` are a second x and w whose result is added. Turned, it is the gradient of the input: x has B*K channels.
    """
    tasks = w.shape[0]
    out, into = (w.shape[2], w.shape[1]) if turned else (w.shape[1], w.shape[2])
    y = x.new_empty(*x.shape[:-1], tasks * out)
    numbers = [ctypes.c_int64(n) for n in (1 + len(more) // 2, int(turned), torch.get_num_threads())]
    _call("conv", [x, w, *(more or (None, None)), y], [_maps(x, tasks, into, out), *numbers])
    return y


def conv_weight(x: Tensor, gy: Tensor, tasks: int) -> Tensor:
    """Gradient [B, K, C, 3, 3] of the weights of `conv`."""
    into, out = x.shape[-1] // tasks, gy.shape[-1] // tasks
    found = x.new_empty(tasks, out, into, 3, 3)
    _call("conv_weight", [x, gy, found], [_maps(x, tasks, into, out), ctypes.c_int64(torch.get_num_threads())])
    return found
