"""Whether a method can use the tasks; checked once for each batch, before anything is computed."""

from collections.abc import Sequence

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import classes
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method


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
