"""Splitting a batch into tasks, and stacking their results again."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mamlprobe.nets.net import Moments, Params
from mamlprobe.nets.params import map_tensors


def one_by_one(params: Params, x: Tensor, moments: Moments | None) -> Iterator[tuple[Params, Tensor, Moments | None]]:
    """Yield the parameters, rows and moments of each task of x [B, R, ...]; all tasks get those that they share."""
    if x.shape[0] == 1:  # a view, whose gradient is a view too: that of indexing is copied into a tensor of zeros
        yield map_tensors(_only, params), x.squeeze(0), None if moments is None else map_tensors(_only, moments)
        return
    for task in range(x.shape[0]):
        task_params = {name: value[task if value.shape[0] > 1 else 0] for name, value in params.items()}
        task_moments = None if moments is None else {n: v[task if v.shape[0] > 1 else 0] for n, v in moments.items()}
        yield task_params, x[task], task_moments


def _only(value: Tensor) -> Tensor:
    """Return the tensor of the only task, or the one that all tasks share."""
    return value.squeeze(0) if value.shape[0] == 1 else value[0]


def together(values: Sequence[Tensor]) -> Tensor:
    """Stack the tensors of all tasks [B, ...]; do not copy if there is only one task."""
    return values[0].unsqueeze(0) if len(values) == 1 else torch.stack(list(values))


def by_size(shapes: Iterable[Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Index the shapes by their number of elements."""
    return {torch.Size(shape).numel(): tuple(shape) for shape in shapes}
