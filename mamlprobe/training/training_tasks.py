"""The tasks that an update learns from, and what their labels count."""

from dataclasses import replace

from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sources import Source, draw
from mamlprobe.runs.experiment import Experiment

SPLIT = "train"


def training_tasks(source: Source, experiment: Experiment, *, index: int = 0, tasks: int | None = None) -> Episodes:
    """Draw the tasks of update number `index` (from 0); `tasks` of them, by default as many as the experiment says."""
    shot = experiment.shot if experiment.train_shot is None else experiment.train_shot
    numbers = {"way": experiment.way, "shot": shot, "query": experiment.query, "tasks": tasks or experiment.tasks}
    slots = experiment.labels if experiment.labels in ("bins", "groups") else "drawn"
    episodes = draw(source, split=SPLIT, seed=experiment.seed, index=index, slots=slots, **numbers)
    return by_class(episodes, _ids(source)) if experiment.labels == "class" else episodes


def by_class(episodes: Episodes, ids: Tensor) -> Episodes:
    """Label each item anew, by the place of its class among these `ids` [C]; the tasks are C-way then."""
    assert episodes.class_ids is not None
    places = (episodes.class_ids.unsqueeze(-1) == ids).int().argmax(-1)
    labels = {f"{part}_y": places.gather(1, getattr(episodes, f"{part}_y")) for part in ("support", "query")}
    return replace(episodes, **labels, class_ids=ids.expand(episodes.tasks, -1))


def head_rows(source: Source, experiment: Experiment) -> int | None:
    """Return the number of training classes if labels are by class, else None.

    Raises:
        UserError: labels by class for a source without classes.
    """
    return len(_ids(source)) if experiment.labels == "class" else None


def _ids(source: Source) -> Tensor:
    """Return the ids of the training classes."""
    if not isinstance(source, Pool):
        raise UserError("train", "labels by class need images in classes", source.name, "set labels to episode")
    return source.splits[SPLIT]
