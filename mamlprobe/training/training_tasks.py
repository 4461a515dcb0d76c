"""The data of an experiment, the tasks that an update learns from, and what their labels count."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sources import TaskSource, load_source
from mamlprobe.runs.experiment import Data, Experiment

SPLIT = "train"


def pool_of(data: Data, *, root: str | Path | None = None) -> Pool:
    """Load the images that the settings name."""
    return load_pool(data.dataset, root=root, **_options(data))


def source_of(data: Data, *, root: str | Path | None = None) -> TaskSource:
    """Load the images or the formula that the settings name."""
    return load_source(data.dataset, root=root, **_options(data))


def _options(data: Data) -> dict[str, Any]:
    """Return the settings as arguments of `load_source`."""
    return {each.name: getattr(data, each.name) for each in fields(data) if each.name != "dataset"}


def training_tasks(source: TaskSource, experiment: Experiment, *, index: int = 0, tasks: int | None = None) -> Episodes:
    """Draw the tasks of update number `index` (from 0); `tasks` of them, by default as many as the experiment says."""
    shot = experiment.shot if experiment.train_shot is None else experiment.train_shot
    numbers = {"way": experiment.way, "shot": shot, "query": experiment.query, "tasks": tasks or experiment.tasks}
    slots = experiment.labels if experiment.labels in ("bins", "groups") else "drawn"
    episodes = source.sample(split=SPLIT, seed=experiment.seed, index=index, slots=slots, **numbers)
    return by_class(episodes, source.class_ids(SPLIT)) if experiment.labels == "class" else episodes


def by_class(episodes: Episodes, ids: Tensor) -> Episodes:
    """Label each item anew, by the place of its class among these `ids` [C]; the tasks are C-way then."""
    assert episodes.class_ids is not None
    places = (episodes.class_ids.unsqueeze(-1) == ids).int().argmax(-1)
    labels = {f"{part}_y": places.gather(1, getattr(episodes, f"{part}_y")) for part in ("support", "query")}
    return replace(episodes, **labels, class_ids=ids.expand(episodes.tasks, -1))


def head_rows(source: TaskSource, experiment: Experiment) -> int | None:
    """Return the number of training classes if labels are by class, else None.

    Raises:
        UserError: labels by class for a source without classes.
    """
    return len(source.class_ids(SPLIT)) if experiment.labels == "class" else None
