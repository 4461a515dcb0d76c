"""The tasks that an update learns from, and what their labels count."""

from dataclasses import replace

from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sources import TaskSource
from mamlprobe.runs.experiment import Experiment

SPLIT = "train"


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
