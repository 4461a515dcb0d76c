"""What sources of regression tasks that are made by a formula have in common; no file is read."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.streams import random_keys
from mamlprobe.data.episodes import Episodes

CPU = torch.device("cpu")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A source without data: batches are computed from arguments, splits are separate streams over the same tasks."""

    KIND: ClassVar[str]
    """What the formula is called in errors, and in the names of its random numbers."""
    ONE: ClassVar[str]
    """Why a task has no classes."""
    regression: ClassVar[bool] = True

    device: torch.device = CPU
    """Where tasks are made."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the names of the streams."""
        return SPLITS

    @property
    def mean(self) -> tuple[float, ...]:
        """Return (0,): inputs are not shifted."""
        return (0.0,)

    @property
    def std(self) -> tuple[float, ...]:
        """Return (1,): inputs are not scaled."""
        return (1.0,)

    def to(self, device: torch.device | str) -> Self:
        """Return the same tasks, made on another device."""
        return replace(self, device=torch.device(device))

    def class_ids(self, split: str) -> Tensor:
        """Refuse: a formula has no classes."""
        raise UserError("train", "labels by class need images in classes", self.KIND, "set labels to episode")

    def _check(self, *, split: str, way: int, shot: int, query: int, tasks: int, index: int, slots: str) -> None:
        """Refuse arguments that no batch has."""
        if split not in SPLITS:
            raise unknown(self.KIND, "split", split, SPLITS)
        if way != 1:
            raise UserError(self.KIND, f"way must be 1: {self.ONE}", way, "set way to 1")
        if slots != "drawn":
            raise UserError("train", f"labels by {slots} need images in classes", self.KIND, "set labels to episode")
        numbers = {"shot": (shot, 1), "query": (query, 1), "tasks": (tasks, 1), "index": (index, 0)}
        for name, (value, least) in numbers.items():
            if value < least:
                raise UserError(self.KIND, f"{name} must be at least {least}", value, "give a larger number")

    def _uniform(self, split: str, seed: int, index: int, word: str, *, shape: tuple[int, ...]) -> Tensor:
        """Draw uniform numbers in [0, 1), float64, from 53 bits each."""
        keys = random_keys(seed, self.KIND, split, index, word, shape=shape, device=self.device)
        return (keys >> 10).to(torch.float64) * 2.0**-53


def parted(x: Tensor, y: Tensor, shot: int) -> Episodes:
    """Make tasks in float32 of points x, y [B, R, ...], float64: the first `shot` rows are the support."""
    x, y = x.float(), y.float()
    return Episodes(support_x=x[:, :shot], support_y=y[:, :shot], query_x=x[:, shot:], query_y=y[:, shot:])
