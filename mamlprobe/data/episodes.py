"""Batches of few-shot tasks, and how they are drawn from a pool: index arithmetic without state."""

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NoReturn

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.streams import key_sets
from mamlprobe.data.pool import Pool
from mamlprobe.data.slots import places


@dataclass(frozen=True, kw_only=True, eq=False)
class Episodes:
    """A batch of tasks; made by hand, it needs only the first four.

    support_x: ``[B, N*K, ...]`` floats.
    support_y: ``[B, N*K]`` int64, class-major: row r is of class r // K; floats are regression targets.
    query_x: ``[B, N*Q, ...]`` floats.
    query_y: ``[B, N*Q]``.
    class_ids: ``[B, N]`` ids of the classes in the pool; entry n has label n.
    support_items: ``[B, N*K]`` ids of the items within their class.
    query_items: ``[B, N*Q]``.

    Raises:
        UserError: axes that must agree do not.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    class_ids: Tensor | None = None
    support_items: Tensor | None = None
    query_items: Tensor | None = None

    def __post_init__(self) -> None:
        for part in ("support", "query"):
            x, y, items = (getattr(self, f"{part}_{end}") for end in ("x", "y", "items"))
            if x.ndim < 2 or y.ndim < 2 or x.shape[:2] != y.shape[:2]:
                _refuse(f"{part}_x and {part}_y must agree in their axes [B, R]", [list(x.shape), list(y.shape)])
            if not (x.shape[0] and x.shape[1]):
                must, got = f"{part}_x [B, R, ...] must hold at least one task and row", list(x.shape)
                raise UserError("episodes", must, got, "give tasks with rows")
            if not y.is_floating_point() and (y.dtype != torch.int64 or y.ndim != 2):
                _refuse(f"labels {part}_y must be [B, R] int64 (or float targets)", f"{list(y.shape)} {y.dtype}")
            if items is not None and items.shape != y.shape[:2]:
                _refuse(f"{part}_items must be {list(y.shape[:2])}", list(items.shape))
        here, there = self.support_x.shape, self.query_x.shape
        if here[0] != there[0] or here[2:] != there[2:]:
            _refuse("support_x and query_x must agree in tasks and in the shape of an input", [list(here), list(there)])
        if self.class_ids is not None and (self.class_ids.ndim != 2 or self.class_ids.shape[0] != here[0]):
            _refuse(f"class_ids must be [{here[0]}, N]", list(self.class_ids.shape))

    @property
    def tasks(self) -> int:
        """B."""
        return self.support_x.shape[0]

    @cached_property
    def way(self) -> int:
        """N: the number of class ids, else the largest label + 1.

        Raises:
            UserError: the targets are floats, or a label is negative.
        """
        if self.class_ids is not None:
            return self.class_ids.shape[1]
        labels = torch.cat([self.support_y, self.query_y], dim=1)
        if labels.is_floating_point():
            _refuse("way needs integer labels", str(labels.dtype))
        low, high = (int(value) for value in torch.aminmax(labels))
        if low < 0:
            _refuse("labels must count from 0", low)
        return high + 1

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Episodes":
        """The same tasks elsewhere; `dtype` changes floating tensors only."""

        parts = self._parts().items()
        return Episodes(**{name: x.to(device, dtype if x.is_floating_point() else None) for name, x in parts})

    def task(self, index: int) -> "Episodes":
        """Task `index` alone, its axis kept with size 1.

        Raises:
            UserError: there is no such task.
        """
        if not -self.tasks <= index < self.tasks:
            raise UserError("episodes", f"the task must lie in 0..{self.tasks - 1}", index, "choose another")
        start = index % self.tasks
        return Episodes(**{name: value[start : start + 1] for name, value in self._parts().items()})

    def _parts(self) -> dict[str, Tensor]:
        """The tensors that are there, by name."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in parts.items() if value is not None}


def _refuse(must: str, got: object) -> NoReturn:
    raise UserError("episodes", must, got, "align the tensors")


def manifest(episodes: Episodes) -> str:
    """16 hex digits that tell one batch of tasks from another, equal on every device.

    SHA-256 over class ids, support items and query items; where one of them is absent, over labels and inputs.
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


def manifest_table(episodes: Episodes) -> pd.DataFrame:
    """One row a task, set and row: ``task set row label class item``; columns that are not known are absent."""
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


def sample(
    pool: Pool,
    *,
    split: str,
    way: int,
    shot: int,
    query: int,
    tasks: int,
    seed: int,
    index: int = 0,
    slots: str = "drawn",
) -> Episodes:
    """Batch number `index` of the stream of tasks that `seed` and `split` name, on the pool's device.

    Classes are drawn without replacement and in random order, which is the labelling: the i-th class drawn has label i;
    unless `slots` ties labels to classes (see `SLOTS`), which keep the order they have in the split.
    Of each class shot + query items are drawn without replacement: the first `shot` are support, the others query.
    Nothing is carried from call to call, and the same words give the same tasks on every device.

    Raises:
        UserError: unknown split or slots; a number below its least; more classes or items asked for than there are.
    """
    if split not in pool.splits:
        raise unknown("sample", f"split of {pool.name!r}", split, pool.splits)
    numbers = {"way": (way, 1), "shot": (shot, 1), "query": (query, 1), "tasks": (tasks, 1), "index": (index, 0)}
    for name, (value, least) in numbers.items():
        if value < least:
            raise UserError("sample", f"{name} must be at least {least}", value, "give a larger number")
    ids = pool.splits[split]
    if way > len(ids):
        must = f"way must be at most the {len(ids)} classes of split {split!r}"
        raise UserError("sample", must, way, "lower way or choose another split")
    fewest, scarce = pool.smallest[split]
    if shot + query > fewest:
        must = f"shot + query must be at most the {fewest} items of class {scarce!r}"
        raise UserError("sample", must, shot + query, "lower shot or query")

    items, each = pool.images.shape[1], shot + query
    words, device = (seed, "episodes", split, index), pool.device
    shapes = [(tasks, len(ids)), (tasks, way, items)]
    class_keys, keys = key_sets([(*words, "classes"), (*words, "items")], shapes, device=device)
    classes = ids[places(class_keys, way, slots)]
    if fewest < items:
        absent = torch.arange(items, device=device) >= pool.counts[classes][:, :, None]
        keys = keys.masked_fill(absent, torch.iinfo(torch.int64).max)
    chosen = _smallest(keys, each)

    return take(pool, classes, chosen, shot=shot)


def take(pool: Pool, classes: Tensor, items: Tensor, *, shot: int) -> Episodes:
    """The tasks made of these items, on the pool's device; entry n of `classes` has label n.

    classes: ``[B, N]`` ids of classes.
    items: ``[B, N, K+Q]`` ids of items within their class, the first `shot` of each class the support set.
    """
    tasks, way, each = items.shape
    flat = items + pool.images.shape[1] * classes[:, :, None]
    sets = {"support": slice(shot), "query": slice(shot, each)}
    rows = torch.cat([flat[:, :, part].flatten() for part in sets.values()])
    inputs = pool.rows(rows).split([tasks * way * shot, tasks * way * (each - shot)])
    labels = torch.arange(way, device=pool.device)[:, None]
    parts: dict[str, Tensor] = {"class_ids": classes}
    for (name, part), x in zip(sets.items(), inputs, strict=True):
        count = len(x) // (tasks * way)
        parts[f"{name}_x"] = x.view(tasks, way * count, *pool.image_shape)
        parts[f"{name}_y"] = labels.expand(tasks, way, count).flatten(1)
        parts[f"{name}_items"] = items[:, :, part].flatten(1)
    return Episodes(**parts)


def _smallest(keys: Tensor, count: int) -> Tensor:
    """Places along the last axis of the `count` smallest keys, in the order of the keys."""
    return keys.topk(count, dim=-1, largest=False).indices
