"""Arithmetic on lists of tensors, each in one launch on a GPU, with derivatives; the bits are those of one by one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.autograd import Function
from mamlprobe.nets.params import Params

Slopes = tuple[Tensor | None, ...]


def scaled(factor: float, values: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Multiply every tensor by the number."""
    return tuple(_Scaled.apply(factor, *values)) if values else ()


def differences(these: Sequence[Tensor], those: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Subtract those from these, one by one; shapes as in these."""
    return tuple(_Differences.apply(*these, *those)) if these else ()


def less(params: Params, moves: Params) -> Params:
    """Subtract each move from the parameter of its name; the others as they are."""
    found = differences([params[name] for name in moves], list(moves.values()))
    return {**params, **dict(zip(moves, found, strict=True))}


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, factor: float, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.factor = factor
        ctx.set_materialize_grads(False)
        return tuple(torch._foreach_mul(list(values), factor))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Any, ...]:
        there = [slope for slope in slopes if slope is not None]
        return None, *_spread(slopes, scaled(ctx.factor, there))


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
        there = [slope for slope in asked if slope is not None]
        return *slopes, *_spread(asked, scaled(-1.0, there))


def _spread(places: Sequence[Tensor | None], found: Sequence[Tensor]) -> list[Tensor | None]:
    """What was found, where there was something."""
    left = iter(found)
    return [None if place is None else next(left) for place in places]
