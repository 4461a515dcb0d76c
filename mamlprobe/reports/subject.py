"""Weights with the tasks that they are judged by, and the runs and choices that they come from."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.model_similarity import Model
from mamlprobe.runs.checkpoint import Checkpoint, digest, named_tensors
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import Run
from mamlprobe.runs.inner import InnerWords


@dataclass(frozen=True, kw_only=True)
class TaskChoice:
    """The tasks, data and device by which runs are judged; what is None is as in each run."""

    episodes: int | Episodes | None = None
    split: str | None = None
    shot: int | None = None
    query: int | None = None
    dataset: str | None = None
    root: str | None = None
    device: str = "auto"
    manifest: str | None = None
    inner: InnerWords = field(default_factory=InnerWords)
    """The inner loop where it is said otherwise than in the run."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run at one update, or a model of the user's, by its name in the report; not opened yet."""

    name: str
    run: Run | None = None
    update: int | None = None
    model: Model | None = None

    @property
    def config(self) -> Experiment | None:
        """Return the settings of the run; None for a model."""
        return None if self.run is None else self.run.config

    @property
    def seed(self) -> int | None:
        """Return the seed of the run."""
        return None if self.run is None else self.run.config.seed

    @property
    def method(self) -> Method:
        """Return the method as trained."""
        if self.model is not None:
            return self.model.method
        assert self.run is not None
        return self.run.config.method


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Weights, how they adapt, and the tasks that they are asked about."""

    entry: Entry
    net: Net
    theta: Theta
    method: Method
    """At test, with the inner loop as it is restated."""
    training_method: Method
    """The same for an outer gradient."""
    batches: Callable[[int], Iterator[Episodes]]
    """Yields the first so many tasks, a few at a time."""
    tasks: int
    facts: dict[str, Any]
    """Columns that are the same in all tables: ``dataset split way shot update`` and so on."""
    data: str
    """Digest of what the tasks are drawn from."""
    notes: tuple[str, ...] = ()
    """Lines on what was assumed, and on classes that it was trained on."""
    regression: bool = False

    @property
    def moves(self) -> bool:
        """Tell whether the inner loop at test changes anything."""
        return self.method.inner.test_steps > 0 and bool(self.method.inner.adapts)

    @property
    def by_class(self) -> bool:
        """Tell whether the head has a row for each training class."""
        return self.entry.config is not None and self.entry.config.labels == "class"

    @property
    def headless(self) -> bool:
        """Tell whether the weights are an encoder's, without a head."""
        return self.entry.config is not None and self.entry.config.net.headless

    @property
    def is_module(self) -> bool:
        """Tell whether the net's code is the user's."""
        return self.entry.config is None or self.entry.config.net.kind == "module"

    def chunk(self, part: Episodes) -> int | None:
        """Return how many tasks a probe adapts together: all of the part; for a module what suits the device."""
        return None if self.is_module else part.tasks

    def manifest(self, tasks: int) -> str:
        """Return the digest of the first so many tasks, as in the column ``episodes``."""
        if tasks not in self._manifests:
            self._manifests[tasks] = manifest(_named(self.batches(tasks)))
        return self._manifests[tasks]

    @cached_property
    def _manifests(self) -> dict[int, str]:
        return {}

    @cached_property
    def bits(self) -> str:
        """Return hex digits that differ where weights, device or settings do, or what the net computes."""
        device = next(iter(self.theta.net.values())).device
        sha = hashlib.sha256(digest(named_tensors(Checkpoint(update=0, theta=self.theta.to("cpu")))).encode())
        config = None if self.entry.config is None else replace(self.entry.config, seed=0)
        sha.update(f"{config}{self.method}{self.training_method}{self.net.layers}{device}".encode())
        if self.is_module:  # whose code is not in the folder: what it computes stands for it
            activations = record(self.net, self.theta, next(self.batches(1)).support_x)
            sha.update(
                digest({name: value.detach().cpu().contiguous() for name, value in activations.items()}).encode()
            )
        return sha.hexdigest()


def _named(parts: Iterator[Episodes]) -> Episodes:
    """Join the tasks; those that are named by classes and items without their inputs."""
    columns: dict[str, list[Tensor]] = {}
    for part in parts:
        known = {each.name: getattr(part, each.name) for each in fields(Episodes)}
        named = part.class_ids is not None and part.support_items is not None and part.query_items is not None
        for name, value in known.items():
            if value is not None:
                columns.setdefault(name, []).append(value[:, :, :0] if named and name.endswith("_x") else value)
    return Episodes(**{name: torch.cat(values) for name, values in columns.items()})
