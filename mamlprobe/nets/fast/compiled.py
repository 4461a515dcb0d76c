"""`norm_relu_pool`, the convolutions and the first block by the compiled kernels; see ``native/cpp``."""

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from mamlprobe.native.load import call
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import EPS, Kind


def _tail(y: Tensor, scale: Tensor, kind: Kind) -> list[ctypes.c_int64]:
    stride = y.shape[-1] if scale.shape[0] > 1 else 0
    numbers = (*y.shape, stride, 2 * (kind.pool == 2) + kind.relu_first, torch.get_num_threads())
    return [ctypes.c_int64(int(number)) for number in numbers]


def forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute `norm_relu_pool.forward`; all tensors are contiguous."""
    groups, rows, height, width, channels = y.shape
    out = y.new_empty(groups, rows, height // kind.pool, width // kind.pool, channels)
    mean, rstd, var = (
        y.new_empty(groups, channels),
        y.new_empty(groups, channels),
        y.new_empty(groups, channels, dtype=torch.float64),
    )
    call("forward", [y, bias, scale, shift, out, mean, rstd, var], [ctypes.c_double(EPS), *_tail(y, scale, kind)])
    return out, mean, rstd, var.to(y.dtype)


def backward(
    gp: Tensor, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, rstd: Tensor, kind: Kind
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute `norm_relu_pool.backward`; all tensors are contiguous."""
    gy, gbias = torch.empty_like(y), torch.zeros_like(mean)
    gscale, gshift = torch.empty_like(mean), torch.empty_like(mean)
    call("backward", [gp, y, bias, scale, shift, mean, rstd, gy, gbias, gscale, gshift], _tail(y, scale, kind))
    return gy, gbias, gscale, gshift


def double_backward(
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
    """Compute `norm_relu_pool.double_backward`; all tensors are contiguous."""
    given = [gp, y, bias, scale, shift, mean, rstd, gscale, gshift, hy, hbias, hscale, hshift]
    made = [torch.empty_like(gp), torch.empty_like(y), torch.zeros_like(mean), torch.empty_like(mean)]
    call("twice", [*given, *made], _tail(y, scale, kind))
    return made[0], made[1], made[2], made[3]


def _images(x: Tensor, y: Tensor, weights: int, window: Window, grouped: bool) -> ctypes.Array[ctypes.c_int64]:
    """Return the shapes and strides of images x [B, R, C, H, W] and maps y [G, R, h, w, K]."""
    tasks, rows, _, height, width = x.shape
    tall, wide = y.shape[2:4]
    channels = y.shape[-1] // tasks if grouped else y.shape[-1]
    by_pixel = y.shape[-1]
    by_row = tall * wide * by_pixel
    by_task = channels if grouped else rows * by_row
    size = 9 * x.shape[2] * channels if weights > 1 else 0
    numbers = (tasks, rows, height, width, window.step, tall, wide, channels, by_task, by_row, by_pixel, size)
    return (ctypes.c_int64 * 13)(*numbers, window.pad)


def first_conv(x: Tensor, weight: Tensor, window: Window, grouped: bool) -> Tensor:
    """Convolve images x [B, R, C, H, W], C 1 or 3, by weights [B or 1, K, C, 3, 3], with a window of side 3.

    The maps are [1, R, h, w, B*K] if grouped, else [B, R, h, w, K].
    """
    tasks, rows, colours, height, width = x.shape
    tall, wide, channels = window.places(height), window.places(width), weight.shape[1]
    y = x.new_empty((1, rows, tall, wide, tasks * channels) if grouped else (tasks, rows, tall, wide, channels))
    taps = weight.movedim(1, -1).contiguous()
    numbers = [
        _images(x, y, len(weight), window, grouped),
        ctypes.c_int64(colours),
        ctypes.c_int64(torch.get_num_threads()),
    ]
    call("first_conv", [x, taps, y], numbers)
    return y


def first_conv_weight(x: Tensor, gy: Tensor, weights: int, window: Window, grouped: bool) -> Tensor:
    """Compute the gradient [B or 1, K, C, 3, 3] of the weights of `first_conv` from the gradient of its maps."""
    tasks, _, colours = x.shape[:3]
    channels = gy.shape[-1] // tasks if grouped else gy.shape[-1]
    gw = x.new_empty(tasks, colours, 3, 3, channels)
    numbers = [
        _images(x, gy, weights, window, grouped),
        ctypes.c_int64(colours),
        ctypes.c_int64(torch.get_num_threads()),
    ]
    call("first_conv_weight", [x, gy, gw], numbers)
    gw = gw if weights > 1 or tasks == 1 else gw.sum(0, keepdim=True)
    return gw.movedim(-1, 1)


class First(NamedTuple):
    """Tensors that the first block's forward pass saves for its derivatives."""

    picked: Tensor
    """The convolution's output at each cell's winner, as p."""
    which: Tensor
    """The winners' positions, uint8."""
    mean: Tensor
    rstd: Tensor
    """[B, K]."""
    patch_mean: Tensor
    """Of the images' patches [B, 9 C], float64."""


def _first_tail(x: Tensor, p: Tensor, w: Tensor, scale: Tensor, kind: Kind, step: int) -> list[object]:
    grouped = p.shape[0] == 1 and len(x) > 1
    stride = scale.shape[-1] if len(scale) > 1 else 0
    numbers = (x.shape[2], kind.pool, stride, torch.get_num_threads())
    return [_images(x, p, len(w), Window(step=step), grouped), *(ctypes.c_int64(int(n)) for n in numbers)]


def first_forward(
    x: Tensor, taps: Tensor, scale: Tensor, shift: Tensor, kind: Kind, step: int, grouped: bool
) -> tuple[Tensor, Tensor, First]:
    """Return p, variance [B, K] and saved tensors, of images x [B, R, C, H, W], C 1 or 3; the norm precedes the ReLU.

    taps [B or 1, C, 3, 3, K]; scale, shift [B or 1, K]; p is [1, R, h, w, B*K] if grouped, else [B, R, h, w, K].
    """
    tasks, rows, colours, height, width = x.shape
    tall, wide = (((size - 1) // step + 1) // kind.pool for size in (height, width))
    channels, size = taps.shape[-1], 9 * colours
    p = x.new_empty((1, rows, tall, wide, tasks * channels) if grouped else (tasks, rows, tall, wide, channels))
    saved = First(
        picked=torch.empty_like(p),
        which=torch.empty_like(p, dtype=torch.uint8),
        mean=x.new_empty(tasks, channels),
        rstd=x.new_empty(tasks, channels),
        patch_mean=x.new_empty(tasks, size, dtype=torch.float64),
    )
    var = x.new_empty(tasks, channels, dtype=torch.float64)
    tensors = [x, taps, scale, shift, p, saved.picked, saved.which, saved.mean, saved.rstd, var, saved.patch_mean]
    call("first_forward", tensors, [ctypes.c_double(EPS), *_first_tail(x, p, taps, scale, kind, step)])
    return p, var.to(x.dtype), saved


def first_backward(
    gp: Tensor, x: Tensor, taps: Tensor, scale: Tensor, shift: Tensor, saved: First, kind: Kind, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute each task's gradients of taps [B, C, 3, 3, K], scale and shift [B, K].

    Also return, for the second derivative, the winners' part of the first, and the covariance of the patches.
    """
    won, gw = (x.new_empty(len(x), *taps.shape[1:]) for _ in range(2))
    gscale, gshift = torch.empty_like(saved.mean), torch.empty_like(saved.mean)
    size = saved.patch_mean.shape[1]
    covariance = saved.patch_mean.new_empty(len(x), size, size)
    tensors = [gp, x, taps, scale, shift, *saved, covariance, won, gw, gscale, gshift]
    call("first_backward", tensors, _first_tail(x, gp, taps, scale, kind, step))
    return gw, gscale, gshift, won, covariance


def first_double_backward(
    gp: Tensor,
    x: Tensor,
    taps: Tensor,
    scale: Tensor,
    shift: Tensor,
    saved: First,
    covariance: Tensor,
    won: Tensor,
    gscale: Tensor,
    gshift: Tensor,
    htaps: Tensor,
    hscale: Tensor,
    hshift: Tensor,
    kind: Kind,
    step: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute derivatives of <(htaps, hscale, hshift), first_backward> for gp, taps and scale; that for shift is 0.

    htaps has as many tasks as taps; hscale, hshift, gscale and gshift are [B, K].
    """
    made = [torch.empty_like(gp), torch.empty_like(won), torch.empty_like(gscale)]
    given = [gp, x, taps, scale, shift, *saved, covariance, won, gscale, gshift, htaps, hscale, hshift]
    call("first_twice", [*given, *made], _first_tail(x, gp, taps, scale, kind, step))
    return made[0], made[1], made[2]


def _maps(x: Tensor, tasks: int, into: int, out: int) -> ctypes.Array[ctypes.c_int64]:
    """Return shapes and strides of maps x [G, R, H, W, B*C] for a convolution of `tasks` groups to [..., B*K]."""
    groups, rows, height, width, _ = x.shape
    numbers = (tasks, groups * rows, height, width, into, out, into, tasks * into, out, tasks * out)
    return (ctypes.c_int64 * 10)(*numbers)


def conv(x: Tensor, w: Tensor, *more: Tensor, turned: bool = False) -> Tensor:
    """Convolve maps x [G, R, H, W, B*C] by weights [B, K, C, 3, 3], padding 1, one group for each task.

    `more` are a second x and w whose result is added. Turned, it is the gradient of the input: x has B*K channels.
    """
    tasks = w.shape[0]
    out, into = (w.shape[2], w.shape[1]) if turned else (w.shape[1], w.shape[2])
    y = x.new_empty(*x.shape[:-1], tasks * out)
    numbers = [ctypes.c_int64(n) for n in (1 + len(more) // 2, int(turned), torch.get_num_threads())]
    call("conv", [x, w, *(more or (None, None)), y], [_maps(x, tasks, into, out), *numbers])
    return y


def conv_weight(x: Tensor, gy: Tensor, tasks: int) -> Tensor:
    """Compute the gradient [B, K, C, 3, 3] of the weights of `conv`."""
    into, out = x.shape[-1] // tasks, gy.shape[-1] // tasks
    gw = x.new_empty(tasks, out, into, 3, 3)
    call("conv_weight", [x, gy, gw], [_maps(x, tasks, into, out), ctypes.c_int64(torch.get_num_threads())])
    return gw


def _window(window: Window) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * 3)(*window)


def direct(x: Tensor, w: Tensor, *more: Tensor, window: Window) -> Tensor:
    """Compute `conv` with any window, as a product of patches and weights."""
    tasks, out, into = w.shape[:3]
    tall, wide = (window.places(size) for size in x.shape[2:4])
    y = x.new_empty(*x.shape[:2], tall, wide, tasks * out)
    numbers = [ctypes.c_int64(1 + len(more) // 2), _window(window), ctypes.c_int64(torch.get_num_threads())]
    call("direct", [x, w, *(more or (None, None)), y], [_maps(x, tasks, into, out), *numbers])
    return y


def direct_input(gy: Tensor, w: Tensor, x: Tensor, *, window: Window) -> Tensor:
    """Compute the gradient of the maps x of `direct`."""
    tasks, out, into = w.shape[:3]
    gx = torch.empty_like(x)
    numbers = [_maps(x, tasks, into, out), _window(window), ctypes.c_int64(torch.get_num_threads())]
    call("direct_input", [gy, w, gx], numbers)
    return gx


def direct_weight(x: Tensor, gy: Tensor, tasks: int, *, window: Window) -> Tensor:
    """Compute the gradient [B, K, C, side, side] of the weights of `direct`."""
    into, out = x.shape[-1] // tasks, gy.shape[-1] // tasks
    gw = x.new_empty(tasks, out, into, window.side, window.side)
    numbers = [_maps(x, tasks, into, out), _window(window), ctypes.c_int64(torch.get_num_threads())]
    call("direct_weight", [x, gy, gw], numbers)
    return gw
