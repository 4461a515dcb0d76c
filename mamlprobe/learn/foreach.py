"""Arithmetic on lists of tensors, one launch each on a GPU, with derivatives; bit-equal to one tensor at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.nets.net import Params

Slopes = tuple[Tensor | None, ...]


def scaled(factor: float, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Multiply every tensor by the number."""
    return tuple(_Scaled.apply(factor, *values)) if values else ()


def differences(these: Sequence[Tensor], those: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Subtract `those` from `these`, one by one; the shapes are those of `these`."""
    return tuple(_Differences.apply(*these, *those)) if these else ()


def less(params: Params, moves: Params) -> Params:
    """Subtract each move from the parameter of its name; other parameters stay."""
    moved = differences([params[name] for name in moves], list(moves.values()))
    return {**params, **dict(zip(moves, moved, strict=True))}


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, factor: float, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.factor = factor
        ctx.set_materialize_grads(False)
        return tuple(torch._foreach_mul(list(values), factor))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Any, ...]:
        defined = [slope for slope in slopes if slope is not None]
        return None, *_spread(slopes, scaled(ctx.factor, defined))


class _Differences(Function):
    @staticmethod
    def forward(ctx: Any, *both: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        half = len(both) // 2
        return tuple(torch._foreach_sub(list(both[:half]), list(both[half:])))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Slopes:
        need = ctx.needs_input_grad[len(slopes) :]
        asked = [slope if wanted else None for slope, wanted in zip(slopes, need, strict=True)]
        defined = [slope for slope in asked if slope is not None]
        return *slopes, *_spread(asked, scaled(-1.0, defined))


def _spread(places: Sequence[Tensor | None], values: Sequence[Tensor]) -> list[Tensor | None]:
    """Put the values at the places that are not None."""
    remaining = iter(values)
    return [None if place is None else next(remaining) for place in places]
