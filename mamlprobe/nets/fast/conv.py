"""Convolutions of maps [G, R, H, W, B*K] with their own first and second derivative."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.base.errors import UserError
from mamlprobe.native.gpu import available
from mamlprobe.native.load import supported
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import planes

InputGradients = tuple[Tensor | None, ...]
"""What a function's backward returns: one gradient for each argument."""


def twice_differentiable_only(backward: Callable[..., InputGradients]) -> Callable[..., InputGradients]:
    """Run `backward` without graph and refuse a third derivative: `once_differentiable` of torch loses gradients."""

    @wraps(backward)
    def wrapper(ctx: Any, *along: Tensor | None) -> InputGradients:
        if torch.is_grad_enabled() and any(h is not None and h.requires_grad for h in along):
            raise UserError(
                "conv4",
                "the fast blocks can be differentiated twice",
                "a third derivative",
                "set MAMLPROBE_BLOCKS=off in the environment, or leave out create_graph in the second",
            )
        with torch.no_grad():
            return backward(ctx, *along)

    return wrapper


def compiled_images(x: Tensor, window: Window) -> bool:
    """Tell whether the images [B, R, C, H, W] can take the compiled first convolution."""
    return window.side == 3 and x.shape[2] in (1, 3) and not x.requires_grad and supported(x)


def _filtered(x: Tensor, window: Window) -> bool:
    """Tell whether minimal filtering is faster than the product of patches and weights: not for the smallest maps."""
    return window == Window() and x.shape[2] * x.shape[3] > 16


def _gpu(x: Tensor, window: Window) -> bool:
    """Tell whether the Triton kernels take x; not with ``MAMLPROBE_GPU_CONV=cudnn`` in the environment."""
    if os.environ.get("MAMLPROBE_GPU_CONV") == "cudnn" or x.dtype != torch.float32 or window.side > 3:
        return False
    return _factors(x) == x.dtype and available.ready(x)


def _gpu_options(window: Window) -> dict[str, Any]:
    """Return step, pad and precision of the Triton kernels: that of torch's own convolutions, or nearly float32."""
    backend: Any = torch.backends.cudnn
    low = backend.conv.fp32_precision == "tf32" if hasattr(backend, "conv") else backend.allow_tf32
    return {"step": window.step, "pad": window.pad, "precision": "tf32" if low else "float32"}


def _conv(x: Tensor, w: Tensor, window: Window, *more: Tensor) -> Tensor:
    """Convolve maps x [G, R, H, W, B*C] by w [B, K, C, side, side]; add the result of a second x and w."""
    if _gpu(x, window):
        from mamlprobe.native.gpu import conv

        return conv.conv(x, w, *more, **_gpu_options(window))
    if supported(x):
        return kernels.conv(x, w, *more) if _filtered(x, window) else kernels.direct(x, w, *more, window=window)
    y = F.conv2d(planes(x), _filters(w), None, window.step, window.pad, 1, len(w)).movedim(1, -1).to(x.dtype)
    if more:
        y = y + F.conv2d(planes(more[0]), _filters(more[1]), None, window.step, window.pad, 1, len(w)).movedim(1, -1)
    maps: Tensor = y.contiguous().unflatten(0, x.shape[:2])
    return maps


def _filters(w: Tensor) -> Tensor:
    return w.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _conv_backward(
    gy: Tensor, x: Tensor, w: Tensor, window: Window, mask: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Compute gradients of the input and of the weight, those that the mask asks for."""
    if _gpu(x, window):
        from mamlprobe.native.gpu import conv

        options = _gpu_options(window)
        gx = conv.conv_input(gy, w, x_shape=tuple(x.shape), **options) if mask[0] else None
        return gx, conv.conv_weight(x, gy, len(w), w.shape[-1], **options) if mask[1] else None
    if supported(x) and _filtered(x, window):
        gx = kernels.conv(gy, w, turned=True) if mask[0] else None
        return gx, kernels.conv_weight(x, gy, len(w)) if mask[1] else None
    if supported(x):
        gx = kernels.direct_input(gy, w, x, window=window) if mask[0] else None
        return gx, kernels.direct_weight(x, gy, len(w), window=window) if mask[1] else None
    if not any(mask):
        return None, None
    ones, steps, pads = ([each, each] for each in (1, window.step, window.pad))
    flags = [*mask, False]
    low = [each.to(_factors(x)) for each in (planes(gy), planes(x), _filters(w))]
    gx, gw, _ = torch.ops.aten.convolution_backward(*low, None, steps, pads, ones, False, [0, 0], len(w), flags)
    gx = gx.to(x.dtype).movedim(1, -1).contiguous().unflatten(0, x.shape[:2]) if mask[0] else None
    return gx, gw.to(w.dtype).reshape(w.shape) if mask[1] else None


def _factors(x: Tensor) -> torch.dtype:
    """Return the type in which torch convolves x: that of autocast, which the derivative does not see by itself."""
    kind = x.device.type
    low = kind in ("cpu", "cuda") and x.dtype == torch.float32 and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if low else x.dtype


class Conv(Function):
    """`_conv`; weights that B tasks share have B = 1, and the tasks' maps follow each other as rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, window: Window) -> Tensor:
        """Compute the maps of the convolution."""
        ctx.save_for_backward(x, w)
        ctx.window = window
        return _conv(x, w, window)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> InputGradients:
        """Compute gradients, themselves differentiable once."""
        x, w = ctx.saved_tensors
        gx, gw = _ConvGradient.apply(gy.contiguous(), x, w, ctx.window, ctx.needs_input_grad[:2])
        return gx, gw, None


class _ConvGradient(Function):
    """The first derivative of `Conv`: bilinear in gy and (w, x), so its own derivative is four convolutions."""

    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, w: Tensor, window: Window, mask: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(gy, x, w)
        ctx.window = window
        ctx.set_materialize_grads(False)
        return _conv_backward(gy, x, w, window, mask)

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, hx: Tensor | None, hw: Tensor | None) -> InputGradients:
        gy, x, w = ctx.saved_tensors
        window = ctx.window
        need_gy, need_x, need_w = ctx.needs_input_grad[:3]
        pairs = [] if hx is None else [hx.contiguous(), w]
        pairs += [] if hw is None else [x, hw.contiguous()]
        ggy = _conv(pairs[0], pairs[1], window, *pairs[2:]) if need_gy and pairs else None
        gw = None if hx is None else _conv_backward(gy, hx.contiguous(), w, window, (False, need_w))[1]
        gx = None if hw is None else _conv_backward(gy, x, hw.contiguous(), window, (need_x, False))[0]
        return ggy, gx, gw, None, None


class FirstConv(Function):
    """The convolution of images that need no gradient, compiled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, window: Window, grouped: bool) -> Tensor:
        """Compute the maps of the convolution."""
        ctx.save_for_backward(x)
        ctx.weights, ctx.window, ctx.grouped = len(w), window, grouped
        return kernels.first_conv(x, w, window, grouped)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> InputGradients:
        """Compute gradients, themselves differentiable once."""
        (x,) = ctx.saved_tensors
        return None, _FirstConvGradient.apply(gy.contiguous(), x, ctx.weights, ctx.window, ctx.grouped), None, None


class _FirstConvGradient(Function):
    @staticmethod
    def forward(ctx: Any, gy: Tensor, x: Tensor, weights: int, window: Window, grouped: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.window, ctx.grouped = window, grouped
        return kernels.first_conv_weight(x, gy, weights, window, grouped)

    @staticmethod
    @twice_differentiable_only
    def backward(ctx: Any, hw: Tensor) -> InputGradients:
        (x,) = ctx.saved_tensors
        return kernels.first_conv(x, hw, ctx.window, ctx.grouped), None, None, None, None
