"""Which run each task belongs to, where the tasks of several runs lie side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RunIndex:
    """The run of each task [B], in the order of the runs."""

    index: Tensor
    each: int | None = None
    """Tasks of each run, where those of all runs are here."""

    def split(self, size: int) -> "Sequence[RunIndex]":
        """The same for `size` tasks after the other."""
        if size >= len(self.index):
            return [self]
        return [RunIndex(index=part) for part in torch.split(self.index, size)]

    def of(self, value: Tensor) -> Tensor:
        """What each task finds [B, ...] in a tensor with a leading axis of runs."""
        if self.each is not None and value.is_cuda:
            return repeated(value, self.each)
        return value[self.index]


def repeated(value: Tensor, times: int) -> Tensor:
    """Repeat every entry of the first axis so often: as indexing does, but its derivative is one plain sum."""
    return value.unsqueeze(1).expand(-1, times, *[-1] * (value.ndim - 1)).flatten(0, 1)


def owners_of(runs: int, tasks: int, device: torch.device) -> RunIndex:
    """The owners of so many tasks of each run, one run's after another's."""
    return RunIndex(index=torch.arange(runs, device=device).repeat_interleave(tasks), each=tasks)
