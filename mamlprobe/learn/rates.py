"""Step sizes of the inner loop: one number, one a parameter and step (LSLR), or one a weight (Meta-SGD)."""

from collections.abc import Callable

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.learn.methods import Inner
from mamlprobe.nets.params import Net, Params, adapting

Rates = Callable[[str, int], Tensor | float]
"""(parameter name, step) -> the factor on that parameter's gradient."""


def initial_rates(net: Net, params: Params, inner: Inner) -> Params:
    """The learned rates before training, all equal to ``inner.lr``; empty where rates are fixed."""
    if inner.rates == "fixed":
        return {}
    names = adapting(net, inner.adapts)
    if inner.rates == "layer_step":
        return {name: torch.full((inner.steps,), inner.lr, dtype=params[name].dtype) for name in names}
    return {name: torch.full_like(params[name], inner.lr) for name in names}


def rate_of(inner: Inner, learned: Params) -> Rates:
    """The rule that gives each parameter and step its rate.

    Raises:
        UserError: when a rate is asked for that was never learned.
    """
    if inner.rates == "fixed":
        return lambda name, step: inner.lr

    def rate(name: str, step: int) -> Tensor:
        if name not in learned:
            raise UserError(
                "rates", "all that adapts must have a learned rate", f"none for {name!r}", "adapt less or fix rates"
            )
        value = learned[name]
        if inner.rates == "parameter":
            return value
        if step >= len(value):
            raise UserError("rates", f"there are learned rates for {len(value)} steps", f"step {step + 1}", "use fewer")
        return value[step]

    return rate
