"""Which run each task belongs to, if the tasks of several runs are in one batch, and its inner rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mamlprobe.learn.inner_optimizers import Rates, Rule, adam, rate_of, sgd
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method


@dataclass(frozen=True, kw_only=True)
class RunIndex:
    """The run of each task [B], in the order of the runs."""

    index: Tensor
    each: int | None = None
    """The number of tasks of each run, if those of all runs are here."""

    def split(self, size: int) -> "Sequence[RunIndex]":
        """Split the index into parts of `size` tasks."""
        if size >= len(self.index):
            return [self]
        return [RunIndex(index=part) for part in torch.split(self.index, size)]

    def of(self, value: Tensor) -> Tensor:
        """Select each task's entry [B, ...] of a tensor with a leading axis of runs."""
        if self.each is not None and value.is_cuda:
            return repeated(value, self.each)
        return value[self.index]


def repeated(value: Tensor, times: int) -> Tensor:
    """Repeat every entry of the first axis `times` times: as indexing does, but its derivative is one plain sum."""
    return value.unsqueeze(1).expand(-1, times, *[-1] * (value.ndim - 1)).flatten(0, 1)


def owners_of(runs: int, tasks: int, device: torch.device) -> RunIndex:
    """Return the index of `tasks` tasks of each of `runs` runs, run by run."""
    return RunIndex(index=torch.arange(runs, device=device).repeat_interleave(tasks), each=tasks)


def rule_at(theta: Theta, method: Method, *, run_index: RunIndex | None = None) -> Rule:
    """Return the rule of the inner loop's steps."""
    return (
        adam(method.inner.lr) if method.inner.optimizer == "adam" else sgd(rates_at(theta, method, run_index=run_index))
    )


def rates_at(theta: Theta, method: Method, *, run_index: RunIndex | None = None) -> Rates:
    """Return the rates by parameter and step; with `run_index`, each task has those of its own run."""
    rate = rate_of(method.inner, theta.rates)
    if run_index is None or method.inner.rates == "fixed":
        return rate
    return lambda name, step: run_index.of(torch.as_tensor(rate(name, step), device=run_index.index.device))
