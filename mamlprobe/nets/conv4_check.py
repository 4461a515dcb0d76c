"""Whether a module computes what a `Conv4` does: passes, first and second derivatives on random numbers."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.nets.conv4_shapes import Known, candidates
from mamlprobe.nets.params import ForwardPass, Moments, Params, add_task_axis, map_tensors

Plain = Callable[[Params, Tensor, Moments | None, bool, str | None], ForwardPass]
"""A pass of the module itself: parameters, inputs, moments, whether to collect them, and the layer to end before."""

TRIES = ((4, 100.0), (3, 1.0))
"""Rows of random inputs, and how large the random parameters are: a bound that small numbers do not reach is seen."""

PASS, SLOPE, SECOND = 1e-9, 1e-8, 1e-7
"""How far the numbers of passes and derivatives in float64 may lie apart, in parts of the largest of them."""

SINGLE = 1e-4
"""The same of logits in float32, in which a module may do something else."""


def found_by_numbers(
    plain: Plain, shapes: Mapping[str, tuple[int, ...]], image: tuple[int, ...], head: str, device: torch.device
) -> Known | None:
    """What a module is that has parameters of these shapes, in the order of their first use, on rows of shape `image`.

    None where it is no `Conv4`.

    Raises:
        Exception: whatever the module raises.
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
            still = map_tensors(lambda value: 1.5 * value + 0.1, wanted.moments)
            by_still = plain(params, x, still, False, None)
            small = plain(map_tensors(Tensor.float, params), x.float(), None, False, None)
            possible = [
                known
                for known in (replace(each, norms=norms) for each in possible)
                if len(norms) == known.net.blocks
                and _alike(known(params, x, moments=None, collect=True), wanted, PASS)
                and _alike(known(params, x, moments=still, collect=False), by_still, PASS)
                and _near(known(params, x, moments=None, collect=False).logits, small.logits, SINGLE)
            ]
        if not possible:
            return None
    along = {name: draw(*value.shape) for name, value in params.items()}
    weights = draw(*wanted.logits.shape)
    same = (each for each in possible if _same_slopes(each, plain, params, x, along=along, weights=weights))
    return next(same, None)


def _alike(found: ForwardPass, wanted: ForwardPass, near: float) -> bool:
    """Whether logits, features and moments are the same."""
    moments = found.moments.keys() == wanted.moments.keys()
    pairs = [(found.logits, wanted.logits), (found.features, wanted.features)]
    pairs += [(found.moments[name], value) for name, value in wanted.moments.items()] if moments else []
    return moments and all(_near(one, other, near) for one, other in pairs)


def _near(found: Tensor, wanted: Tensor, near: float, least: float = 0.0) -> bool:
    """Whether no number lies farther away than so many parts of the largest, or of `least`."""
    if found.shape != wanted.shape or not wanted.isfinite().all():
        return False
    return bool((found - wanted).abs().max() <= near * max(float(wanted.abs().max()), least))


def _same_slopes(known: Known, plain: Plain, params: Params, x: Tensor, *, along: Params, weights: Tensor) -> bool:
    """Whether the slopes of a random sum of logits, and how they move `along` a direction, are the same."""
    ours, theirs = map_tensors(_leaf, params), map_tensors(_leaf, params)
    found = _slopes(known(ours, x, moments=None, collect=False).logits, ours, along, weights)
    wanted = _slopes(plain(theirs, x, None, False, None).logits, theirs, along, weights)
    for one, other, near in zip(found, wanted, (SLOPE, SECOND), strict=True):
        least = 1e-4 * max(float(value.abs().max()) for value in other)
        if not all(_near(mine, value, near, least) for mine, value in zip(one, other, strict=True)):
            return False
    return True


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def _slopes(logits: Tensor, leaves: Params, along: Params, weights: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    """First derivatives of the weighted sum of logits, and those of their product with the direction."""
    values = list(leaves.values())
    first = torch.autograd.grad((logits * weights).sum(), values, create_graph=True, materialize_grads=True)
    moved = torch.stack([(slope * along[name]).sum() for name, slope in zip(leaves, first, strict=True)]).sum()
    second = torch.autograd.grad(moved, values, materialize_grads=True)
    return tuple(slope.detach() for slope in first), second
