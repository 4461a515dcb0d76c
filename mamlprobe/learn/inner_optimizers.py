"""Steps of the inner loop: gradients times rates (one number, LSLR, Meta-SGD), or those of Adam."""

from collections.abc import Callable

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.learn.foreach import scaled
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import adapting

Rates = Callable[[str, int], Tensor | float]
"""(parameter name, step) -> the factor on that parameter's gradient."""

Rule = Callable[[Params, int], Params]
"""(gradients by name, step) -> what is subtracted from each parameter."""

BETA, EPS = 0.999, 1e-8


def sgd(rates: Rates) -> Rule:
    """Return the rule of gradient descent with these rates."""

    def rule(gradients: Params, step: int) -> Params:
        factors = {name: rates(name, step) for name in gradients}
        numbers = {rate for rate in factors.values() if not isinstance(rate, Tensor)}
        if len(numbers) == 1 and not any(isinstance(rate, Tensor) for rate in factors.values()):
            return dict(zip(gradients, scaled(numbers.pop(), list(gradients.values())), strict=True))
        return {name: factors[name] * slope for name, slope in gradients.items()}

    return rule


def adam(lr: float) -> Rule:
    """Return Adam with beta1 = 0 and a fresh state (Nichol et al. 2018, section 6.1; Kingma and Ba 2015, algorithm 1).

    At step t, from 1, with v = (1 - 0.999) sum of 0.999^(t - i) g_i^2: lr g_t / (sqrt(v / (1 - 0.999^t)) + 1e-8).
    """
    squares: Params = {}

    def rule(gradients: Params, step: int) -> Params:
        moves = {}
        for name, slope in gradients.items():
            new = (1 - BETA) * slope.square()
            squares[name] = BETA * squares[name] + new if name in squares else new
            moves[name] = lr * slope / ((squares[name] / (1 - BETA ** (step + 1))).sqrt() + EPS)
        return moves

    return rule


def initial_rates(net: Net, params: Params, inner: Inner) -> Params:
    """Make the learned rates before training, all equal to ``inner.lr``; empty if rates are fixed."""
    if inner.rates == "fixed":
        return {}
    names = adapting(net, inner.adapts)
    if inner.rates == "layer_step":
        return {name: params[name].new_full((inner.steps,), inner.lr) for name in names}
    return {name: torch.full_like(params[name], inner.lr) for name in names}


def rate_of(inner: Inner, learned: Params) -> Rates:
    """Return the function that gives each parameter and step its rate.

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
