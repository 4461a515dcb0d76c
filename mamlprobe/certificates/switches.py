"""Which fields of a method change a number: each is set back to its default, and all that a method does is compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.base.nested import flatten, unflatten
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import TERMS
from mamlprobe.nets.net import Net, Params

LABELS = {"name"}
"""Fields that are only read by people."""

IN_TRAINING = {"outer.optimizer", "outer.clip"}
"""Fields that act on the update after the outer gradient."""

MOST, MORE = 3, 2
"""At most so many others are set back with a field: if it is refused alone, and if it changes nothing alone."""

SAME = 1e-9
"""Largest difference of two numbers that count as the same, relative to the largest of all."""

Stepper = Callable[[Theta, Method, Params], Params]
"""(theta, method, gradients by name) -> what is learned after updates along them."""

Numbers = dict[str, Params]
"""Tensors by what they are: gradient, readings, test, start, rate, update."""


@dataclass(frozen=True, kw_only=True)
class SwitchEffect:
    """The result of setting a field back to its default."""

    field: str
    value: object
    changed: tuple[str, ...]
    """The kinds of numbers that changed."""
    at_default: tuple[str, ...] = ()
    """The fields that are at their defaults in both methods that were compared."""
    reason: str = ""
    """Why it is right that nothing changed; empty if something should have."""


def changed(method: Method, values: Mapping[str, Any]) -> Method:
    """Replace fields of the method, given by their dotted names.

    Raises:
        UserError: fields that do not go together.
    """
    nested = unflatten(values)
    groups = {name: replace(getattr(method, name), **each) for name, each in nested.items() if isinstance(each, dict)}
    return replace(method, **nested | groups)


def find_effect(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    seed: int,
    updates: int,
    stepper: Stepper | None = None,
) -> list[SwitchEffect]:
    """List what each field that is not at its default changes when set back, alone or with the fewest others needed."""
    usual, current = flatten(Method()), flatten(method)
    differing = [name for name in current if name not in LABELS and current[name] != usual[name]]
    allowed: dict[frozenset[str], Method | None] = {}
    known: dict[frozenset[str], Numbers] = {}

    def other(back: frozenset[str]) -> Method | None:
        """Return the method with these fields at their defaults; None if that is refused."""
        if back not in allowed:
            try:
                allowed[back] = changed(method, {name: usual[name] for name in back})
                init(net, seed=seed, method=allowed[back])
            except UserError:
                allowed[back] = None
        return allowed[back]

    def numbers(back: frozenset[str]) -> Numbers:
        """Return all numbers of the method with these fields at their defaults."""
        if back not in known:
            variant = other(back)
            assert variant is not None
            known[back] = _numbers(net, theta, episodes, variant, seed=seed, updates=updates, stepper=stepper)
        return known[back]

    def judged(field: str) -> SwitchEffect:
        """Set the field back alone, or together with the fewest others with which it changes something."""
        value, most = current[field], MOST
        reason = _idle(field, method, episodes, stepped=stepper is not None)
        if reason:
            return SwitchEffect(field=field, value=value, changed=(), reason=reason)
        others, count = [name for name in differing if name != field], 0
        while count <= min(most, len(others)):
            for at_default in combinations(others, count):
                back = frozenset(at_default)
                if other(back) is None or other(back | {field}) is None:
                    continue
                before, after, most = numbers(back), numbers(back | {field}), MORE
                kinds = tuple(kind for kind in before if not same(before[kind], after[kind]))
                if kinds:
                    return SwitchEffect(field=field, value=value, changed=kinds, at_default=at_default)
            count += 1
        return SwitchEffect(
            field=field, value=value, changed=(), reason="" if most == MORE else "not separable from others"
        )

    return [judged(field) for field in differing]


def _idle(field: str, method: Method, episodes: Episodes, *, stepped: bool) -> str:
    """Explain why nothing has to change with the field on these tasks; empty if something should."""
    rows = episodes.support_x.shape[1]
    if field in IN_TRAINING and not stepped:
        return "acts behind the gradient"
    if field == "loss" and episodes.support_y.is_floating_point():
        return "targets are real numbers"
    if field == "outer.rule" and method.outer.rule == "contrastive":
        return "with all its terms it equals the unrolled rule"
    if field == "outer.terms" and whole(method):
        return "the terms left out are zero here"
    if field == "inner.batch" and (method.inner.batch or 0) >= rows:
        return f"the support set has {rows} rows"
    return ""


def whole(method: Method) -> bool:
    """Tell whether the contrastive rule leaves out nothing: order 1 has three terms, a zeroed head has one."""
    terms = set(TERMS) - ({"curvature"} if method.inner.order == 1 else set())
    terms = {"contrastive"} if method.head == "zero_each_update" else terms
    return terms <= set(method.outer.terms) and method.outer.pairs == "all"


def same(one: Params, two: Params) -> bool:
    """Tell whether two dicts have the same names, shapes and, up to rounding, numbers."""
    if {n: v.shape for n, v in one.items()} != {n: v.shape for n, v in two.items()}:
        return False
    largest = max((float(v.abs().max()) for each in (one, two) for v in each.values() if v.numel()), default=0.0)
    return all(float((one[n] - two[n]).abs().max()) <= SAME * largest for n in one if one[n].numel())


def _numbers(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    seed: int,
    updates: int,
    stepper: Stepper | None,
) -> Numbers:
    """Compute all numbers of the method at theta, at its first update and after the end of its schedules."""
    fresh = init(net, seed=seed, method=method).to(theta_device(theta), torch.float64)
    here = fitted(theta, fresh)
    last = max(method.inner.first_order_updates, method.multi_step_updates)
    gradients: Params = {}
    readings: Params = {}
    for update in sorted({0, last}):
        part, seen = meta_gradient(net, here, episodes, resolve(method, update, updates))
        gradients |= {f"{update}.{name}": value for name, value in part.items()}
        readings |= {f"{update}.loss": seen.losses, **{f"{update}.{n}": v for n, v in seen.moments.items()}}
    tasks, path = inner_paths(net, here, episodes, method, stage="test", track="none")
    with torch.no_grad():
        test = tasks.query_logits(path[-1], step=len(path) - 1)
    rate = torch.tensor(resolve(method, updates // 2, updates).outer.lr, dtype=torch.float64, device="cpu")
    numbers = {"gradient": gradients, "readings": readings, "test": {"logits": test}}
    numbers |= {"start": {**fresh.learned, **fresh.moments}, "outer rate": {"rate": rate}}
    if stepper is not None:
        made: object = stepper(here, method, {name: _steady(value) for name, value in here.learned.items()})
        if not isinstance(made, dict):
            must = "stepper must return tensors by name"
            raise UserError("certify", must, f"a {type(made).__name__}", "return what is learned after the update")
        numbers["update"] = made
    return numbers


def fitted(theta: Theta, fresh: Theta) -> Theta:
    """Combine theta's parameters with the rest that a method learns: theta's if the shapes agree, else from `fresh`."""

    def those(known: Params, wanted: Params) -> Params:
        alike = {n: v.shape for n, v in known.items()} == {n: v.shape for n, v in wanted.items()}
        return known if alike else wanted

    parts = {part: those(getattr(theta, part), getattr(fresh, part)) for part in ("rates", "moments", "extra")}
    return replace(theta, **parts)


def theta_device(theta: Theta) -> torch.device:
    """Return the device of theta's tensors."""
    return next(iter(theta.net.values())).device


def _steady(value: Tensor) -> Tensor:
    """Make a gradient of many sizes, the same for every method: from 1e6 down to 1e-3 over the entries."""
    sizes = torch.logspace(6, -3, value.numel(), dtype=value.dtype, device=value.device)
    return sizes.reshape(value.shape)
