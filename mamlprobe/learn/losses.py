"""Losses and accuracies, one number a task."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.native.gpu.available import ready
from mamlprobe.nets.net import Params
from mamlprobe.nets.params import by_task

NONE_LEFT_OUT = -(2**62)
"""No label: torch ignores rows whose label is -100, unless it is given another number."""


@contextmanager
def _in_range(logits: Tensor, labels: Tensor) -> Iterator[None]:
    """Say which labels have no logit, if torch does not; labels are read only after a failure."""
    try:
        yield
    except (IndexError, RuntimeError) as error:
        low, high = (int(value) for value in torch.aminmax(labels))
        if low >= 0 and high < logits.shape[-1]:
            raise
        must = f"labels must lie in 0..{logits.shape[-1] - 1}, one for each output of the net"
        advice = "number the classes of a task from 0, or give the net's head that many outputs"
        raise UserError("loss", must, f"{low}..{high}", advice) from error


def classes(name: str, labels: Tensor) -> None:
    """Refuse labels that are no class numbers, by their type and shape alone.

    Raises:
        UserError: floats, which are real targets.
    """
    if labels.is_floating_point():
        advice = "of one-hot rows give the argmax(-1)" if labels.ndim > 2 else "give .long() of class numbers"
        must = f"{name} must be class numbers [B, R] int64 under cross_entropy and readouts without a head"
        raise UserError(
            "loss", must, f"{list(labels.shape)} {labels.dtype}", f"{advice}, or set loss to mse for targets"
        )


def targets(logits: Tensor, labels: Tensor) -> Tensor:
    """Return real targets as they are, class labels [B, R] as one-hot rows [B, R, N] in the logits' precision.

    Raises:
        UserError: a label without a logit; targets of another width.
    """
    if labels.is_floating_point():
        if labels.numel() != logits.numel():
            must, advice = (
                f"real targets must be {list(logits.shape)}, a number for each output",
                "change way or targets",
            )
            raise UserError("loss", must, list(labels.shape), advice)
        return labels.reshape(logits.shape)
    with _in_range(logits, labels):
        return F.one_hot(labels, logits.shape[-1]).to(logits.dtype)


def task_losses(logits: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Compute the mean loss over the rows of each task [B]; logits [B, R, N], labels [B, R] or real targets.

    ``cross_entropy``; ``mse`` is half the squared distance to the target.

    Raises:
        UserError: a label without a logit; real targets of another width, or under cross_entropy.
    """
    if loss == "mse":
        return 0.5 * (logits - targets(logits, labels)).square().sum(-1).mean(-1)
    classes("labels", labels)
    if ready(logits) and logits.shape[:2] == labels.shape:
        from mamlprobe.native.gpu.cross_entropy import task_cross_entropy  # Triton is only installed with a GPU

        return task_cross_entropy(logits, labels)
    with _in_range(logits, labels):
        rows = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=NONE_LEFT_OUT)
    return rows.reshape(labels.shape).mean(-1)


def check_differentiable(loss: Tensor) -> Tensor:
    """Return the loss itself.

    Raises:
        UserError: it does not depend on anything that could move.
    """
    if loss.requires_grad:
        return loss
    raise no_slope()


def no_slope() -> UserError:
    """Return the error for a loss that is the same whatever moves."""
    must, got = "the loss must depend on the parameters that adapt or are learned", "one without a slope"
    advice = "look for no_grad, detach or argmax between them and the logits"
    return UserError("loss", must, got, advice)


def gradients_of(loss: Tensor, inputs: Sequence[Tensor], *, create_graph: bool) -> Sequence[Tensor | None]:
    """Differentiate the loss by each of the inputs; None for those that it does not depend on.

    Raises:
        UserError: it depends on none of them.
    """
    gradients = torch.autograd.grad(check_differentiable(loss), inputs, create_graph=create_graph, allow_unused=True)
    if all(slope is None for slope in gradients):
        raise no_slope()
    return gradients


def proximal(params: Params, anchor: Params, weight: float) -> Tensor:
    """Compute (weight / 2) |phi - theta|^2 of each task [B], over what the anchor names (iMAML, equation 3)."""
    return (
        0.5
        * weight
        * sum(
            (by_task((params[name] - value).square()).sum(1) for name, value in anchor.items()),
            torch.zeros((), dtype=torch.float32, device="cpu"),
        )
    )


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the share of rows whose largest logit is the label's, for each task [B]; NaN for real targets.

    Logits that tie for the largest (a zeroed head before its first step) share the credit: chance, not the first class.

    Raises:
        UserError: a label without a logit.
    """
    if labels.is_floating_point():
        return logits.new_full((logits.shape[0],), float("nan"))
    best = logits == logits.amax(-1, keepdim=True)
    with _in_range(logits, labels):
        hit = best.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return (hit.to(torch.float64) / best.sum(-1)).mean(-1)
