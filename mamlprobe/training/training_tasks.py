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
    """The tasks of update number `index` (from 0); `tasks` of them, by default as many as the experiment says."""
    shot = experiment.shot if experiment.train_shot is None else experiment.train_shot
    words = {"way": experiment.way, "shot": shot, "query": experiment.query, "tasks": tasks or experiment.tasks}
    slots = experiment.labels if experiment.labels in ("bins", "groups") else "drawn"
    found = draw(source, split=SPLIT, seed=experiment.seed, index=index, slots=slots, **words)
    return by_class(found, _ids(source)) if experiment.labels == "class" else found


def by_class(episodes: Episodes, ids: Tensor) -> Episodes:
    """The same items, each labelled by the place of its class among these `ids` [C]; of C ways from now on."""
    assert episodes.class_ids is not None
    places = (episodes.class_ids.unsqueeze(-1) == ids).int().argmax(-1)
    labels = {f"{part}_y": places.gather(1, getattr(episodes, f"{part}_y")) for part in ("support", "query")}
    return replace(episodes, **labels, class_ids=ids.expand(episodes.tasks, -1))


def head_rows(source: Source, experiment: Experiment) -> int | None:
    """The number of training classes where labels are by class, else None.

    Raises:
        UserError: labels by class of what has no classes.
    """
    return len(_ids(source)) if experiment.labels == "class" else None


def _ids(source: Source) -> Tensor:
    """The training classes."""
    if not isinstance(source, Pool):
        raise UserError("train", "labels by class need images in classes", source.name, "set labels to episode")
    return source.splits[SPLIT]
