"""`norm_relu_pool`, the convolutions and the first block by the compiled kernels; see ``native/cpp``."""

from functools import lru_cache

import torch
from torch import Tensor

from mamlprobe.native.arguments import ConvShape, ImageShape, MapShape
from mamlprobe.native.block_passes import (
    BackwardResult,
    Directions,
    DoubleBackwardResult,
    FirstBackwardResult,
    FirstDirections,
    FirstDoubleBackwardResult,
    FirstGradients,
    FirstSaved,
    Gradients,
    Kind,
    Saved,
)
from mamlprobe.native.load import call
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import EPS


@lru_cache
def _map_shape(y: torch.Size, stride: int, kind: Kind) -> MapShape:
    groups, rows, height, width, channels = y
    return MapShape(
        groups=groups,
        rows=rows,
        height=height,
        width=width,
        channels=channels,
        stride=stride,
        pool=kind.pool,
        relu_first=kind.relu_first,
    )


def _stride(vectors: Tensor) -> int:
    """Return how far the vectors [G or 1, K] of two groups lie apart."""
    return vectors.shape[-1] if len(vectors) > 1 else 0


def forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Saved]:
    """Compute `norm_relu_pool.forward`; all tensors are contiguous."""
    groups, rows, height, width, channels = y.shape
    p = y.new_empty(groups, rows, height // kind.pool, width // kind.pool, channels)
    saved = Saved(y, bias, scale, shift, mean=y.new_empty(groups, channels), rstd=y.new_empty(groups, channels))
    var = y.new_empty(groups, channels, dtype=torch.float64)
    call(
        "forward",
        y.dtype,
        saved,
        p,
        var,
        _map_shape(saved.y.shape, _stride(saved.scale), kind),
        EPS,
        torch.get_num_threads(),
    )
    return p, var.to(y.dtype), saved


def backward(saved: Saved, gp: Tensor, kind: Kind) -> BackwardResult:
    """Compute `norm_relu_pool.backward`; all tensors are contiguous."""
    made = BackwardResult(
        gy=torch.empty_like(saved.y),
        gbias=torch.zeros_like(saved.mean),
        gscale=torch.empty_like(saved.mean),
        gshift=torch.empty_like(saved.mean),
    )
    call(
        "backward",
        gp.dtype,
        saved,
        gp,
        made,
        _map_shape(saved.y.shape, _stride(saved.scale), kind),
        torch.get_num_threads(),
    )
    return made


def double_backward(saved: Saved, gradients: Gradients, directions: Directions, kind: Kind) -> DoubleBackwardResult:
    """Compute `norm_relu_pool.double_backward`; all tensors are contiguous."""
    made = DoubleBackwardResult(
        xgp=torch.empty_like(gradients.gp),
        xy=torch.empty_like(saved.y),
        xbias=torch.zeros_like(saved.mean),
        xscale=torch.empty_like(saved.mean),
    )
    shape = _map_shape(saved.y.shape, _stride(saved.scale), kind)
    call("double_backward", saved.y.dtype, saved, gradients, directions, made, shape, torch.get_num_threads())
    return made


@lru_cache
def _image_shape(
    x: torch.Size, y: torch.Size, weights: int, window: Window, grouped: bool, *, pool: int = 1, stride: int = 0
) -> ImageShape:
    """Describe images x [B, R, C, H, W] and what is made of them, y [G, R, h, w, K]."""
    tasks, rows, colours, height, width = x
    tall, wide, by_pixel = y[2:]
    channels = by_pixel // tasks if grouped else by_pixel
    by_row = tall * wide * by_pixel
    return ImageShape(
        tasks=tasks,
        rows=rows,
        colours=colours,
        height=height,
        width=width,
        step=window.step,
        pad=window.pad,
        tall=tall,
        wide=wide,
        channels=channels,
        by_task=channels if grouped else rows * by_row,
        by_row=by_row,
        by_pixel=by_pixel,
        weight_stride=9 * colours * channels if weights > 1 else 0,
        pool=pool,
        stride=stride,
    )


def first_conv(x: Tensor, weight: Tensor, window: Window, grouped: bool) -> Tensor:
    """Convolve images x [B, R, C, H, W], C 1 or 3, by weights [B or 1, K, C, 3, 3], with a window of side 3.

    The maps are [1, R, h, w, B*K] if grouped, else [B, R, h, w, K].
    """
    tasks, rows, _, height, width = x.shape
    tall, wide, channels = window.places(height), window.places(width), weight.shape[1]
    y = x.new_empty((1, rows, tall, wide, tasks * channels) if grouped else (tasks, rows, tall, wide, channels))
    taps = weight.movedim(1, -1).contiguous()
    shape = _image_shape(x.shape, y.shape, len(weight), window, grouped)
    call("first_conv", x.dtype, x, taps, y, shape, torch.get_num_threads())
    return y


def first_conv_weight(x: Tensor, gy: Tensor, weights: int, window: Window, grouped: bool) -> Tensor:
    """Compute the gradient [B or 1, K, C, 3, 3] of the weights of `first_conv` from the gradient of its maps."""
    tasks, _, colours = x.shape[:3]
    channels = gy.shape[-1] // tasks if grouped else gy.shape[-1]
    gw = x.new_empty(tasks, colours, 3, 3, channels)
    shape = _image_shape(x.shape, gy.shape, weights, window, grouped)
    call("first_conv_weight", x.dtype, x, gy, gw, shape, torch.get_num_threads())
    gw = gw if weights > 1 or tasks == 1 else gw.sum(0, keepdim=True)
    return gw.movedim(-1, 1)


def _first_shape(saved: FirstSaved, kind: Kind, step: int) -> ImageShape:
    grouped = saved.picked.shape[0] == 1 and len(saved.x) > 1
    sizes, window, stride = (saved.x.shape, saved.picked.shape), Window(step=step), _stride(saved.scale)
    return _image_shape(*sizes, len(saved.taps), window, grouped, pool=kind.pool, stride=stride)


def first_forward(
    x: Tensor, taps: Tensor, scale: Tensor, shift: Tensor, kind: Kind, step: int, grouped: bool
) -> tuple[Tensor, Tensor, FirstSaved]:
    """Return p, variance [B, K] and saved tensors, of images x [B, R, C, H, W], C 1 or 3; the norm precedes the ReLU.

    taps [B or 1, C, 3, 3, K]; scale, shift [B or 1, K]; p is [1, R, h, w, B*K] if grouped, else [B, R, h, w, K].
    """
    tasks, rows, colours, height, width = x.shape
    tall, wide = (((size - 1) // step + 1) // kind.pool for size in (height, width))
    channels = taps.shape[-1]
    p = x.new_empty((1, rows, tall, wide, tasks * channels) if grouped else (tasks, rows, tall, wide, channels))
    saved = FirstSaved(
        x,
        taps,
        scale,
        shift,
        picked=torch.empty_like(p),
        which=torch.empty_like(p, dtype=torch.uint8),
        mean=x.new_empty(tasks, channels),
        rstd=x.new_empty(tasks, channels),
        patch_mean=x.new_empty(tasks, 9 * colours, dtype=torch.float64),
    )
    var = x.new_empty(tasks, channels, dtype=torch.float64)
    call("first_forward", x.dtype, saved, p, var, _first_shape(saved, kind, step), EPS, torch.get_num_threads())
    return p, var.to(x.dtype), saved


def first_backward(saved: FirstSaved, gp: Tensor, kind: Kind, step: int) -> FirstBackwardResult:
    """Compute each task's gradients, and what the second derivative needs."""
    size = saved.patch_mean.shape[1]
    made = FirstBackwardResult(
        gtaps=gp.new_empty(len(saved.x), *saved.taps.shape[1:]),
        gscale=torch.empty_like(saved.mean),
        gshift=torch.empty_like(saved.mean),
        won=gp.new_empty(len(saved.x), *saved.taps.shape[1:]),
        covariance=saved.patch_mean.new_empty(len(saved.x), size, size),
    )
    call("first_backward", gp.dtype, saved, gp, made, _first_shape(saved, kind, step), torch.get_num_threads())
    return made


def first_double_backward(
    saved: FirstSaved, gradients: FirstGradients, directions: FirstDirections, kind: Kind, step: int
) -> FirstDoubleBackwardResult:
    """Compute derivatives of <directions, first_backward>, each task's own."""
    made = FirstDoubleBackwardResult(
        xgp=torch.empty_like(gradients.gp),
        xtaps=torch.empty_like(gradients.won),
        xscale=torch.empty_like(gradients.gscale),
    )
    shape = _first_shape(saved, kind, step)
    call("first_double_backward", saved.x.dtype, saved, gradients, directions, made, shape, torch.get_num_threads())
    return made


@lru_cache
def _conv_shape(x: torch.Size, tasks: int, into: int, out: int, window: Window) -> ConvShape:
    """Describe maps x [G, R, H, W, B*C] and a convolution of `tasks` groups to [..., B*K]."""
    groups, rows, height, width, _ = x
    return ConvShape(
        tasks=tasks,
        rows=groups * rows,
        height=height,
        width=width,
        in_channels=into,
        out_channels=out,
        in_by_task=into,
        in_by_pixel=tasks * into,
        out_by_task=out,
        out_by_pixel=tasks * out,
        side=window.side,
        step=window.step,
        pad=window.pad,
    )


def conv(x: Tensor, w: Tensor, *more: Tensor, turned: bool = False) -> Tensor:
    """Convolve maps x [G, R, H, W, B*C] by weights [B, K, C, 3, 3], padding 1, one group for each task.

    `more` are a second x and w whose result is added. Turned, it is the gradient of the input: x has B*K channels.
    """
    tasks = w.shape[0]
    out, into = (w.shape[2], w.shape[1]) if turned else (w.shape[1], w.shape[2])
    y = x.new_empty(*x.shape[:-1], tasks * out)
    shape = _conv_shape(x.shape, tasks, into, out, Window())
    call("winograd", x.dtype, x, w, *(more or (None, None)), y, shape, turned, torch.get_num_threads())
    return y


def conv_weight(x: Tensor, gy: Tensor, tasks: int) -> Tensor:
    """Compute the gradient [B, K, C, 3, 3] of the weights of `conv`."""
    into, out = x.shape[-1] // tasks, gy.shape[-1] // tasks
    gw = x.new_empty(tasks, out, into, 3, 3)
    shape = _conv_shape(x.shape, tasks, into, out, Window())
    call("winograd_weight", x.dtype, x, gy, gw, shape, torch.get_num_threads())
    return gw


def direct(x: Tensor, w: Tensor, *more: Tensor, window: Window) -> Tensor:
    """Compute `conv` with any window, as a product of patches and weights."""
    tasks, out, into = w.shape[:3]
    tall, wide = (window.places(size) for size in x.shape[2:4])
    y = x.new_empty(*x.shape[:2], tall, wide, tasks * out)
    shape = _conv_shape(x.shape, tasks, into, out, window)
    call("direct", x.dtype, x, w, *(more or (None, None)), y, shape, torch.get_num_threads())
    return y


def direct_input(gy: Tensor, w: Tensor, x: Tensor, *, window: Window) -> Tensor:
    """Compute the gradient of the maps x of `direct`."""
    tasks, out, into = w.shape[:3]
    gx = torch.empty_like(x)
    call("direct_input", x.dtype, gy, w, gx, _conv_shape(x.shape, tasks, into, out, window), torch.get_num_threads())
    return gx


def direct_weight(x: Tensor, gy: Tensor, tasks: int, *, window: Window) -> Tensor:
    """Compute the gradient [B, K, C, side, side] of the weights of `direct`."""
    into, out = x.shape[-1] // tasks, gy.shape[-1] // tasks
    gw = x.new_empty(tasks, out, into, window.side, window.side)
    shape = _conv_shape(x.shape, tasks, into, out, window)
    call("direct_weight", x.dtype, x, gy, gw, shape, torch.get_num_threads())
    return gw
