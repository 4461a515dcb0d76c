"""Outer rules of one's own: a function that computes the gradients of a training in the place of `meta_gradient`."""

from collections.abc import Callable

import torch

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.runs.folder import Run

Rule = Callable[[Net, Theta, Episodes, Method], tuple[Params, Readings]]
"""(net, theta, tasks of one update, method) -> gradients of all that is learned by name, and the readings."""


def check_rule(rule: Rule | None, *, chunk: int | None, recompute: bool, graph: bool | None) -> None:
    """Refuse a rule without a name, and options that only the package's own rules have.

    Raises:
        UserError: for either.
    """
    if rule is None:
        return
    name = rule_name(rule)
    if name is None or not name.isidentifier():
        raise UserError("train", "an outer rule must have a name", name or repr(rule), "give a function made with def")
    for option, given in (("chunk", chunk is not None), ("recompute", recompute), ("graph", bool(graph))):
        if given:
            got = f"{option} with the rule {name!r}"
            raise UserError("train", f"{option} must go with a rule of the package", got, f"use {option} in the rule")


def rule_name(rule: Rule | None) -> str | None:
    """Return the name of the function, None if there is none."""
    return getattr(rule, "__name__", None)


def same_rule(run: Run, rule: Rule | None) -> None:
    """Refuse to go on with a run, or to take a finished one, that another rule trained.

    Raises:
        UserError: it was; the message says which one.
    """
    was, now = run.env.get("rule"), rule_name(rule)
    if run.env and was != now:
        advice = f"give rule={was}" if was else "leave out rule=, or choose another folder"
        raise UserError("train", f"{run.path} must go on with the outer rule it began with", now or "none", advice)


def computed(rule: Rule, net: Net, theta: Theta, episodes: Episodes, method: Method) -> list[tuple[Params, Readings]]:
    """Return what the rule gives, as `meta_gradients` does of one run.

    Raises:
        UserError: something else than gradients of all that is learned, by name, of its shape and kind of number, and
            readings.
    """
    made: object = rule(net, theta, episodes, method)
    what = f"the rule {rule_name(rule)!r}"
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], dict):
        must = f"{what} must return gradients by name and readings, as mp.meta_gradient does"
        raise UserError("train", must, f"a {type(made).__name__}", "return both")
    gradients, readings = made
    if not isinstance(readings, Readings):
        must = f"{what} must return readings behind the gradients"
        raise UserError("train", must, f"a {type(readings).__name__}", "return those of mp.meta_gradient")
    if odd := [name for name in gradients if name not in theta.learned]:
        raise unknown("train", f"gradient of {what}", str(odd[0]), theta.learned)
    for name, value in theta.learned.items():
        given = gradients.get(name)
        if not isinstance(given, torch.Tensor) or given.shape != value.shape:
            must = f"{what} must return a gradient of {name} of shape {list(value.shape)}"
            got = list(given.shape) if isinstance(given, torch.Tensor) else "none"
            raise UserError("train", must, got, "return zeros for what it does not train")
        if (given.dtype, given.device) != (value.dtype, value.device):
            must, kind = f"{what} must return a gradient of {name} in {value.dtype} on {value.device}", given.dtype
            raise UserError("train", must, f"{kind} on {given.device}", "return value.to(theta.learned[name])")
    return [({name: gradients[name].detach() for name in theta.learned}, readings)]
