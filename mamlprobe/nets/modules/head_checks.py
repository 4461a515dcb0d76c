"""What a head is, found by numbers: linear in its input, and able to move from zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mamlprobe.nets.modules.copies import twin

ROWS = 3

LARGE = 1e4
"""Size of the features on which logits of a linear head are still W f + b."""

STEP, FAR = 0.1, 4.0
"""Length of a step from zero, and how many times less than its slope says the output may move then."""

MAPS = ((), (4, 4), (1, 1), (8,))
"""Axes behind that of the channels to try on a head whose inputs are not known."""


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Of a head, whatever its parameters are."""

    linear: bool
    """Whether its output is W f + b of its parameters, weight [N, F] and, if it has one, bias [N]."""
    slope_at_zero: bool
    """Whether its output moves with some parameter where all of them are zero, as its slope there says.

    Not where a vector of zeros is normalised, as in a cosine: it has no direction, and a slope of 1e12 there.
    """


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
    ends = {name.rpartition(".")[2]: value for name, value in params.items()}
    if len(ends) != len(params) or set(ends) not in ({"weight"}, {"weight", "bias"}):
        return False
    weight, bias = ends["weight"], ends.get("bias")
    if weight.ndim != 2 or features.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        return False
    for size in (1, LARGE):  # a bound that small logits do not reach is seen at large ones
        with torch.no_grad():
            wanted, found = F.linear(size * features, weight, bias), _call(part, params, size * features)
        if found.shape != wanted.shape or not torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6 * size):
            return False
    return True


@torch.enable_grad()
def _slope(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> bool:
    zero = {name: torch.zeros_like(value).requires_grad_() for name, value in params.items()}
    found = _call(part, zero, features)
    if not found.isfinite().all() or not found.requires_grad:
        return False
    weights = torch.arange(1, found.numel() + 1, dtype=found.dtype, device=found.device).reshape(found.shape).sin()
    slopes = torch.autograd.grad((found * weights).sum(), list(zero.values()), allow_unused=True)
    there = {name: slope for name, slope in zip(zero, slopes, strict=True) if slope is not None}
    size = torch.stack([slope.norm() for slope in there.values()]).norm() if there else torch.zeros(())
    if not size.isfinite() or not any(bool(slope.any()) for slope in there.values() if slope.ndim > 1):
        return False
    with torch.no_grad():
        near = {name: STEP / size * there.get(name, value.detach()) for name, value in zero.items()}
        moved = ((_call(part, near, features) - found) * weights).sum()
    return bool(moved * FAR > STEP * size)
