"""What tasks are drawn from: what every source has, and the sources by name."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol, Self

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.data.by_name import load_pool, only
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.planted import PLANTED
from mamlprobe.data.sinusoids import FORMULAS


class TaskSource(Protocol):
    """A source of tasks: a `Pool` of images, a formula, or one of your own with these members.

    `train` takes one as `pool`. It need not inherit from this class.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> class Swapped:
        ...     '''The tasks of a pool, with wrong labels in the support set.'''
        ...     def __init__(self, pool):
        ...         self.pool = pool
        ...     def __getattr__(self, name):  # all but these three is the pool's
        ...         return getattr(self.pool, name)
        ...     def to(self, device):
        ...         return Swapped(self.pool.to(device))
        ...     def sample(self, **numbers):
        ...         tasks = self.pool.sample(**numbers)
        ...         return replace(tasks, support_y=tasks.support_y.flip(1))
        >>> small = replace(mp.recipe("maml", "smoke"), recipe="swapped")
        >>> swapped = Swapped(mp.load_pool("glyphs", size=14))
        >>> run = mp.train(small, "runs", pool=swapped, progress=False)
        >>> run.path.name.startswith("swapped-s0-")
        True
    """

    @property
    def name(self) -> str:
        """Return its name in tables and messages."""
        ...

    @property
    def source(self) -> str:
        """Return a sentence: where the tasks come from."""
        ...

    @property
    def splits(self) -> Collection[str]:
        """Return the names of the splits; training needs "train", and "val" to be validated."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of an input, (C, H, W) of images."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Return what was subtracted from inputs, a number a channel."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Return what inputs were divided by, a number a channel."""
        ...

    @property
    def regression(self) -> bool:
        """Tell whether targets are real numbers rather than classes."""
        ...

    @property
    def device(self) -> torch.device:
        """Return the device of its tasks."""
        ...

    def digest(self) -> str:
        """Return hex digits that differ where the data do."""
        ...

    def describe(self) -> pd.DataFrame:
        """Return a table of what there is."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Return the same source, whose tasks are on another device."""
        ...

    def class_ids(self, split: str) -> Tensor:
        """Return the ids [C] of the classes of a split.

        Raises:
            UserError: it has no classes.
        """
        ...

    def sample(
        self,
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
        """Draw batch number `index` of the stream of tasks that `seed`, an int64, and `split` name.

        Equal arguments give equal tasks. `slots` may tie labels to classes, see `mamlprobe.data.labelling`.

        Raises:
            UserError: there are no such tasks.
        """
        ...


def load_source(
    name_or_path: str | Path,
    *,
    root: str | Path | None = None,
    size: int | None = None,
    ink: int = 1,
    split: str | None = None,
    rotations: str = "none",
    normalise: str | None = None,
    channels: int | None = None,
) -> TaskSource:
    """Return the formula of that name ("sinusoids", "planted-0.3"), or what `load_pool` loads with these arguments.

    Tasks of a formula are regression: inputs [B, R, F] and targets [B, R, 1] floats. Options as for `load_pool`.

    Raises:
        UserError: as `load_pool`; options of images together with a formula.

    Examples:
        >>> import mamlprobe as mp
        >>> sines = mp.load_source("sinusoids")
        >>> tasks = mp.sample(sines, split="test", way=1, shot=10, query=10, tasks=2, seed=0)
        >>> tasks.support_x.shape, tasks.support_y.shape
        (torch.Size([2, 10, 1]), torch.Size([2, 10, 1]))
        >>> net, maml = mp.mlp(inputs=1, way=1), mp.Method(loss="mse")
        >>> losses = mp.evaluate(net, mp.init(net, seed=0), tasks, {"maml": maml}, steps="every")
        >>> mean = losses.groupby("step")["value"].mean()
        >>> bool(mean[10] < mean[0])  # ten steps help
        True
    """
    name = str(name_or_path)
    formulas: dict[str, TaskSource] = {**FORMULAS, **PLANTED}
    if name not in formulas:
        options = {"ink": ink, "split": split, "rotations": rotations, "normalise": normalise, "channels": channels}
        return load_pool(name_or_path, root=root, size=size, **options)  # type: ignore[arg-type]
    for option, value, default in (
        ("size", size, None),
        ("ink", ink, 1),
        ("split", split, None),
        ("rotations", rotations, "none"),
        ("normalise", normalise, None),
        ("channels", channels, None),
    ):
        only(name, option, value, default)
    return formulas[name]
