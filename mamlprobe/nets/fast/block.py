"""The convolutional block with its own first and second derivative: the fast route behind `Conv4`.

Tasks with their own conv weights lie side by side in the channels, one group of the convolution each; tasks that share
them lie behind each other as rows, and the convolution is an ordinary one. Maps are [G, R, H, W, K] in memory, channels
innermost: grouped [1, R, H, W, B*K], else [B, R, H, W, K].

Two differentiable functions make a block: the convolution, whose second derivative is four more convolutions, and the
cells of norm, ReLU and pooling (`cells`). A third derivative is refused.
"""

import os
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.native.gpu import available
from mamlprobe.native.library import ENDS, supported
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.compiled import First
from mamlprobe.nets.fast.conv import Conv, FirstConv, Gradients, compiled_images, twice_differentiable_only
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import Kind, check_values

LEAST = 2**13
"""Input numbers from which on a CPU these blocks are the faster route without compiled kernels too."""


def fast(x: Tensor) -> bool:
    """Whether this route is to be taken for inputs like `x`: where it is the faster one.

    ``MAMLPROBE_BLOCKS=off`` in the environment turns it off.
    """
    if os.environ.get("MAMLPROBE_BLOCKS") == "off":
        return False
    known = x.device.type == "cpu" and x.dtype in ENDS
    return x.device.type == "cuda" or supported(x) or available.ready(x) or (known and x.numel() >= LEAST)


def grouped_maps(z: Tensor) -> Tensor:
    """[1, R, H, W, B*K] of maps [B, R, H, W, K]."""
    return z.permute(1, 2, 3, 0, 4).flatten(3).unsqueeze(0)


def by_task(z: Tensor, tasks: int) -> Tensor:
    """[B, R, H, W, K] of maps in either layout, as a view."""
    if z.shape[0] == tasks and tasks > 1:
        return z
    apart: Tensor = z.squeeze(0).unflatten(3, (tasks, -1))
    return apart.permute(3, 0, 1, 2, 4)


def block(
    z: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    window: Window,
    kind: Kind,
    images: bool,
    name: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps [B, R, h, w, K] after conv, norm, ReLU and pooling, and the moments of the norm [B, K], without graph.

    z [B, R, H, W, C], or images [B, R, C, H, W]; weight [B or 1, K, C, side, side]; bias, scale, shift [B or 1, K].
    """
    tasks = z.shape[0]
    grouped = weight.shape[0] > 1 or tasks == 1
    if images and not kind.relu_first and window.pad == 1 and compiled_images(z, window):
        lead = max(len(scale), len(shift))
        check_values(name, z.shape[1] * window.places(z.shape[3]) * window.places(z.shape[4]))
        vectors = [p.expand(lead, -1).contiguous() for p in (scale, shift)]
        taps = weight.movedim(1, -1).contiguous()
        p, mean, var = _First.apply(z.contiguous(), taps, bias, *vectors, kind, window.step, grouped)
        return by_task(p, tasks), mean + bias.detach(), var
    y = _convolve(z, weight, window, grouped=grouped, images=images)
    check_values(name, y.numel() // (tasks * weight.shape[1]))
    lead = max(p.shape[0] for p in (bias, scale, shift))
    vectors = [p.expand(lead, -1) for p in (bias, scale, shift)]
    if grouped:
        vectors = [p.expand(tasks, -1).reshape(1, -1) for p in vectors]
    p, mean, var = _Cells.apply(y, *(v.contiguous() for v in vectors), kind)
    mean, var = mean.reshape(tasks, -1), var.reshape(tasks, -1)
    return by_task(p, tasks), mean if kind.relu_first else mean + bias.detach(), var


def _convolve(z: Tensor, weight: Tensor, window: Window, *, grouped: bool, images: bool) -> Tensor:
    """Maps [G, R, h, w, K'] of the convolution."""
    if images and compiled_images(z, window):
        first: Tensor = FirstConv.apply(z.contiguous(), weight, window, grouped)
        return first
    z = z.movedim(2, -1) if images else z
    maps: Tensor = Conv.apply((grouped_maps(z) if grouped else z).contiguous(), weight.contiguous(), window)
    return maps


class _First(Function):
    """The whole first block of images that need no gradient: taps [B or 1, C, 3, 3, K].

    The norm comes before the ReLU, and the convolution's bias is cancelled by it: its gradient is 0.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        taps: Tensor,
        bias: Tensor,
        scale: Tensor,
        shift: Tensor,
        kind: Kind,
        step: int,
        grouped: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        p, var, kept = kernels.first_forward(x, taps, scale, shift, kind, step, grouped)
        ctx.save_for_backward(x, taps, bias, scale, shift, *kept)
        ctx.kind, ctx.step = kind, step
        mean = kept.mean.clone()
        ctx.mark_non_differentiable(mean, var)
        return p, mean, var

    @staticmethod
    def backward(ctx: Any, gp: Tensor, *_: Tensor) -> Gradients:
        x, taps, bias, scale, shift, *kept = ctx.saved_tensors
        gtaps, *found = _FirstGradient.apply(gp.contiguous(), x, taps, scale, shift, ctx.kind, ctx.step, *kept)
        return None, gtaps, torch.zeros_like(bias), *found, None, None, None


class _FirstGradient(Function):
    @staticmethod
    def forward(
        ctx: Any,
        gp: Tensor,
        x: Tensor,
        taps: Tensor,
        scale: Tensor,
        shift: Tensor,
        kind: Kind,
        step: int,
        *kept: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        gtaps, gscale, gshift, *more = kernels.first_backward(gp, x, taps, scale, shift, First(*kept), kind, step)
        ctx.save_for_backward(gp, x, taps, scale, shift, *kept, *more, gscale, gshift)
        ctx.kind, ctx.step = kind, step
        return _shared(gtaps, taps), _shared(gscale, scale), _shared(gshift, shift)

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, htaps: Tensor, hscale: Tensor, hshift: Tensor) -> Gradients:
        gp, x, taps, scale, shift, *kept, won, covariance, gscale, gshift = ctx.saved_tensors
        htaps, hscale, hshift = htaps.contiguous(), *(h.expand_as(gscale).contiguous() for h in (hscale, hshift))
        saved = (gp, x, taps, scale, shift, First(*kept), covariance, won, gscale, gshift)
        xgp, xtaps, xscale = kernels.first_twice(*saved, htaps, hscale, hshift, ctx.kind, ctx.step)
        return xgp, None, _shared(xtaps, taps), _shared(xscale, scale), None, *[None] * (2 + len(kept))


def _shared(per_group: Tensor, like: Tensor) -> Tensor:
    """[G, K] summed over groups where these share the parameter [1, K]."""
    return per_group if len(like) == len(per_group) else per_group.sum(0, keepdim=True)


def _route(y: Tensor) -> Any:
    """The module that computes cells of maps like `y`: on a GPU, by compiled kernels, or in torch."""
    if available.ready(y):
        from mamlprobe.native.gpu import cells as on_gpu  # imports Triton

        return on_gpu
    return kernels if supported(y) else cells


class _Cells(Function):
    """Norm, ReLU and pooling: y [G, R, H, W, K]; bias, scale, shift [G or 1, K]."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = y.contiguous()
        p, mean, rstd, var, *kept = _route(y).forward(y, bias, scale, shift, kind)
        ctx.save_for_backward(y, bias, scale, shift, mean, rstd, *kept)
        ctx.kind = kind
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)  # of the moments there are none
        return p, mean, var

    @staticmethod
    def backward(ctx: Any, gp: Tensor, *_: Tensor) -> Gradients:
        y, bias, scale, shift, mean, rstd, *kept = ctx.saved_tensors
        found = _CellsGradient.apply(gp.contiguous(), y, bias, scale, shift, mean, rstd, ctx.kind, *kept)
        return *found, None


class _CellsGradient(Function):
    @staticmethod
    def forward(
        ctx: Any,
        gp: Tensor,
        y: Tensor,
        bias: Tensor,
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        rstd: Tensor,
        kind: Kind,
        *kept: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gy, gbias, gscale, gshift = _route(y).backward(gp, y, bias, scale, shift, mean, rstd, kind, *kept)
        ctx.save_for_backward(gp, y, bias, scale, shift, mean, rstd, gscale, gshift, *kept)
        ctx.kind = kind
        return gy, _shared(gbias, bias), _shared(gscale, scale), _shared(gshift, shift)

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, hy: Tensor, *vectors: Tensor) -> Gradients:
        saved, kept = ctx.saved_tensors[:9], ctx.saved_tensors[9:]
        y, bias, scale = saved[1:4]
        along = [v.expand_as(saved[5]).contiguous() for v in vectors]
        xgp, xy, xbias, xscale = _route(y).twice(*saved, hy.contiguous(), *along, ctx.kind, *kept)
        return xgp, xy, _shared(xbias, bias), _shared(xscale, scale), *[None] * (4 + len(kept))
