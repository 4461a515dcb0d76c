"""One process's part of a training: where it begins, and what it leaves on the disk at each update."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.theta import Theta, init
from mamlprobe.nets.net import Net, Params
from mamlprobe.runs import log as tables
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, drop_later, save_checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import LOG_COLUMNS, Run
from mamlprobe.runs.settings_files import FORMAT, kept_names, write_json
from mamlprobe.runs.writing import write
from mamlprobe.training.compute import Compute
from mamlprobe.training.learner import Learner, Tally
from mamlprobe.training.precision import precision
from mamlprobe.training.progress import say
from mamlprobe.training.resume import Start
from mamlprobe.training.rules import rule_name
from mamlprobe.training.stretches import Stretch, changed, extended
from mamlprobe.training.validation import SPLIT, validate

Hook = Callable[[int, Net, Theta], pd.DataFrame | None]
"""(update, net, theta) -> a tidy table, or None; called at every checkpoint."""


def check_hooks(hooks: Sequence[Hook]) -> None:
    """Refuse hooks without names, or two of one name: their tables are called by them.

    Raises:
        UserError: for either.
    """
    names = [getattr(hook, "__name__", repr(hook)) for hook in hooks]
    for name in names:
        if not name.isidentifier():
            raise UserError("train", "a hook must have a name", name, "give a function made with def")
        if names.count(name) > 1:
            raise UserError("train", "hooks must have different names", name, "rename one")


class Session:
    """The state of a training in this process; `update` updates are done.

    At every update that `mark` sees, first the log, then the hooks' tables, last the checkpoint is written: what
    stands in the files beyond the newest checkpoint is cut off and made again when a later session takes over.
    """

    def __init__(
        self,
        start: Start,
        pool: TaskSource,
        compute: Compute,
        *,
        here: Stretch,
        progress: bool,
        hooks: Sequence[Hook],
    ) -> None:
        self.run, self.experiment, self.hooks, self.progress = start.run, start.run.config, hooks, progress
        self.precision, self.rule, device = compute.precision, compute.rule, compute.device
        run, saved = start.run, start.checkpoint
        _suits(pool, run.config)
        self.began = time.perf_counter()
        self.data, self.spent = _data(run, pool), run.env.get("seconds", 0.0)
        if start.back:  # before the log is cut: what is left is always that of a training which came so far
            drop_later(run.path, -1 if saved is None else saved.update)
        self.here, self.stretches = here, list(start.past)
        self.pool, self.net = pool.to(device), run.net()
        theta = init(self.net, seed=run.config.seed, method=run.config.method) if saved is None else saved.theta
        capturable = compute.graph and device.type == "cuda"
        self.learner = Learner(self.net, theta.to(device), run.config.method, capturable=capturable)
        if saved is not None:
            self.learner.restore(saved.optimizer)
        self.tally = Tally() if saved is None else Tally(saved.metadata.get("tally", {}))
        self.update = -1 if saved is None else saved.update
        self.saved = self.update
        self.fault = start.fault
        """Why this run cannot go on; None if it can."""
        self.validates = SPLIT in pool.splits and self.experiment.validation_tasks > 0
        if not self.validates and self.experiment.validation_tasks:
            say(f"no validation: {pool.name!r} has no split {SPLIT!r}", on=progress)
        self._cut()

    def _cut(self) -> None:
        """Cut the log and the tables back to this update; one that is no whole table is set aside, if it is ours."""
        log, folder = self.run.path / "log.csv", self.run.path / "tables"
        ours = {log, *(folder / f"{hook.__name__}.csv" for hook in self.hooks)}
        for path in sorted(ours | set(folder.glob("*.csv"))):
            try:
                tables.cut(path, self.update, tables.LOG if path == log else tables.TABLE)
            except UserError as error:
                what = f"set aside as {tables.set_aside(path).name}" if path in ours else "left as it is"
                say(f"{path.name} is {what}: {error.must}, got {error.got}", on=self.progress)

    def accompanied(self, seeds: Sequence[int]) -> str:
        """Note that updates are computed with these seeds from here on; return what is other than before, if any is."""
        before, here = self.stretches[-1:], {**self.here, "seeds": list(seeds)}
        self.stretches = extended(self.stretches, self.update, here)
        return changed(before[0], here) if before else ""

    def due(self, every: int) -> bool:
        """Tell whether this update is a multiple of `every`, or the last."""
        return self.update % every == 0 or self.update == self.experiment.updates

    def take(self, gradients: Params, readings: Readings, *, lr: float) -> None:
        """Take one update at this outer rate."""
        if self.update == 0:
            _moving(gradients)
        self.learner.step(gradients, readings.moments, lr=lr)
        self.count(readings)

    def count(self, readings: Readings) -> None:
        """Count an update that the learner has taken."""
        self.tally.add(readings)
        self.update += 1

    def precise(self) -> AbstractContextManager[None]:
        """Return a context inside which products have the precision of this run."""
        return precision(self.precision, self.pool.device)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Store a user's error, raised inside, as the `fault` of this run."""
        try:
            yield
        except UserError as error:
            self.fault = error

    def check(self) -> None:
        """Read the losses since the last look.

        Raises:
            UserError: one is not finite.
        """
        back = self.tally.read()
        if back is not None:
            intact = f"the checkpoint of update {self.saved} in {self.run.path} is whole"
            advice = f"lower inner.lr or outer.lr, or set outer.clip; {intact}"
            failed = self.update - back + 1
            got = f"NaN or infinity at update {failed}"
            self._write_env(failed=failed)
            raise UserError("train", "the training loss must be finite", got, advice)

    def mark(self) -> None:
        """Write what is due at this update."""
        if self.due(self.experiment.validate_every):
            self.check()
            self._log()
        if self.due(self.experiment.checkpoint_every):
            self._call_hooks()
            self.save()

    def _log(self) -> None:
        """Append a point to the log and start the sums anew."""
        points: list[tuple[str, dict[str, float], int]] = []
        if self.tally.updates:
            points.append(("train", self.tally.means(), self.tally.updates * self.experiment.tasks))
        if self.validates:
            with precision("float32", self.pool.device):  # whatever the training's precision, runs are compared by it
                metrics = validate(self.net, self.learner.theta, self.pool, self.experiment)
            points.append(("val", metrics, self.experiment.validation_tasks))
        rows = [
            (self.update, split, quantity, value, tasks)
            for split, values, tasks in points
            for quantity, value in values.items()
        ]
        if rows:
            tables.append(self.run.path / "log.csv", pd.DataFrame(rows, columns=list(LOG_COLUMNS)))
        self.tally = Tally()

    def _call_hooks(self) -> None:
        """Append what the hooks return to their tables."""
        for hook in self.hooks:
            table = hook(self.update, self.net, self.learner.snapshot())
            if table is None or not len(table):
                continue
            if "update" not in table:
                table = table.assign(update=self.update)[["update", *table.columns]]
            tables.append(self.run.path / "tables" / f"{hook.__name__}.csv", table)

    def save(self) -> None:
        """Write the checkpoint of this update, unless it exists, and the time spent; nothing after a fault."""
        if self.saved == self.update or self.fault is not None:
            return
        self.check()
        checkpoint = Checkpoint(
            update=self.update,
            theta=self.learner.theta,
            optimizer=self.learner.optimizer_state(),
            metadata={"tally": self.tally.state()},
        )
        self._write_env()
        save_checkpoint(checkpoint_path(self.run.path, self.update), checkpoint)
        self.saved = self.update

    def _write_env(self, **more: int) -> None:
        """Write what the updates so far were computed with, and the time spent."""
        *earlier, last = self.stretches
        spent = round(self.spent + time.perf_counter() - self.began, 3)
        whole = {"data": self.data, "seconds": spent, "earlier": earlier, "precision": self.precision}
        rule = {} if self.rule is None else {"rule": rule_name(self.rule)}
        write_json(self.run.path / "env.json", {"format": FORMAT, **last, **whole, **rule, **more})

    def finish(self) -> None:
        """Write the mark of a finished run, if it is one."""
        if self.fault is None:
            write(self.run.path / "done", f"{self.experiment.updates} updates\n".encode())


def behind(sessions: Sequence[Session]) -> list[Session]:
    """Return the sessions with the fewest updates, of all that have some left; they take the next one together."""
    left = [each for each in sessions if each.update < each.experiment.updates and each.fault is None]
    return [each for each in left if each.update == min(other.update for other in left)]


def accompany(group: Sequence[Session]) -> None:
    """Note who computes the updates from here on with whom and with what; say what is other than before."""
    changes: dict[str, list[str]] = {}
    for session in group:
        changes.setdefault(session.accompanied([each.experiment.seed for each in group]), []).append(
            session.run.path.name
        )
    for change, names in changes.items():
        if change:
            begin = f"{', '.join(names)}: from update {group[0].update} on computed with {change}"
            say(f"{begin}; the last digits may be others than those of a training in one piece", on=True)


def title(sessions: Sequence[Session]) -> str:
    """Return the run's name; of several, the recipe and the seeds."""
    first = sessions[0]
    seeds = ",".join(str(each.experiment.seed) for each in sessions)
    return first.run.path.name if len(sessions) == 1 else f"{first.experiment.recipe}-s{seeds}"


def _training_classes(pool: TaskSource) -> list[str]:
    """Return the names of the classes that are trained on, by which an evaluation knows them again."""
    if not isinstance(pool, Pool) or "train" not in pool.splits:
        return []
    return kept_names(pool.class_names[number] for number in pool.splits["train"].tolist())


def _moving(gradients: Params) -> None:
    """Refuse a first outer gradient of zero: nothing would be learned, however long.

    Raises:
        UserError: every entry is zero.
    """
    if not any(bool(value.any()) for value in gradients.values()):
        advice = (
            "look for detach or no_grad in the net, a head that is zero and stays so, a rate or a number of steps of 0"
        )
        raise UserError("train", "the outer gradient must not be zero everywhere", "zero at the first update", advice)


def _suits(source: TaskSource, experiment: Experiment) -> None:
    """Refuse a method that asks for classes if the targets are real numbers.

    Raises:
        UserError: the method does; the message says what to set.
    """
    if source.regression and experiment.method.loss != "mse":
        must, got = f"the curves {source.name!r} must have a loss of real targets", f"loss {experiment.method.loss}"
        raise UserError("train", must, got, "set method.loss to mse (--loss mse)")


def _data(run: Run, pool: TaskSource) -> dict[str, Any]:
    """Return what env.json says of the data.

    Raises:
        UserError: the run was begun with other data.
    """
    data = {
        "name": pool.name,
        "source": pool.source,
        "digest": pool.digest(),
        "mean": list(pool.mean),
        "std": list(pool.std),
        "classes": _training_classes(pool),
    }
    before = run.env
    known = before.get("data", data)
    for word in ("digest", "mean", "std"):
        if known[word] != data[word]:
            got = f"{word} {data[word]} instead of {known[word]}"
            raise UserError("train", f"{run.path} must go on with the data it began with", got, "give the same data")
    return data
