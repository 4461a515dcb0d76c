"""The parts of a method that change in the course of a training, as numbers for one update."""

import math
from dataclasses import replace

from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Outer

LEAST = 0.03
"""S times the least weight of an earlier step in the multi-step loss."""


def resolve(method: Method, update: int, updates: int) -> Method:
    """Return the method at update number `update` (from 0) of `updates`, its schedules turned into numbers."""
    order = 1 if update < method.inner.first_order_updates else method.inner.order
    inner = replace(method.inner, order=order, first_order_updates=0)
    outer = replace(method.outer, lr=outer_rate(method.outer, update, updates), schedule="constant", final_lr=0.0)
    weights = method.step_weights
    if update < method.multi_step_updates:
        weights = multi_step_weights(inner.steps, update / method.multi_step_updates)
    return replace(method, inner=inner, outer=outer, step_weights=weights, multi_step_updates=0)


def scheduled(method: Method) -> bool:
    """Tell whether something of the method changes in the course of a training."""
    inner, outer = method.inner, method.outer
    return outer.schedule != "constant" or inner.first_order_updates > 0 or method.multi_step_updates > 0


def outer_rate(outer: Outer, update: int, updates: int) -> float:
    """Compute the outer rate: constant, or from lr at the first update towards final_lr after the last."""
    done = min(update / max(updates, 1), 1.0)
    left = {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done}[outer.schedule]
    return outer.lr if outer.schedule == "constant" else outer.final_lr + (outer.lr - outer.final_lr) * left


def multi_step_weights(steps: int, done: float) -> tuple[float, ...]:
    """Compute the weights of the query losses after 1 ... S steps when the share `done` of the annealing is over.

    With K steps: max((1 - done) / K, 0.03 / K) for all but the last, which has what is left to 1 (Antoniou et al. 2019,
    section 4, numbers of the authors' program).
    """
    early = max((1 - done) / steps, LEAST / steps)
    return (early,) * (steps - 1) + (1 - (steps - 1) * early,)
