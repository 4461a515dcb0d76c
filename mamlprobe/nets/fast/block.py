"""The convolutional block with its own first and second derivative: the fast route behind `Conv4`.

Tasks with their own conv weights lie side by side in the channels, one group of the convolution each; tasks that share
them follow each other as rows, and the convolution is an ordinary one. Maps are [G, R, H, W, K] in memory, channels
innermost: grouped [1, R, H, W, B*K], else [B, R, H, W, K].

Two differentiable functions make a block: the convolution, whose second derivative is four more convolutions, and the
cells of norm, ReLU and pooling (`norm_relu_pool`). A third derivative is refused.
"""

import os
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.native.block_passes import (
    Directions,
    FirstDirections,
    FirstGradients,
    FirstSaved,
    Gradients,
    Kind,
    Saved,
)
from mamlprobe.native.gpu import available
from mamlprobe.native.load import TYPES, supported
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.conv import Conv, FirstConv, InputGradients, compiled_images, twice_differentiable_only
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import check_values

LEAST = 2**13
"""Number of input values from which these blocks are faster on a CPU even without compiled kernels."""


def fast(x: Tensor) -> bool:
    """Tell whether this route is taken for inputs like `x`: where it is the faster one.

    ``MAMLPROBE_BLOCKS=off`` in the environment turns it off.
    """
    if os.environ.get("MAMLPROBE_BLOCKS") == "off":
        return False
    known = x.device.type == "cpu" and x.dtype in TYPES
    return x.device.type == "cuda" or supported(x) or available.ready(x) or (known and x.numel() >= LEAST)


def grouped_maps(z: Tensor) -> Tensor:
    """Group maps [B, R, H, W, K] as [1, R, H, W, B*K]."""
    return z.permute(1, 2, 3, 0, 4).flatten(3).unsqueeze(0)


def by_task(z: Tensor, tasks: int) -> Tensor:
    """View maps in either layout as [B, R, H, W, K]."""
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
    """Compute maps [B, R, h, w, K] after conv, norm, ReLU and pooling, and the norm's moments [B, K] without graph.

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
    """Compute maps [G, R, h, w, K'] of the convolution."""
    if images and compiled_images(z, window):
        first: Tensor = FirstConv.apply(z.contiguous(), weight, window, grouped)
        return first
    z = z.movedim(2, -1) if images else z
    maps: Tensor = Conv.apply((grouped_maps(z) if grouped else z).contiguous(), weight.contiguous(), window)
    return maps


class _First(Function):
    """The whole first block of images that need no gradient: taps [B or 1, C, 3, 3, K].

    The norm comes before the ReLU, so it cancels the convolution's bias, whose gradient is 0.
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
        p, var, saved = kernels.first_forward(x, taps, scale, shift, kind, step, grouped)
        ctx.save_for_backward(bias, *saved)
        ctx.kind, ctx.step = kind, step
        mean = saved.mean.clone()
        ctx.mark_non_differentiable(mean, var)
        return p, mean, var

    @staticmethod
    def backward(ctx: Any, gp: Tensor, *_: Tensor) -> InputGradients:
        bias, *saved = ctx.saved_tensors
        gtaps, *gnorm = _FirstGradient.apply(gp.contiguous(), ctx.kind, ctx.step, *saved)
        return None, gtaps, torch.zeros_like(bias), *gnorm, None, None, None


class _FirstGradient(Function):
    @staticmethod
    def forward(ctx: Any, gp: Tensor, kind: Kind, step: int, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        saved = FirstSaved(*tensors)
        made = kernels.first_backward(saved, gp, kind, step)
        ctx.save_for_backward(gp, made.gscale, made.gshift, made.won, made.covariance, *saved)
        ctx.kind, ctx.step = kind, step
        vectors = _shared(made.gscale, saved.scale), _shared(made.gshift, saved.shift)
        return _shared(made.gtaps, saved.taps), *vectors

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, htaps: Tensor, *vectors: Tensor) -> InputGradients:
        gp, gscale, gshift, won, covariance, *tensors = ctx.saved_tensors
        saved, gradients = FirstSaved(*tensors), FirstGradients(gp, gscale, gshift, won, covariance)
        hscale, hshift = (h.expand_as(saved.mean).contiguous() for h in vectors)
        directions = FirstDirections(htaps.contiguous(), hscale, hshift)
        made = kernels.first_double_backward(saved, gradients, directions, ctx.kind, ctx.step)
        xtaps, xscale = _shared(made.xtaps, saved.taps), _shared(made.xscale, saved.scale)
        return made.xgp, None, None, None, xtaps, xscale, *[None] * (len(saved) - 3)


def _shared(per_group: Tensor, like: Tensor) -> Tensor:
    """Sum [G, K] over groups if these share the parameter [1, K]."""
    return per_group if len(like) == len(per_group) else per_group.sum(0, keepdim=True)


def _route(y: Tensor) -> Any:
    """Return the module that computes cells of maps like `y`: on a GPU, by compiled kernels, or in torch."""
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
        p, var, saved = _route(y).forward(y.contiguous(), bias, scale, shift, kind)
        ctx.save_for_backward(*saved)
        ctx.kind = kind
        ctx.mark_non_differentiable(saved.mean, var)
        ctx.set_materialize_grads(False)  # the moments have no gradients
        return p, saved.mean, var

    @staticmethod
    def backward(ctx: Any, gp: Tensor, *_: Tensor) -> InputGradients:
        return *_CellsGradient.apply(gp.contiguous(), ctx.kind, *ctx.saved_tensors), None


class _CellsGradient(Function):
    @staticmethod
    def forward(ctx: Any, gp: Tensor, kind: Kind, *tensors: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        saved = Saved(*tensors)
        made = _route(saved.y).backward(saved, gp, kind)
        ctx.save_for_backward(gp, made.gscale, made.gshift, *saved)
        ctx.kind = kind
        vectors = _shared(made.gscale, saved.scale), _shared(made.gshift, saved.shift)
        return made.gy, _shared(made.gbias, saved.bias), *vectors

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, hy: Tensor, *vectors: Tensor) -> InputGradients:
        gp, gscale, gshift, *tensors = ctx.saved_tensors
        saved = Saved(*tensors)
        directions = Directions(hy.contiguous(), *(h.expand_as(saved.mean).contiguous() for h in vectors))
        made = _route(saved.y).double_backward(saved, Gradients(gp, gscale, gshift), directions, ctx.kind)
        xbias, xscale = _shared(made.xbias, saved.bias), _shared(made.xscale, saved.scale)
        return made.xgp, None, made.xy, xbias, xscale, *[None] * (len(saved) - 3)
