"""A work under a method: the net, the start, the episodes, and what every arm makes of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mamlprobe as mp
from benchmarks.works import Work, episodes
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.conv4 import Conv4
from mamlprobe.nets.net import Params

CPU = torch.device("cpu")
INNER_LR = 0.01
TEST_STEPS = 10

Row = dict[str, Any]
"""A row of the table, by column."""

WRONG = "wrong:"
"""What the note of a row begins with whose arm does not compute the same as the others."""


class Missing(Exception):
    """An arm that cannot run here; the message is what its row says."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an arm is given. Every arm starts from the same parameters and sees the same episodes."""

    work: Work
    method: str
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    learn2learn: Path | None = None
    """The unpacked sdist of learn2learn."""
    tasks: int | None = None
    """Number of tasks, where the work's own is not meant."""

    @cached_property
    def rule(self) -> mp.Method:
        """The method with the work's number of steps."""
        found = mp.METHODS[self.method]
        inner = replace(found.inner, steps=self.work.steps, test_steps=TEST_STEPS, lr=INNER_LR)
        return replace(found, inner=inner)

    @cached_property
    def net(self) -> Conv4:
        """Our net."""
        return mp.conv4(image=self.work.image, way=self.work.way, filters=self.work.filters)

    @cached_property
    def theta(self) -> Theta:
        """The start."""
        return mp.init(self.net, seed=0, method=self.rule).to(self.device, self.dtype)

    @cached_property
    def episodes(self) -> Episodes:
        """The tasks."""
        return episodes(self.work, tasks=self.tasks).to(self.device, self.dtype)

    def each(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Support images, support labels, query images and query labels of one task after the other."""
        e = self.episodes
        yield from zip(e.support_x, e.support_y, e.query_x, e.query_y, strict=True)


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One meta-iteration, to be called again and again: the outer gradient and Adam's step."""

    gradient: Callable[[], tuple[Params, Tensor]]
    """Outer gradients by our parameters' names, and the mean query loss."""
    update: Callable[[Params], None]

    def __call__(self) -> Tensor:
        """The mean query loss before the step, not waited for."""
        gradients, loss = self.gradient()
        self.update(gradients)
        return loss
