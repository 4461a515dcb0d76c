"""Batches of few-shot tasks, and the digest and table that tell one batch from another."""

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.arrays import reachable, real_numbers
from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.notebook import fields_shown
from mamlprobe.data.checked_episodes import checked_episodes, refuse_tasks


@dataclass(frozen=True, kw_only=True, eq=False)
class Episodes:
    """A batch of tasks; made by hand, it needs only the first four, as tensors, arrays or nested lists.

    Attributes:
        support_x: ``[B, N*K, ...]`` floats, or int64 tokens.
        support_y: ``[B, N*K]`` int64; drawn tasks are class-major, row r is of class r // K; made by hand rows may be
            in any order, unequally many a class. Floats are regression targets.
        query_x: ``[B, N*Q, ...]`` floats.
        query_y: ``[B, N*Q]``.
        class_ids: ``[B, N]`` ids of the classes in the pool; entry n has label n.
        support_items: ``[B, N*K]`` ids of the items within their class.
        query_items: ``[B, N*Q]``.

    Raises:
        UserError: axes or types that must agree do not; no numbers; inputs that are bytes; one-hot labels.

    Examples:
        >>> import torch
        >>> import mamlprobe as mp
        >>> x, y = torch.rand(8, 4, 3), torch.tensor([[0, 0, 1, 1]] * 8)  # 8 tasks, N = K = 2
        >>> tasks = mp.Episodes(support_x=x, support_y=y, query_x=x + 0.1, query_y=y)
        >>> tasks.tasks, tasks.way
        (8, 2)
        >>> tasks.part(0, 2)
        Episodes(
          support_x: [2, 4, 3] float32 on cpu
          support_y: [2, 4] int64 on cpu
          query_x: [2, 4, 3] float32 on cpu
          query_y: [2, 4] int64 on cpu
        )
    """

    __repr__ = described
    _repr_html_ = fields_shown

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    class_ids: Tensor | None = None
    support_items: Tensor | None = None
    query_items: Tensor | None = None

    even: ClassVar[bool] = False
    """True of drawn tasks: without a look at labels, rows are known to be class-major, equally many a class."""
    whole: ClassVar["Episodes | None"] = None
    """The batch that these tasks are a part of; it says how many classes there are."""

    def __post_init__(self) -> None:
        optional = {each.name for each in fields(self) if each.default is None and getattr(self, each.name) is None}
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in optional}
        for name, tensor in checked_episodes(given).items():
            object.__setattr__(self, name, tensor)

    @property
    def tasks(self) -> int:
        """Return B, the number of tasks."""
        return self.support_x.shape[0]

    @cached_property
    def way(self) -> int:
        """Return N: the number of class ids, else the largest label + 1.

        Raises:
            UserError: the targets are floats, or a label is negative.
        """
        if self.class_ids is not None:
            return self.class_ids.shape[1]
        if self.whole is not None:
            return self.whole.way
        labels = torch.cat([self.support_y, self.query_y], dim=1)
        if labels.is_floating_point():
            refuse_tasks("way needs integer labels", str(labels.dtype))
        low, high = (int(value) for value in torch.aminmax(labels))
        if low < 0:
            refuse_tasks("labels must count from 0", low)
        return high + 1

    @cached_property
    def lacking(self) -> tuple[int, int] | None:
        """Find the first task, counted in the whole batch, with a class that has no support row, and that class.

        Computed once; None if every class has a support row, as in all tasks that are drawn.

        Raises:
            UserError: as `way`; a label that is none of the N.
        """
        if self.even:
            return None
        if self.whole is not None:
            return self.whole.lacking
        way = self.way
        for name, y in (("support_y", self.support_y), ("query_y", self.query_y)):
            low, high = (int(value) for value in torch.aminmax(y))
            if low < 0 or high >= way:
                must, advice = f"labels {name} must lie in 0..{way - 1}", "number the classes of a task from 0"
                raise UserError("episodes", must, f"{low}..{high}", advice)
        labels = torch.arange(way, device=self.support_y.device)
        absent = (self.support_y.unsqueeze(2) != labels).all(1).nonzero()
        return (int(absent[0, 0]), int(absent[0, 1])) if len(absent) else None

    @cached_property
    def turns(self) -> Tensor:
        """Order the places of the support rows [B or 1, N*K] so that classes take turns, one row of each at a time.

        A class without further rows is skipped; the rows of one turn, and rows of real targets, stay in their order.
        """
        y, rows = self.support_y, self.support_y.shape[1]
        places = torch.arange(rows, device=y.device)
        if y.is_floating_point():
            return places[None]
        if self.even:
            return places.reshape(self.way, -1).mT.flatten()[None]
        before = (y.unsqueeze(2) == y.unsqueeze(1)).tril(-1).sum(2)
        return before.argsort(dim=1, stable=True)

    @door(reachable, real_numbers)
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Episodes":
        """Return the same tasks on another device; `dtype` changes floating tensors only.

        Raises:
            UserError: a device that there is not; a type that is no real number's.
        """
        parts = self._parts().items()
        moved = {name: x.to(device, dtype if x.is_floating_point() else None) for name, x in parts}
        return self.like(moved, whole=self.whole)

    @door()
    def task(self, index: int) -> "Episodes":
        """Return task `index` alone, its axis kept with size 1.

        Raises:
            UserError: there is no such task.
        """
        if not -self.tasks <= index < self.tasks:
            raise UserError("episodes", f"the task must lie in 0..{self.tasks - 1}", index, "choose another")
        start = index % self.tasks
        return self.like({name: value[start : start + 1] for name, value in self._parts().items()})

    @door()
    def part(self, start: int, stop: int) -> "Episodes":
        """Return tasks start ... stop - 1, or up to the last; they have as many classes as the whole batch.

        Raises:
            UserError: numbers that are not whole, a start below 0, or no task between them.
        """
        if not 0 <= start < min(stop, self.tasks):
            must = f"a part must begin at one of the tasks 0..{self.tasks - 1} and have one"
            raise UserError("episodes", must, f"{start}..{stop}", "give other numbers")
        parts = {name: value[start:stop] for name, value in self._parts().items()}
        return self.like(parts, whole=self.whole or self)

    @door()
    def like(self, parts: dict[str, Tensor], *, whole: "Episodes | None" = None) -> "Episodes":
        """Build tasks of these tensors, shaped [B, rows here, ...], with the classes of the rows here.

        `whole` is the batch that they are a part of.

        Raises:
            UserError: names that are no fields, or not all that tasks need; as `Episodes`.
        """
        needed = {each.name: each.default is not None for each in fields(Episodes)}
        if not {name for name in needed if needed[name]} <= parts.keys() <= needed.keys():
            refuse_tasks(f"parts must be some of {', '.join(needed)}, the first four among them", list(parts))
        episodes = Episodes(**parts)
        object.__setattr__(episodes, "even", self.even)
        object.__setattr__(episodes, "whole", whole)
        return episodes

    def _parts(self) -> dict[str, Tensor]:
        """Return the tensors that are not None, by name."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in parts.items() if value is not None}


@door()
def manifest(episodes: Episodes) -> str:
    """Return 16 hex digits that tell one batch of tasks from another, equal on every device.

    SHA-256 over class ids, support items and query items; where one of them is absent, over labels and inputs.

    Raises:
        UserError: no episodes.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> numbers = {"way": 5, "shot": 1, "query": 5, "tasks": 2}
        >>> draws = [mp.sample(pool, split="test", **numbers, seed=seed) for seed in (0, 0, 1)]
        >>> first, again, other = map(mp.manifest, draws)
        >>> len(first), first == again, first == other
        (16, True, False)
    """
    names = ["class_ids", "support_items", "query_items"]
    if any(getattr(episodes, name) is None for name in names):
        names = ["support_y", "query_y", "support_x", "query_x"]
    sha = hashlib.sha256()
    for name in names:
        tensor = getattr(episodes, name).detach().contiguous().cpu()
        sha.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        sha.update(tensor.view(torch.uint8).numpy())
    return sha.hexdigest()[:16]


@door()
def manifest_table(episodes: Episodes) -> pd.DataFrame:
    """Return one row a task, set and row: ``task set row label class item``; columns that are not known are absent.

    `row` counts within the set (support or query), `label` is the number below N that the class has in the task,
    `class` its id in the pool, `item` that of the image within its class.

    Raises:
        UserError: no episodes.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=2, shot=1, query=1, tasks=1, seed=0)
        >>> mp.manifest_table(tasks)[["task", "set", "row", "label"]]
           task      set  row  label
        0     0  support    0      0
        1     0  support    1      1
        2     0    query    0      0
        3     0    query    1      1
        >>> set(mp.manifest_table(tasks)["class"]) <= set(pool.class_ids("test").tolist())
        True
    """
    tables = []
    for part in ("support", "query"):
        y, items = getattr(episodes, f"{part}_y").cpu(), getattr(episodes, f"{part}_items")
        tasks, rows = y.shape[:2]
        columns: dict[str, object] = {
            "task": torch.arange(tasks, device="cpu").repeat_interleave(rows).numpy(),
            "set": part,
            "row": torch.arange(rows, device="cpu").repeat(tasks).numpy(),
        }
        if y.ndim == 2:
            columns["label"] = y.detach().flatten().numpy()
        if episodes.class_ids is not None and not y.is_floating_point():
            columns["class"] = episodes.class_ids.cpu().gather(1, y).flatten().numpy()
        if items is not None:
            columns["item"] = items.cpu().flatten().numpy()
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True).sort_values("task", kind="stable", ignore_index=True)
