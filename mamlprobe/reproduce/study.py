"""What an analysis script stands on: the preset's runs, test episodes, and tables of means with their intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sinusoids import FORMULAS
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.recipes import recipe
from mamlprobe.recipes.presets import lasting
from mamlprobe.runs.experiment import Data, Experiment, run_name
from mamlprobe.runs.folder import Run, load_run, open_run
from mamlprobe.training.compute import pick_device
from mamlprobe.training.loop import train
from mamlprobe.training.precision import precision
from mamlprobe.training.training_tasks import pool_of, source_of

T = TypeVar("T")

SEEDS = {"smoke": (0, 1), "quick": (0, 1, 2), "paper": (0, 1, 2)}
TASKS = {"smoke": 4, "quick": 100, "long": 200, "paper": 600}
"""Test tasks of an accuracy."""
FEW = {"smoke": 2, "quick": 20, "long": 20, "paper": 50}
"""Test tasks of a similarity or of a decomposition."""
TEST_SEED = 2020
"""Seed of the test episodes: the same for every method, seed and figure."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Preset, data and device of one gallery; trains a run when it is first asked for."""

    preset: str = "quick"
    dataset: str | None = None
    """None takes the preset's own."""
    root: str | None = None
    repeats: int | None = None
    """Number of seeds; None takes the preset's own."""
    updates: int | None = None
    """Updates of every training, schedules and checkpoints at the same share of them; None takes the preset's own."""
    finished: bool = False
    """Use only finished runs, as many seeds of each recipe as exist, and train nothing."""
    device: str = "auto"
    folder: Path = Path("runs")
    out: Path = Path("figures")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of every training."""
        return self.sized(SEEDS) if self.repeats is None else tuple(range(self.repeats))

    @property
    def tasks(self) -> int:
        """Return the number of test tasks of an accuracy."""
        return self.sized(TASKS)

    @property
    def few(self) -> int:
        """Return the number of test tasks of a costlier quantity."""
        return self.sized(FEW)

    def sized(self, sizes: Mapping[str, T]) -> T:
        """Return the value at this preset; long takes that of quick unless it has its own."""
        return sizes["quick" if self.preset == "long" and "long" not in sizes else self.preset]

    def experiment(self, name: str, seed: int = 0) -> Experiment:
        """Return the recipe at this preset on the study's data; one of a formula or of those data keeps its own."""
        training = replace(recipe(name, self.preset), seed=seed)
        if self.updates is not None:
            training = lasting(training, self.updates, marks=True)
        if self.dataset in (None, training.data.dataset) or training.data.dataset in FORMULAS:
            return training
        return replace(training, data=replace(self.data, dataset=self.dataset))

    @property
    def data(self) -> Data:
        """Return the data set in `dataset`, by default the preset's own data."""
        return recipe("maml", self.preset).data if self.dataset is None else Data(dataset=self.dataset)

    @cached_property
    def pool(self) -> Pool:
        """Load the data."""
        return pool_of(self.data, root=self.root)

    def source(self, name: str) -> TaskSource:
        """Return the source that the tasks of a recipe are drawn from."""
        data = self.experiment(name).data
        if data not in self._sources:
            self._sources[data] = self.pool if data == self.data else source_of(data, root=self.root)
        return self._sources[data]

    @cached_property
    def _sources(self) -> dict[Data, TaskSource]:
        return {}

    def run(self, name: str, seed: int, *, progress: bool = False) -> Run:
        """Return the finished run of a recipe; train it first if it is not finished."""
        experiment = self.experiment(name, seed)
        if self.finished and self._done(name, seed):
            return load_run(self.folder / run_name(experiment), module=experiment.net.named)
        source = self.source(name)
        return train(experiment, self.folder, device=self.device, pool=source, root=self.root, progress=progress)

    def runs(self, *names: str) -> list[tuple[str, Run]]:
        """Return the run of every seed of these recipes, with the recipe's name."""
        return [(name, self.run(*job)) for name in names for job in self.jobs(name)]

    def jobs(self, name: str) -> list[tuple[str, int]]:
        """Pair the recipe with each of its seeds; in a `finished` study, with the seeds whose runs are finished."""
        jobs = [(name, seed) for seed in self.seeds]
        return [job for job in jobs if self._done(*job)] if self.finished else jobs

    def _done(self, name: str, seed: int) -> bool:
        run = open_run(self.folder / run_name(self.experiment(name, seed)))  # None if it was killed at its very start
        return run is not None and run.done

    def episodes(
        self,
        tasks: int,
        *,
        query: int = 15,
        shot: int = 1,
        way: int = 5,
        index: int = 0,
        split: str = "test",
        slots: str = "drawn",
        like: str | None = None,
    ) -> Episodes:
        """Draw episodes of a split from the usual data or recipe `like`'s; equal arguments give equal episodes."""
        pool = self.pool if like is None else self.source(like)
        if not isinstance(pool, Pool):
            raise UserError("stage", "episodes must be drawn from images", like, "name a recipe of images")
        query = min(query, pool.smallest[split][0] - shot)
        options: dict[str, Any] = {"way": way, "shot": shot, "query": query, "tasks": tasks, "slots": slots}
        return pool.sample(split=split, seed=TEST_SEED, index=index, **options)

    def score(
        self,
        names: Sequence[str],
        variants: Callable[[Net, Method], Mapping[str, Method]],
        updates: Callable[[Run], Iterable[int]] = lambda run: run.updates()[-1:],
        steps: Literal["every", "last"] = "every",
        *,
        tasks: int | None = None,
        shot: int = 1,
        slots: str = "drawn",
    ) -> pd.DataFrame:
        """Measure accuracy in percent of these recipes' runs under variants of their method, a row a task and step.

        The test tasks have `shot` support items a class and labels by `slots`; `tasks` None takes as many as usual.
        """
        where = pick_device(self.device)
        episodes = self.episodes(tasks or self.tasks, shot=shot, slots=slots, like=names[0]).to(where)

        def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
            with precision("float32", where):
                table = evaluate(net, theta.to(where), episodes, variants(net, method), steps=steps)
            return table.assign(value=100 * table["value"])

        return self.probe(names, probe, updates)

    def probe(
        self,
        names: Sequence[str],
        probe: Callable[[Net, Theta, Method], pd.DataFrame],
        updates: Callable[[Run], Iterable[int]] = lambda run: run.updates()[-1:],
    ) -> pd.DataFrame:
        """Apply a probe to every run of these recipes at these updates; return its tables joined, with key columns."""
        tables = [
            keyed(probe(run.net(), run.theta(update), run.config.method), run, name, update)
            for name, run in self.runs(*names)
            for update in updates(run)
        ]
        return pd.concat(tables, ignore_index=True)


def keyed(table: pd.DataFrame, run: Run, name: str, update: int) -> pd.DataFrame:
    """Return the table with the columns ``run method dataset seed update`` in front."""
    keys: dict[str, Any] = {
        "run": run.path.name,
        "method": name,
        "dataset": run.config.data.dataset,
        "seed": run.config.seed,
        "update": update,
    }
    return table.assign(**keys)[[*keys, *table.columns]]
