"""Convolutions of a user's module on a CPU: channels innermost, minimal filtering, second derivatives written out.

torch's own second derivative of a convolution transposes whole batches; here it is four more convolutions.
"""

import os
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.native.load import supported
from mamlprobe.nets.differentiated import derived_twice
from mamlprobe.nets.fast import compiled as kernels

PRECISIONS = frozenset((torch.float32,))
"""Types for which this is done: in float64 the operations, and so the digits, are those of a plain loop."""

FEWEST = 32
"""Channels in and out from which minimal filtering is faster than torch's own convolution."""

Gradients = tuple[Tensor | None, ...]


class Shape(NamedTuple):
    """How a convolution moves over its input, with torch's names."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def simple(self) -> bool:
        """Tell whether it keeps the size of maps, with a kernel of three by three."""
        return self == ((1, 1), (1, 1), (1, 1), 1)


def off() -> bool:
    """Tell whether the user wants torch's own operations."""
    return os.environ.get("MAMLPROBE_BLOCKS") == "off"


def taken(*given: Tensor | None) -> bool:
    """Tell whether these tensors are supported: on a CPU, all in one of the `PRECISIONS`, outside of autocast.

    ``MAMLPROBE_BLOCKS=off`` in the environment turns it off.
    """
    tensors = [each for each in given if each is not None]
    plain = all(type(each) in (Tensor, torch.nn.Parameter) and each.device.type == "cpu" for each in tensors)
    kinds = {each.dtype for each in tensors}
    return plain and len(kinds) == 1 and kinds <= PRECISIONS and not torch.is_autocast_enabled("cpu") and not off()


def innermost(x: Tensor) -> Tensor:
    """Put the channels of images [R, C, H, W] innermost in memory, where torch's and our kernels are faster."""
    return x.contiguous(memory_format=torch.channels_last)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> Tensor | None:
    """Compute maps [R, K, h, w] as torch's ``conv2d`` does, with its parameters; None if torch's own is faster.

    On a CPU torch's own is slower if minimal filtering can be used, or if maps are differentiated twice.
    """
    if isinstance(padding, str) or input.ndim != 4 or not taken(input, weight, bias):
        return None
    shape = Shape(_pair(stride), _pair(padding), _pair(dilation), groups)
    if not _filtered(input, weight, shape) and not (derived_twice() and torch.is_grad_enabled()):
        return None
    maps: Tensor = _Conv.apply(input, weight, bias, shape)
    return maps


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    return numbers * 2 if len(numbers) == 1 else numbers


def _filtered(x: Tensor, weight: Tensor, shape: Shape) -> bool:
    """Tell whether minimal filtering is faster, for the pass and all derivatives alike."""
    wide = min(weight.shape[:2]) >= FEWEST and x.shape[2] * x.shape[3] > 16
    return wide and shape.simple and weight.shape[2:] == (3, 3) and weight.shape[1] == x.shape[1] and supported(x)


def _maps(x: Tensor) -> Tensor:
    """Reorder images [R, C, H, W] as the kernels' [1, R, H, W, C]: a view if channels are innermost."""
    return x.permute(0, 2, 3, 1).contiguous().unsqueeze(0)


def _images(maps: Tensor) -> Tensor:
    """View maps [1, R, H, W, C] as images [R, C, H, W]."""
    return maps.squeeze(0).permute(0, 3, 1, 2)


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    if _filtered(x, weight, shape):
        y = _images(kernels.conv(_maps(x), weight.unsqueeze(0).contiguous()))
        return y if bias is None else y.add_(bias[:, None, None])
    return torch.conv2d(innermost(x), weight, bias, *shape)


def _backward(gy: Tensor, x: Tensor, weight: Tensor, shape: Shape, mask: tuple[bool, bool, bool]) -> Gradients:
    """Compute gradients of input, weight and bias, those that the mask asks for."""
    if not any(mask):
        return None, None, None
    if _filtered(x, weight, shape):
        maps, taps = _maps(gy), weight.unsqueeze(0).contiguous()
        gx = _images(kernels.conv(maps, taps, turned=True)) if mask[0] else None
        gw = kernels.conv_weight(_maps(x), maps, 1).squeeze(0) if mask[1] else None
        return gx, gw, maps.flatten(0, 3).sum(0) if mask[2] else None
    sizes = [weight.shape[0]] if mask[2] else None
    gradients = torch.ops.aten.convolution_backward(
        innermost(gy), innermost(x), weight, sizes, *shape[:3], False, [0, 0], shape.groups, mask
    )
    return tuple(gradients)


class _Conv(Function):
    """The convolution, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        return _forward(x, weight, bias, shape)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        return *_Gradient.apply(slopes[0], x, weight, ctx.shape, tuple(ctx.needs_input_grad[:3])), None


class _Gradient(Function):
    """The first derivative of `_Conv`: linear in gy, and in weight and x."""

    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, weight: Tensor, shape: Shape, mask: tuple[bool, bool, bool]
    ) -> Gradients:
        ctx.save_for_backward(gy, x, weight)
        ctx.shape = shape
        ctx.set_materialize_grads(False)
        return _backward(gy, x, weight, shape, mask)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Gradients:
        gy, x, weight = ctx.saved_tensors
        hx, hw, hb = slopes
        shape, (need_gy, need_x, need_w) = ctx.shape, ctx.needs_input_grad[:3]
        along = [_Conv.apply(hx, weight, None, shape)] if hx is not None and need_gy else []
        along += [_Conv.apply(x, hw, None, shape)] if hw is not None and need_gy else []
        along += [hb[:, None, None].expand_as(gy)] if hb is not None and need_gy else []
        gx = None if hw is None or not need_x else _Gradient.apply(gy, x, hw, shape, (True, False, False))[0]
        gw = None if hx is None or not need_w else _Gradient.apply(gy, hx, weight, shape, (False, True, False))[1]
        return sum(along[1:], along[0]) if along else None, gx, gw, None, None
