"""Batch norm by its input's own statistics, with a second derivative written out: torch's own takes many more passes.

With x^ = (x - mean) r, r = (variance + eps)^-1/2 and N values a channel, the first derivative along gy is

    gb = sum gy,  gg = sum gy x^,  gx = g r (gy - gb/N - x^ gg/N),

and the second is that of <hx, gx> + hg gg + hb gb with respect to gy, x and g. Channels are on axis 1.
"""

from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function

Gradients = tuple[Tensor | None, ...]


def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Normalise x [R, C, ...] by its own mean and variance, scaled by weight and shifted by bias [C]."""
    normalised: Tensor = _Norm.apply(x, weight, bias, eps)
    return normalised


def _sums(x: Tensor) -> Tensor:
    """Sum x [R, C, ...] over all axes but the channels [C]."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]).sum(0)


def _along(values: Tensor, x: Tensor) -> Tensor:
    """Reshape numbers by channel [C] to be multiplied with x [R, C, ...]."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y, mean, rstd = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Gradients:
        x, weight, mean, rstd = ctx.saved_tensors
        gx, gg, gb = _Gradient.apply(slopes[0], x, weight, mean, rstd, ctx.eps)
        return gx, gg if weight is not None else None, gb if ctx.needs_input_grad[2] else None, None


class _Gradient(Function):
    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, rstd: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        scale = torch.ones_like(mean) if weight is None else weight
        gx, gg, gb = torch.ops.aten.native_batch_norm_backward(
            gy, x, scale, None, None, mean, rstd, True, eps, (True, True, True)
        )
        ctx.save_for_backward(gy, x, weight, mean, rstd, gg, gb)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return gx, gg, gb

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Gradients:
        gy, x, weight, mean, r, gg, gb = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        if torch.is_grad_enabled():  # for a third derivative: nothing here is constant
            mean = _sums(x) / n
            r = torch.rsqrt(_sums((x - _along(mean, x)) ** 2) / n + ctx.eps)
            gb, gg = _sums(gy), _sums(gy * (x - _along(mean, x))) * r
        zero = torch.zeros_like(mean)
        g = torch.ones_like(mean) if weight is None else weight
        hx, hg, hb = slopes[0], *(zero if each is None else each for each in slopes[1:])
        if hx is None:
            a, b, d = zero, zero, zero
        else:
            a, d = _sums(hx), _sums(hx * gy)
            b = (_sums(hx * x) - mean * a) * r
        bracket = d - gb * a / n - gg * b / n
        of_x = hg - g * r * b / n  # what multiplies x^ in the first result, and gy / r in the second
        offset = hb - g * r * a / n - of_x * r * mean
        along_gy = x * _along(of_x * r, x) + _along(offset, x)
        sum_e = hg * gb - g * r * (gb * b + gg * a) / n
        sum_ex = hg * gg - 2 * g * r * gg * b / n
        of_hat = -(r * sum_ex + g * bracket * r**2) / n
        along_x = gy * _along(r * of_x, x) + x * _along(of_hat * r, x) - _along(of_hat * r * mean + r * sum_e / n, x)
        if hx is not None:
            along_gy = along_gy + hx * _along(g * r, x)
            along_x = along_x - hx * _along(g * r**2 * gg / n, x)
        return along_gy, along_x, None if weight is None else r * bracket, None, None, None
