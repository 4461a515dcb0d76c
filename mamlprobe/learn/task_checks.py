"""Whether theta is the net's, and whether a method can use the tasks; checked before anything is computed."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import classes
from mamlprobe.learn.theta import Theta, drawn
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net

Shapes = dict[str, torch.Size]

_SHAPES: WeakKeyDictionary[Any, tuple[Shapes, Shapes]] = WeakKeyDictionary()
"""Net -> `shapes_of`."""


def of_its_net(where: str, net: Net, theta: Theta) -> None:
    """Refuse a theta whose tensors are not those of the net.

    Raises:
        UserError: other names or shapes of parameters or moments; parameters that adapt or learn and are no floats.
    """
    params, moments = shapes_of(net)
    advice = "take init(net, seed=0), or the theta that was learned with this net"
    if theta.net.keys() != params.keys():
        odd = sorted(theta.net.keys() ^ params.keys())
        raise UserError(where, "theta must have the parameters of the net", f"a difference in {odd[0]!r}", advice)
    for name, value in theta.net.items():
        if value.shape != params[name]:
            must, got = f"{name!r} of theta must be {list(params[name])}, as the net's", list(value.shape)
            raise UserError(where, must, got, advice)
        if not value.is_floating_point() and name not in net.fixed:
            raise UserError(where, f"{name!r} of theta must be real floats", value.dtype, "convert it")
    for name, value in theta.moments.items():
        if name not in moments or value.shape[-1:] != moments[name]:
            must = "moments of theta must be those of the net's batch norms"
            raise UserError(where, must, f"{name!r} of shape {list(value.shape)}", advice)


def each_of_its_net(where: str, net: Net, thetas: Sequence[Theta], episodes: Sequence[Episodes]) -> None:
    """Refuse runs of which one has a theta or tasks that do not go with the others.

    Raises:
        UserError: no run; as `of_its_net` and `on_one_device`; tasks of several shapes.
    """
    if not thetas or not episodes:
        got = f"{len(thetas)} thetas and {len(episodes)} batches of tasks"
        raise UserError(where, "there must be at least one run", got, "give one of each for every run")
    for theta in thetas:
        of_its_net(where, net, theta)
        for each in episodes:
            on_one_device(where, theta, each)
    shapes = {tuple((x.shape[1:], x.dtype) for x in (e.support_x, e.support_y, e.query_x, e.query_y)) for e in episodes}
    if len(shapes) > 1:
        got = " and ".join(str([list(size) for size, _ in each]) for each in list(shapes)[:2])
        raise UserError(where, "the tasks of all runs must be of one shape and type", got, "sample them alike")


def on_one_device(where: str, theta: Theta, episodes: Episodes) -> None:
    """Refuse theta and tasks that no device can compute together.

    Raises:
        UserError: tensors of theta on several devices, or on another than the tasks; a device without values.
    """
    devices = {value.device for value in theta.net.values()} | {episodes.support_x.device}
    if len(devices) > 1 or "meta" in {each.type for each in devices}:
        got = " and ".join(sorted(map(str, devices)))
        advice = "bring them together with theta.to(device) and episodes.to(device)"
        raise UserError(where, "theta and episodes must be on one device that holds values", got, advice)


def shapes_of(net: Net) -> tuple[Shapes, Shapes]:
    """Return the shapes of what the net starts from, by name: of its parameters and of its moments."""
    try:
        return _SHAPES[net]
    except (KeyError, TypeError):
        params, moments = ({name: x.shape for name, x in each.items()} for each in drawn(net, torch.Generator()))
    with suppress(TypeError):  # a net that cannot be a key is asked every time
        _SHAPES[net] = params, moments
    return params, moments


def suited(episodes: Episodes, theta: Theta, method: Method) -> Episodes:
    """Return the tasks in theta's precision, after a check that they have what the method reads.

    Raises:
        UserError: real targets if the method reads classes; a class without a support row if it takes the mean of each
            class; inner steps under ``torch.inference_mode()``.
    """
    for part in ("support_y", "query_y"):
        if method.loss == "cross_entropy" or method.readout != "head" or method.head == "prototype":
            classes(part, getattr(episodes, part))
    if method.readout != "head":
        every_class(f"readout {method.readout!r}", episodes)
    if method.head == "prototype":
        every_class("a head from prototypes", episodes)
    if torch.is_inference_mode_enabled() and method.inner.adapts:
        must = "the inner loop must be able to take gradients"
        raise UserError("method", must, "torch.inference_mode()", "leave it, or use torch.no_grad()")
    kinds = {value.dtype for value in theta.net.values() if value.is_floating_point()}
    x = episodes.support_x
    return (
        episodes.to(dtype=kinds.pop())
        if len(kinds) == 1 and x.is_floating_point() and x.dtype not in kinds
        else episodes
    )


def every_class(what: str, episodes: Episodes) -> None:
    """Refuse tasks without a support row of every class, which `what` needs.

    Raises:
        UserError: a class without one; a label that is none of the N.
    """
    if episodes.lacking is not None:
        task, label = episodes.lacking
        got = f"none of label {label} in task {task}"
        advice = "give one, or number the classes of each task from 0 without a gap"
        raise UserError("episodes", f"{what} needs a support row of every class", got, advice)


def chosen_steps(where: str, method: Method, steps: Sequence[int]) -> tuple[int, ...]:
    """Check the numbers of test steps.

    Raises:
        UserError: one that the method does not take, or none at all.
    """
    last = method.inner.test_steps
    if not len(steps) or any(not 0 <= step <= last for step in steps):
        raise UserError(where, f"steps must lie in 0-{last}", list(steps), "raise inner.test_steps")
    return tuple(steps)
