"""Whether a module computes what a `Conv4` does: passes, first and second derivatives on random numbers."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.nets.conv4_shapes import Known, candidates
from mamlprobe.nets.net import ForwardPass, Moments, Params
from mamlprobe.nets.params import add_task_axis, map_tensors

Plain = Callable[[Params, Tensor, Moments | None, bool, str | None], ForwardPass]
"""A pass of the module itself: parameters, inputs, moments, whether to collect them, and the layer to end before."""

TRIES = ((4, 100.0), (3, 1.0))
"""Rows of random inputs, and scale of the random parameters: the large one shows bounds such as that of a ReLU6."""

PASS, SLOPE, SECOND = 1e-9, 1e-8, 1e-7
"""Tolerances for passes and for first and second derivatives in float64, relative to the largest number."""

SINGLE = 1e-4
"""The tolerance for logits in float32, in which a module may do something else."""


def found_by_numbers(
    plain: Plain, shapes: Mapping[str, tuple[int, ...]], image: tuple[int, ...], head: str, device: torch.device
) -> Known | None:
    """Identify a module by numbers: as a `Conv4` on rows of shape `image`, or None if it is not one.

    `shapes` are those of its parameters, in the order of their first use.

    Raises:
        Exception: any that the module raises.
    """
    possible = list(candidates(shapes, image, head))
    if not possible:
        return None
    draws = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64, device="cpu").to(device)

    for rows, size in TRIES:
        params = add_task_axis({name: 2 * size * draw(*shape) for name, shape in shapes.items()})
        x = draw(1, rows, *image)
        with torch.no_grad():
            wanted = plain(params, x, None, True, None)
            norms = tuple(name.removesuffix(".mean") for name in wanted.moments if name.endswith(".mean"))
            given = map_tensors(lambda value: 1.5 * value + 0.1, wanted.moments)
            by_given = plain(params, x, given, False, None)
            small = plain(map_tensors(Tensor.float, params), x.float(), None, False, None)
            possible = [
                known
                for known in (replace(each, norms=norms) for each in possible)
                if len(norms) == known.net.blocks
                and _alike(known(params, x, moments=None, collect=True), wanted, PASS)
                and _alike(known(params, x, moments=given, collect=False), by_given, PASS)
                and _near(known(params, x, moments=None, collect=False).logits, small.logits, SINGLE)
            ]
        if not possible:
            return None
    along = {name: draw(*value.shape) for name, value in params.items()}
    weights = draw(*wanted.logits.shape)
    same = (each for each in possible if _same_slopes(each, plain, params, x, along=along, weights=weights))
    return next(same, None)


def _alike(actual: ForwardPass, wanted: ForwardPass, near: float) -> bool:
    """Tell whether logits, features and moments are the same."""
    moments = actual.moments.keys() == wanted.moments.keys()
    pairs = [(actual.logits, wanted.logits), (actual.features, wanted.features)]
    pairs += [(actual.moments[name], value) for name, value in wanted.moments.items()] if moments else []
    return moments and all(_near(one, other, near) for one, other in pairs)


def _near(actual: Tensor, wanted: Tensor, near: float, least: float = 0.0) -> bool:
    """Tell whether no difference is above `near` times the largest number, or times `least` if that is larger."""
    if actual.shape != wanted.shape or not wanted.isfinite().all():
        return False
    return bool((actual - wanted).abs().max() <= near * max(float(wanted.abs().max()), least))


def _same_slopes(known: Known, plain: Plain, params: Params, x: Tensor, *, along: Params, weights: Tensor) -> bool:
    """Tell whether gradients of a random sum of logits, and their derivatives `along` a direction, are the same."""
    ours, theirs = map_tensors(_leaf, params), map_tensors(_leaf, params)
    actual = _slopes(known(ours, x, moments=None, collect=False).logits, ours, along, weights)
    wanted = _slopes(plain(theirs, x, None, False, None).logits, theirs, along, weights)
    for one, other, near in zip(actual, wanted, (SLOPE, SECOND), strict=True):
        least = 1e-4 * max(float(value.abs().max()) for value in other)
        if not all(_near(slope, value, near, least) for slope, value in zip(one, other, strict=True)):
            return False
    return True


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def _slopes(logits: Tensor, leaves: Params, along: Params, weights: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    """Return first derivatives of the weighted sum of logits, and those of their product with the direction."""
    values = list(leaves.values())
    first = torch.autograd.grad((logits * weights).sum(), values, create_graph=True, materialize_grads=True)
    moved = torch.stack([(slope * along[name]).sum() for name, slope in zip(leaves, first, strict=True)]).sum()
    second = torch.autograd.grad(moved, values, materialize_grads=True)
    return tuple(slope.detach() for slope in first), second
