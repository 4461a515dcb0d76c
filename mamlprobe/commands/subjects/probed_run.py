"""A run at one update, with the tasks it is judged by."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mamlprobe.base.described import described
from mamlprobe.base.errors import UserError, one_line
from mamlprobe.base.keys import key
from mamlprobe.data.by_name import READERS
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.data.manifests import Manifest, load_manifest, write_manifest
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import split_tasks
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.theta import Theta, fits, init
from mamlprobe.methods.method import Method
from mamlprobe.nets.maker import Maker
from mamlprobe.nets.net import Net
from mamlprobe.runs.experiment import Data, headed
from mamlprobe.runs.folder import Image, Run, load_run
from mamlprobe.runs.import_module import logits
from mamlprobe.runs.inner import InnerWords, assumption, in_words, restated, values_of
from mamlprobe.training.compute import pick_device
from mamlprobe.training.training_tasks import pool_of
from mamlprobe.training.validation import PIXELS

BATCH = 25
"""Tasks drawn at a time: task t is entry t % 25 of batch t // 25 of the stream, whatever the number of tasks."""

KEYS = ("run", "method", "dataset", "split", "seed", "update", "way", "shot", "norm", "episodes", "tasks")
"""The columns that say where a row comes from, the first of every table."""


@dataclass(frozen=True, kw_only=True)
class ProbedRun:
    """What was learned, and the classes, shapes and number of the tasks."""

    __repr__ = described

    run: Run
    update: int
    theta: Theta
    pool: Pool
    dataset: str
    split: str
    shot: int
    query: int
    tasks: int
    given: Manifest | None = None
    """The tasks themselves, where a file names them."""
    inner: InnerWords = field(default_factory=InnerWords)
    """The inner loop where it is said otherwise than in the run."""
    every: bool = False
    """Whether accuracies after the steps before the last are asked for too; no summary and no figure shows them."""

    @cached_property
    def net(self) -> Net:
        """Return the run's net."""
        return self.run.net()

    @property
    def method(self) -> Method:
        """Return the run's method, with its inner loop as it is restated.

        Raises:
            UserError: the weights are an encoder's, and the method needs a head.
        """
        return headed(self.run.config, restated(self.run.config.method, self.inner))

    @property
    def training_method(self) -> Method:
        """Return the same for probes of training: restated steps hold in the outer gradient too."""
        return headed(self.run.config, restated(self.run.config.method, self.inner, train=True))

    @property
    def changed(self) -> dict[str, Any]:
        """Return the settings of the inner loop, by name, that differ from the run's."""
        trained = values_of(self.run.config.method)
        return {name: value for name, value in values_of(self.method).items() if value != trained[name]}

    @property
    def assumed(self) -> str:
        """Return one line on what nobody stated of the inner loop, at import or now; empty if all was stated."""
        return assumption(self.method, set(self.run.assumed) - set(self.inner.said))

    @property
    def trained_classes(self) -> int:
        """Count the classes of the split that the run was trained on."""
        names = (self.pool.class_names[number] for number in self.pool.splits[self.split].tolist())
        known = self.run.trained_on
        return sum(name in known for name in names)

    @property
    def leak(self) -> str:
        """Return one line on classes of the split that the run was trained on; empty if there are none."""
        count, whole = self.trained_classes, len(self.pool.splits[self.split])
        return f"trained on {count} of the {whole} classes of {self.dataset} {self.split}" if count else ""

    @property
    def name(self) -> str:
        """Return the name of the run's folder."""
        return one_line(self.run.path.resolve().name)

    def batches(self) -> Iterator[Episodes]:
        """Yield the tasks, at most `BATCH` at a time, the same for every run on the same data."""
        settings: dict[str, Any] = {"split": self.split, "way": self.run.config.way, "shot": self.shot}
        for index, first in enumerate(range(0, self.tasks, BATCH)):
            count = min(BATCH, self.tasks - first)
            if self.given is not None:
                yield self.given.build(self.pool, first=first, count=count)
            else:
                yield sample(self.pool, query=self.query, tasks=count, seed=key("evaluation"), index=index, **settings)

    def write_manifest(self, path: str | Path) -> None:
        """Write the file that names the tasks.

        Raises:
            UserError: the path is not open for writing.
        """
        drawn = _joined([_without_inputs(batch) for batch in self.batches()])
        write_manifest(drawn, path, pool=self.pool, split=self.split)

    @property
    def most(self) -> int:
        """Return how many tasks are adapted at once; it bounds the memory."""
        _, height, width = self.pool.image_shape
        rows = self.run.config.way * (self.shot + self.query)
        return max(1, min(BATCH, PIXELS // (rows * height * width)))

    def chunk(self, part: Episodes) -> int | None:
        """Return how many of the part's tasks a probe adapts together: all; for a module None, what suits the device.

        The last digits of a built net's numbers depend on which tasks are adapted together.
        """
        return None if self.run.config.net.kind == "module" else part.tasks

    def table(self, look: Callable[[Episodes, int], pd.DataFrame]) -> pd.DataFrame:
        """Concatenate what `look(tasks, number of the first)` returns for all tasks, with the columns `KEYS`.

        The manifest in column `episodes` is that of all tasks.
        """
        tables, drawn, first = [], [], 0
        with bar(self.tasks, self.name) as advance:
            for batch in self.batches():
                drawn.append(_without_inputs(batch))
                for part in split_tasks(batch, self.most):
                    rows = look(part, first)
                    tables.append(rows.assign(task=rows["task"] + first))
                    first += part.tasks
                    advance(part.tasks)
        config = self.run.config
        columns: dict[str, Any] = {
            "run": self.name,
            "method": self.method.name,
            "dataset": self.dataset,
            "split": self.split,
        }
        columns |= {"seed": config.seed, "update": self.update, "way": config.way, "shot": self.shot}
        table = pd.concat(tables, ignore_index=True)
        columns |= {name: value for name, value in self.changed.items() if name not in (*table.columns, *KEYS)}
        changes = [in_words(name, value) for name, value in self.changed.items() if name not in KEYS]
        columns |= {"trained_classes": self.trained_classes} if self.trained_classes else {}
        columns |= {"inner_loop": ", ".join(changes)} if changes else {}
        table = table.assign(**columns, episodes=manifest(_joined(drawn)), tasks=self.tasks)
        return table[[*KEYS, *(column for column in table.columns if column not in KEYS)]]


def open_case(
    path: str,
    *,
    update: int | None = None,
    split: str | None = None,
    tasks: int | None = None,
    shot: int | None = None,
    query: int | None = None,
    dataset: str | None = None,
    root: str | None = None,
    device: str = "auto",
    module: Maker | str | None = None,
    manifest: str | None = None,
    usual: int = 600,
    inner: InnerWords | None = None,
) -> ProbedRun:
    """Open the run in this folder with the data it was trained on, or other data; shot and query None are the run's.

    The tasks are those of the split (None: test), `tasks` of them (None: `usual`), or those that the file `manifest`
    names, which settles split, number, shot and query. `inner` overrides the run's inner loop; `module` makes its net
    where that is a module, as in `load_run`.

    Raises:
        UserError: no such run, checkpoint, data, split or device; images of another shape; too few classes or items;
            a manifest of other data or another way, or one that contradicts the arguments; an inner loop that the run
            cannot have.
    """
    if tasks is not None and tasks < 1:
        raise UserError("evaluate", "episodes must be at least 1", tasks, "600 is usual")
    where = pick_device(device)
    run = load_run(path, module=module)
    given = None
    if manifest is not None:
        given = load_manifest(manifest)
        split, tasks, shot, query = _settled(given, run.config.way, split=split, episodes=tasks, shot=shot, query=query)
    checkpoint = run.checkpoint(update)
    data = run.config.data if dataset is None else _data_for(run.config.data, dataset, run.image)
    pool = pool_of(data, root=root)
    if run.image is not None and pool.image_shape != run.image:
        must = f"images of {pool.name!r} must be {list(run.image)}, as the net sees them"
        raise UserError("evaluate", must, list(pool.image_shape), "choose other data with --dataset")
    case = ProbedRun(
        run=run,
        update=checkpoint.update,
        theta=checkpoint.theta.to(where),
        pool=pool.to(where),
        dataset=one_line(Path(data.dataset).name or data.dataset),
        split=split or "test",
        shot=run.config.shot if shot is None else shot,
        query=run.config.query if query is None else query,
        tasks=usual if tasks is None else tasks,
        given=given,
        inner=inner or InnerWords(),
    )
    _can_be(case)
    if given is not None:
        given.check(pool)
    one = next(replace(case, pool=pool, tasks=1).batches())  # fail now if the data cannot supply such tasks
    if run.image is None:
        running = case.method.norm.statistics == "running"
        logits("evaluate", case.net, checkpoint.theta, one.support_x, way=run.config.way, running=running)
    return case


def _can_be(case: ProbedRun) -> None:
    """Refuse an inner loop that the run cannot have.

    Raises:
        UserError: a setting that does not go with the method, the net, or what training stored.
    """
    trained, said = case.run.config.method, case.method
    if said.inner.adapts != trained.inner.adapts or case.run.imported:
        fits(case.net, case.theta, said)
    if case.inner.norm == "running" and not case.run.imported and trained.norm.statistics != "running":
        got = f"norm {trained.norm.statistics} in training, which keeps none"
        raise UserError("inner loop", "norm 'running' needs running averages from training", got, "leave it out")
    if trained.norm.affine == "per_step":
        init(case.net, seed=0, method=said)  # refuses norms that adapt


def _settled(given: Manifest, way: int, **asked: str | int | None) -> tuple[str, int, int, int]:
    """Return split, number, shot and query of the manifest.

    Raises:
        UserError: an argument contradicts it, or the run classifies another way.
    """
    says = {"split": given.split, "episodes": given.tasks, "shot": given.shot, "query": given.query}
    for name, value in asked.items():
        if value not in (None, says[name]):
            raise UserError("manifest", f"--{name} must be {says[name]}, as {given.path} says", value, "leave it out")
    if given.way != way:
        must = f"tasks of {given.path} must be {way}-way, as the run is"
        raise UserError("manifest", must, f"{given.way}-way", "choose another run or manifest")
    return given.split, given.tasks, given.shot, given.query


def _data_for(known: Data, dataset: str, image: Image | None) -> Data:
    """Return the named data set, prepared for a net that was trained on `known` with images of shape `image`."""
    if dataset == known.dataset:
        return known
    ink = known.ink if dataset in READERS else 1
    size = image[1] if image and len(image) == 3 else None
    return Data(dataset=dataset, size=size, ink=ink, normalise=known.normalise)


def _without_inputs(episodes: Episodes) -> Episodes:
    """Return the same labels and ids, with inputs of zero channels."""
    return replace(episodes, support_x=episodes.support_x[:, :, :0], query_x=episodes.query_x[:, :, :0])


def _joined(parts: list[Episodes]) -> Episodes:
    """Join the tasks of all parts into one batch."""
    names = [each.name for each in fields(Episodes)]
    return Episodes(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
