"""A batch of tasks as one after the other, and put together again."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mamlprobe.nets.params import Moments, Params, map_tensors


def one_by_one(params: Params, x: Tensor, moments: Moments | None) -> Iterator[tuple[Params, Tensor, Moments | None]]:
    """Parameters, rows and moments of each task of x [B, R, ...], those that all share the same for all."""
    if x.shape[0] == 1:  # a view whose slope is one too: that of a choice among tasks is copied into zeros
        yield map_tensors(_only, params), x.squeeze(0), None if moments is None else map_tensors(_only, moments)
        return
    for task in range(x.shape[0]):
        own = {name: value[task if value.shape[0] > 1 else 0] for name, value in params.items()}
        still = None if moments is None else {n: v[task if v.shape[0] > 1 else 0] for n, v in moments.items()}
        yield own, x[task], still


def _only(value: Tensor) -> Tensor:
    """The tensor of the one task, or of all."""
    return value.squeeze(0) if value.shape[0] == 1 else value[0]


def together(values: Sequence[Tensor]) -> Tensor:
    """The tensors of all tasks behind one another [B, ...]; that of one task without a copy."""
    return values[0].unsqueeze(0) if len(values) == 1 else torch.stack(list(values))


def by_size(shapes: Iterable[Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Shapes by how many numbers they hold."""
    return {torch.Size(shape).numel(): tuple(shape) for shape in shapes}
