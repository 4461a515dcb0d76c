"""Properties of a head, found numerically: linear in its input, and with a gradient where its weights are zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mamlprobe.nets.modules.copies import twin

ROWS = 3

LARGE = 1e4
"""Scale of the features at which the logits of a linear head must be W f + b too."""

STEP, FAR = 0.1, 4.0
"""Length of a step from zero; the output must move by at least 1 / FAR of what its slope predicts."""

MAPS = ((), (4, 4), (1, 1), (8,))
"""Axes after the channels to try on a head whose inputs are not known."""


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Properties of a head that hold for all values of its parameters."""

    linear: bool
    """Whether its output is W f + b of its parameters, weight [N, F] and, if it has one, bias [N]."""
    slope_at_zero: bool
    """Whether its output moves with some parameter at all-zero parameters, as much as its gradient there predicts.

    It does not if a vector of zeros is normalised, as in a cosine: that has no direction, and a slope of 1e12 there.
    """


def head_facts(part: nn.Module, shape: Sequence[int]) -> HeadFacts:
    """Test a head with random parameters and inputs [R, *shape]; for an empty shape, try likely ones."""
    part = twin(part)  # other threads may be using this one
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
    return HeadFacts(linear=False, slope_at_zero=True)  # it does not run alone: nothing says that it cannot move


def _call(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> Tensor:
    buffers = {n: v.double() if v.is_floating_point() else v.clone() for n, v in part.named_buffers()}
    output: Tensor = functional_call(part, {**params, **buffers}, (features.clone(),))
    return output


def _linear(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> bool:
    ends = {name.rpartition(".")[2]: value for name, value in params.items()}
    if len(ends) != len(params) or set(ends) not in ({"weight"}, {"weight", "bias"}):
        return False
    weight, bias = ends["weight"], ends.get("bias")
    if weight.ndim != 2 or features.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        return False
    for size in (1, LARGE):  # at a large scale, logits that are clipped or squashed show
        with torch.no_grad():
            wanted, output = F.linear(size * features, weight, bias), _call(part, params, size * features)
        if output.shape != wanted.shape or not torch.allclose(output.double(), wanted, rtol=1e-5, atol=1e-6 * size):
            return False
    return True


@torch.enable_grad()
def _slope(part: nn.Module, params: Mapping[str, Tensor], features: Tensor) -> bool:
    zero = {name: torch.zeros_like(value).requires_grad_() for name, value in params.items()}
    output = _call(part, zero, features)
    if not output.isfinite().all() or not output.requires_grad:
        return False
    weights = torch.arange(1, output.numel() + 1, dtype=output.dtype, device=output.device).reshape(output.shape).sin()
    slopes = torch.autograd.grad((output * weights).sum(), list(zero.values()), allow_unused=True)
    gradients = {name: slope for name, slope in zip(zero, slopes, strict=True) if slope is not None}
    size = torch.stack([slope.norm() for slope in gradients.values()]).norm() if gradients else torch.zeros(())
    if not size.isfinite() or not any(bool(slope.any()) for slope in gradients.values() if slope.ndim > 1):
        return False
    with torch.no_grad():
        near = {name: STEP / size * gradients.get(name, value.detach()) for name, value in zero.items()}
        moved = ((_call(part, near, features) - output) * weights).sum()
    return bool(moved * FAR > STEP * size)
