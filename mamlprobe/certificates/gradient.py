"""The gradient certificate: whether the outer gradient of a method, on these tasks, is what its settings say."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import torch

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.certificates.checks import FAILS, NOT_AVAILABLE, PASSES, Row, bounded
from mamlprobe.certificates.finite_differences import difference_errors
from mamlprobe.certificates.inner_loop import adapting_rows
from mamlprobe.certificates.reference.gradient import plain_gradient
from mamlprobe.certificates.reference.nets import slow, smooth
from mamlprobe.certificates.switches import Stepper, SwitchEffect, find_effect, whole
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings, meta_gradient
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.measure.relative_error import relative_error
from mamlprobe.methods.method import Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.nets.net import Net

DIFFERENCES = 1e-5
"""Bound on the error of finite differences."""

LOOP, ADAM_LOOP = 1e-8, 1e-6
"""Bounds against the plain loop; Adam divides slopes that are only rounding errors by their size plus 1e-8."""

NO_TWIN = "a module has no smooth twin; its kinks count"


@door(of_its_net, on_one_device)
def certify(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    seed: int = 0,
    updates: int = 1000,
    stepper: Stepper | None = None,
) -> pd.DataFrame:
    """Check the outer gradient of this method at theta on these tasks, in float64.

    Columns ``check what value bound verdict``; the verdict is passes, fails, or not available. Checks: finite
    differences of the outer loss on a smooth twin of the net; a plain loop over tasks and steps on the net itself; the
    order that the gradient equals; whether anything moves in the inner loop apart from what is to adapt; and, for every
    field that is not at its default, which numbers change when it is set back. A method with schedules is checked at
    its first update and after their end, in a training of `updates` updates. `stepper` updates what is learned, for the
    fields that act after the gradient. `seed` decides the directions of the differences.

    Raises:
        UserError: a method that does not go with this net or these tasks; fewer than one update.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.mlp(inputs=196, hidden=(8,)), mp.METHODS["anil"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.certify(net, theta, tasks, method)
        >>> table.groupby(["check", "verdict"]).size()
        check        verdict
        adapts       passes     2
        differences  passes     1
        field        passes     1
        order        passes     1
        plain loop   passes     2
        dtype: int64
        >>> table.loc[table["check"] == "order", "value"].item()
        'order 2'
    """
    if updates < 1:
        raise UserError("certify", "updates must be at least 1", updates, "give the length of the training")
    theta, episodes = theta.to(dtype=torch.float64), episodes.to(dtype=torch.float64)
    rows: list[Row] = []
    last = max(method.inner.first_order_updates, method.multi_step_updates)
    points = sorted({0, last})
    with bar(2 * len(points) + 2, "certify", unit="check") as advance:
        for update in points:
            now = resolve(method, update, updates)
            for part in (_differences(net, theta, episodes, now, seed), _loop(net, theta, episodes, now)):
                rows += [replace(row, what=f"{row.what}, update {update}") if last else row for row in part]
                advance(1)
        rows += adapting_rows(net, theta, episodes, method)
        advance(1)
        judged = find_effect(net, theta, episodes, method, seed=seed, updates=updates, stepper=stepper)
        rows += [_field(each) for each in judged]
        advance(1)
    return pd.DataFrame([vars(row) for row in rows])


def _differences(net: Net, theta: Theta, episodes: Episodes, method: Method, seed: int) -> Iterator[Row]:
    """Compare the outer gradient with finite differences."""
    check, rule = "differences", method.outer.rule
    if rule == "reptile":
        yield Row(check=check, what="Reptile's direction is the slope of no loss", verdict=NOT_AVAILABLE)
        return
    if rule == "contrastive" and not whole(method):
        yield Row(check=check, what="a part of the terms is the slope of no loss", verdict=NOT_AVAILABLE)
        return
    twin = smooth(net)
    which = "smooth twin" if twin is not None else NO_TWIN
    gradients, _ = meta_gradient(twin or net, theta, episodes, method)
    if rule == "implicit":
        other, _ = plain_gradient(twin or net, theta, episodes, method, curvature="differences")
        errors = {"curvature": relative_error(gradients, other)}
    else:
        errors = difference_errors(twin or net, theta, episodes, method, gradients, seed=seed)
    for part, error in errors.items():
        row = bounded(check, f"{PARTS[part]} ({which})", error, DIFFERENCES)
        yield row if twin is not None else replace(row, bound="", verdict=NOT_AVAILABLE)


PARTS = {
    "net": "slopes along parameters",
    "rates": "slopes along learned rates",
    "extra": "slopes along what else is learned",
    "curvature": "implicit gradient, curvature from slopes",
}
"""The text of a row about finite differences, by part of theta."""


def _loop(net: Net, theta: Theta, episodes: Episodes, method: Method) -> Iterator[Row]:
    """Compare the outer gradient, losses and order with the plain loop."""
    gradients, readings = meta_gradient(net, theta, episodes, method)
    alone = slow(net)
    wanted, losses = plain_gradient(alone, theta, episodes, method)
    bound = ADAM_LOOP if method.inner.optimizer == "adam" else LOOP
    labels = {"unrolled": "outer gradient", "reptile": "Reptile's direction", "implicit": "implicit gradient"}
    labels |= {"contrastive": "contrastive gradient"}
    yield bounded(
        "plain loop",
        f"{labels[method.outer.rule]}, all {len(wanted)} tensors",
        relative_error(gradients, wanted),
        bound,
    )
    yield bounded("plain loop", "query losses", _loss_error(readings, losses), bound)
    if method.outer.rule not in ("unrolled", "contrastive"):
        what = f"the {method.outer.rule} rule has no order"
        yield Row(check="order", what=what, verdict=NOT_AVAILABLE)
        return
    errors = {method.inner.order: relative_error(gradients, wanted)}
    other = 3 - method.inner.order
    of_other, _ = plain_gradient(alone, theta, episodes, replace(method, inner=replace(method.inner, order=other)))
    errors[other] = relative_error(gradients, of_other)
    equal = [order for order in (1, 2) if errors[order] <= bound]
    what = f"off order 1 by {errors[1]:.1e}, off order 2 by {errors[2]:.1e}"
    value = {0: "neither", 1: f"order {equal[0] if equal else 0}", 2: "both are the same here"}[len(equal)]
    verdict = PASSES if method.inner.order in equal else FAILS
    yield Row(check="order", what=what, value=value, bound=f"order {method.inner.order}", verdict=verdict)


def _loss_error(readings: Readings, losses: torch.Tensor) -> float:
    return relative_error({"losses": readings.losses}, {"losses": losses})


def _field(effect: SwitchEffect) -> Row:
    """Make the row that says what a field changes."""
    shown = ",".join(map(str, effect.value)) if isinstance(effect.value, tuple) else effect.value
    what = f"{effect.field} {shown if shown != '' else '()'}"
    if effect.changed:
        context = f", beside {', '.join(effect.at_default)} at default" if effect.at_default else ""
        return Row(check="field", what=what + context, value=", ".join(effect.changed), bound="changes", verdict=PASSES)
    what += f": {effect.reason}" if effect.reason else ""
    verdict = NOT_AVAILABLE if effect.reason else FAILS
    return Row(check="field", what=what, value="nothing", bound="changes", verdict=verdict)


def failed(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of a certificate that fail."""
    return table[table["verdict"] == FAILS]
