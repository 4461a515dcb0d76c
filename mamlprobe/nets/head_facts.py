"""What a head is, found by numbers: linear in its input, and able to move from zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mamlprobe.nets.copies import twin

ROWS = 3

MAPS = ((), (4, 4), (1, 1), (8,))
"""Axes behind that of the channels to try on a head whose inputs are not known."""


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Of a head, whatever its parameters are."""

    linear: bool
    """Whether its output is W f + b of its parameters, weight [N, F] and, if it has one, bias [N]."""
    slope_at_zero: bool
    """Whether its output moves with some parameter where all of them are zero."""


def head_facts(part: nn.Module, shape: Sequence[int]) -> HeadFacts:
    """What is found with random parameters and inputs [R, *shape]; for an empty shape some are tried."""
    part = twin(part)  # others may be at work with this one
    params = {name: value.detach().double() for name, value in part.named_parameters()}
    draws = torch.Generator().manual_seed(0)
    random = {
        name: torch.randn(value.shape, generator=draws, dtype=torch.float64, device="cpu")
        for name, value in params.items()
    }
    widths = dict.fromkeys([value.shape[1] for value in params.values() if value.ndim > 1] or [1])
    for size in [tuple(shape)] if shape else [(width, *rest) for width in widths for rest in MAPS]:
        features = torch.randn(ROWS, *size, generator=draws, dtype=torch.float64, device="cpu")
        try:
            return HeadFacts(linear=_linear(part, random, features), slope_at_zero=_slope(part, random, features))
        except Exception:
            continue
    return HeadFacts(linear=False, slope_at_zero=True)  # it does not run on its own: not known to stand still


def _call(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> Tensor:
    buffers = {n: v.double() if v.is_floating_point() else v.clone() for n, v in part.named_buffers()}
    found: Tensor = functional_call(part, {**params, **buffers}, (features.clone(),))
    return found


def _linear(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> bool:
    ends = tuple(name.rpartition(".")[2] for name in params)
    weight, *bias = params.values()
    if ends not in (("weight",), ("weight", "bias")) or weight.ndim != 2 or features.ndim != 2:
        return False
    with torch.no_grad():
        wanted = features @ weight.T + (bias[0] if bias else 0)
        found = _call(part, params, features)
    return found.shape == wanted.shape and torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6)


@torch.enable_grad()
def _slope(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> bool:
    zero = {name: torch.zeros_like(value).requires_grad_() for name, value in params.items()}
    found = _call(part, zero, features)
    if not found.isfinite().all() or not found.requires_grad:
        return False
    weights = torch.arange(1, found.numel() + 1, dtype=found.dtype, device=found.device).reshape(found.shape).sin()
    slopes = torch.autograd.grad((found * weights).sum(), list(zero.values()), allow_unused=True)
    there = [slope for slope in slopes if slope is not None]
    weights_move = any(bool(slope.any()) for slope, value in zip(slopes, zero.values(), strict=True)
                       if slope is not None and value.ndim > 1)  # fmt: skip
    return all(bool(slope.isfinite().all()) for slope in there) and weights_move
