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
from mamlprobe.nets.params import Net, Params

LABELS = {"name"}
"""Fields that are there to be read by people."""

IN_TRAINING = {"outer.optimizer", "outer.clip"}
"""Fields that act on the update behind the outer gradient."""

MOST, MORE = 3, 2
"""Other fields that are set back beside one, at most: where it is refused alone, and where it changes nothing alone."""

SAME = 1e-9
"""Largest difference of two numbers that count as the same, relative to the largest beside them."""

Stepper = Callable[[Theta, Method, Params], Params]
"""(theta, method, gradients by name) -> what is learned after updates along them."""

Numbers = dict[str, Params]
"""Tensors by what they are: gradient, readings, test, start, rate, update."""


@dataclass(frozen=True, kw_only=True)
class SwitchEffect:
    """What came of setting a field back."""

    field: str
    value: object
    changed: tuple[str, ...]
    """The kinds of numbers that were others then."""
    beside: tuple[str, ...] = ()
    """The fields that are at their defaults in both methods that were compared."""
    reason: str = ""
    """Why nothing need have changed; empty where something should."""


def changed(method: Method, values: Mapping[str, Any]) -> Method:
    """The method with other values of fields by their dotted names.

    Raises:
        UserError: fields that do not go together.
    """
    own = unflatten(values)
    groups = {name: replace(getattr(method, name), **each) for name, each in own.items() if isinstance(each, dict)}
    return replace(method, **own | groups)


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
    """What each field that is not at its default changes: it is set back alone, or with the fewest others needed."""
    usual, found = flatten(Method()), flatten(method)
    differing = [name for name in found if name not in LABELS and found[name] != usual[name]]
    allowed: dict[frozenset[str], Method | None] = {}
    known: dict[frozenset[str], Numbers] = {}

    def other(back: frozenset[str]) -> Method | None:
        """The method with these fields at their defaults; None where that is refused."""
        if back not in allowed:
            try:
                allowed[back] = changed(method, {name: usual[name] for name in back})
                init(net, seed=seed, method=allowed[back])
            except UserError:
                allowed[back] = None
        return allowed[back]

    def numbers(back: frozenset[str]) -> Numbers:
        """All that it does then."""
        if back not in known:
            there = other(back)
            assert there is not None
            known[back] = _numbers(net, theta, episodes, there, seed=seed, updates=updates, stepper=stepper)
        return known[back]

    def judged(field: str) -> SwitchEffect:
        """The field set back beside none of the others, or beside the fewest with which it changes something."""
        value, most = found[field], MOST
        reason = _idle(field, method, episodes, stepped=stepper is not None)
        if reason:
            return SwitchEffect(field=field, value=value, changed=(), reason=reason)
        others, count = [name for name in differing if name != field], 0
        while count <= min(most, len(others)):
            for beside in combinations(others, count):
                back = frozenset(beside)
                if other(back) is None or other(back | {field}) is None:
                    continue
                before, after, most = numbers(back), numbers(back | {field}), MORE
                kinds = tuple(kind for kind in before if not same(before[kind], after[kind]))
                if kinds:
                    return SwitchEffect(field=field, value=value, changed=kinds, beside=beside)
            count += 1
        return SwitchEffect(
            field=field, value=value, changed=(), reason="" if most == MORE else "not separable from others"
        )

    return [judged(field) for field in differing]


def _idle(field: str, method: Method, episodes: Episodes, *, stepped: bool) -> str:
    """Why nothing need change with the field on these tasks; empty where something should."""
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
    """Whether the contrastive rule leaves out nothing: in order 1 there are three terms, from a zeroed head one."""
    there = set(TERMS) - ({"curvature"} if method.inner.order == 1 else set())
    there = {"contrastive"} if method.head == "zero_each_update" else there
    return there <= set(method.outer.terms) and method.outer.pairs == "all"


def same(one: Params, two: Params) -> bool:
    """Whether two dicts hold the same names, shapes and numbers but for rounding."""
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
    """All that the method does at theta, on its first update and behind its schedules."""
    own = init(net, seed=seed, method=method).to(theta_device(theta), torch.float64)
    here = fitted(theta, own)
    last = max(method.inner.first_order_updates, method.multi_step_updates)
    gradients: Params = {}
    readings: Params = {}
    for update in sorted({0, last}):
        found, seen = meta_gradient(net, here, episodes, resolve(method, update, updates))
        gradients |= {f"{update}.{name}": value for name, value in found.items()}
        readings |= {f"{update}.loss": seen.losses, **{f"{update}.{n}": v for n, v in seen.moments.items()}}
    tasks, path = inner_paths(net, here, episodes, method, stage="test", track="none")
    with torch.no_grad():
        test = tasks.query_logits(path[-1], step=len(path) - 1)
    rate = torch.tensor(resolve(method, updates // 2, updates).outer.lr, dtype=torch.float64, device="cpu")
    numbers = {"gradient": gradients, "readings": readings, "test": {"logits": test}}
    numbers |= {"start": {**own.learned, **own.moments}, "outer rate": {"rate": rate}}
    if stepper is not None:
        numbers["update"] = stepper(here, method, {name: _steady(value) for name, value in here.learned.items()})
    return numbers


def fitted(theta: Theta, own: Theta) -> Theta:
    """Theta's parameters with what another method learns beside them: theta's where the shapes agree, else `own`."""

    def those(known: Params, wanted: Params) -> Params:
        alike = {n: v.shape for n, v in known.items()} == {n: v.shape for n, v in wanted.items()}
        return known if alike else wanted

    beside = {part: those(getattr(theta, part), getattr(own, part)) for part in ("rates", "moments", "extra")}
    return replace(theta, **beside)


def theta_device(theta: Theta) -> torch.device:
    """Where its tensors are."""
    return next(iter(theta.net.values())).device


def _steady(value: Tensor) -> Tensor:
    """A gradient of many sizes, the same for every method: from 1e6 down to 1e-3 over the entries."""
    sizes = torch.logspace(6, -3, value.numel(), dtype=value.dtype, device=value.device)
    return sizes.reshape(value.shape)
