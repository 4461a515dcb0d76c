"""Step sizes of the inner loop: one number, one a parameter and step (LSLR), or one a weight (Meta-SGD)."""

from collections.abc import Callable

import torch
from torch import Tensor

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
    """The rule that gives each parameter and step its rate."""
    if inner.rates == "fixed" or not learned:
        return lambda name, step: inner.lr
    if inner.rates == "layer_step":
        return lambda name, step: learned[name][step]
    return lambda name, step: learned[name]
