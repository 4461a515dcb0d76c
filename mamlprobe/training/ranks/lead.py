"""Who does what: rank 0 trains as one process alone would, and asks the others for their parts of every update."""

import hashlib
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path

from mamlprobe.base.errors import Stopped, UserError
from mamlprobe.base.spec import to_dict
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.nets.net import Net, Params
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import Run
from mamlprobe.training.compute import Compute
from mamlprobe.training.precision import precision
from mamlprobe.training.ranks.group import Lost, Ranks
from mamlprobe.training.ranks.parts import divided
from mamlprobe.training.training_tasks import head_rows, source_of, training_tasks


class Word(IntEnum):
    """What rank 0 asks the others for."""

    END = 0
    FAIL = 1
    BEGIN = 2
    UPDATE = 3


class Lead:
    """Rank 0's side of a training on several processes."""

    def __init__(self, ranks: Ranks, experiments: Sequence[Experiment], compute: Compute) -> None:
        self.compute = compute
        self.ranks, self.seeds = ranks, [each.seed for each in experiments]
        self.begun = False
        self.amid = False
        """Whether the others hear no word: they are in the middle of an update, or have ended with its error."""

    def say(self, word: Word, index: int = 0, seeds: Sequence[int] = ()) -> None:
        """Say a word to the others: with the number of an update, and the seeds that take it."""
        self.ranks.numbers([word, index, *(int(seed in seeds) for seed in self.seeds)])

    def gradients(
        self,
        net: Net,
        thetas: Sequence[Theta],
        episodes: Sequence[Episodes],
        method: Method,
        *,
        source: TaskSource,
        index: int,
        seeds: Sequence[int],
    ) -> list[tuple[Params, Readings]]:
        """Return what `meta_gradients` does, with the others' help; `seeds`, in the order given, take update `index`.

        Raises:
            UserError: as `divided`; other data on another rank.
        """
        self.amid = True
        if not self.begun:
            self.say(Word.BEGIN)
            with self.ranks.agreeing():
                pass
            self.ranks.same("data", source.digest())
            self.begun = True
        self.say(Word.UPDATE, index, seeds)
        chunk, recompute = self.compute.chunk, self.compute.recompute
        made = divided(self.ranks, net, thetas, episodes, method, chunk=chunk, recompute=recompute)
        self.amid = False
        return made


@contextmanager
def leading(experiments: Sequence[Experiment], compute: Compute) -> Iterator[Lead | None]:
    """Lead the other ranks inside, if any; at the end they go on with the program, or fail as this one does."""
    ranks = compute.ranks
    if ranks is None:
        yield None
        return
    lead = Lead(ranks, experiments, compute)
    try:
        yield lead
    except BaseException as error:
        if not lead.amid:
            with suppress(Lost):
                lead.say(Word.FAIL)
                ranks.gather(json.dumps(_reason(error)))
        raise
    lead.say(Word.END)


def _reason(error: BaseException) -> list[str]:
    """Return the four parts of a user's error, or the text of another one."""
    return [error.where, error.must, error.got, error.advice] if isinstance(error, UserError) else [str(error)]


def follow(
    experiments: Sequence[Experiment],
    compute: Compute,
    *,
    pool: TaskSource | None,
    root: str | Path | None,
) -> None:
    """Do what rank 0 says until it ends the training.

    Raises:
        UserError: any that rank 0 or another rank has.
        Stopped: rank 0 was interrupted, or failed in another way.
    """
    ranks = compute.ranks
    assert ranks is not None
    with _deaf():
        helper: Helper | None = None
        while True:
            word, index, *chosen = ranks.numbers([0] * (2 + len(experiments)))
            if word == Word.END:
                return
            if word == Word.FAIL:
                reason = json.loads(ranks.gather("")[0])
                raise UserError(*reason) if len(reason) == 4 else Stopped(*reason)
            if word == Word.BEGIN:
                with ranks.agreeing():
                    helper = Helper(ranks, experiments, compute, pool, root)
                ranks.same("data", "" if helper is None else helper.pool.digest())
            elif helper is not None:
                helper.help(index, [place for place, takes in enumerate(chosen) if takes])


class Helper:
    """What a rank above 0 has: nets, tensors for rank 0's values, and the data."""

    def __init__(
        self,
        ranks: Ranks,
        experiments: Sequence[Experiment],
        compute: Compute,
        pool: TaskSource | None,
        root: str | Path | None,
    ) -> None:
        if compute.device.type == "cpu":
            tune_malloc()
        self.ranks, self.experiments, self.compute = ranks, experiments, compute
        self.pool = (pool or source_of(experiments[0].data, root=root)).to(compute.device)
        rows = head_rows(self.pool, experiments[0])
        self.nets: list[Net] = []
        self.thetas: list[Theta] = []
        for each in experiments:
            run = Run(path=Path(), config=each, image=self.pool.input_shape, classes=rows, module=each.net.named)
            net = run.net()
            self.nets.append(net)
            theta = init(net, seed=each.seed, method=each.method).to(compute.device)
            self.thetas.append(theta.map_tensors(lambda value: value.detach().clone()))

    def help(self, index: int, places: Sequence[int]) -> None:
        """Compute this rank's part of an update of the experiments at these places."""
        experiment, compute = self.experiments[places[0]], self.compute
        episodes = [training_tasks(self.pool, self.experiments[place], index=index) for place in places]
        method = resolve(experiment.method, index, experiment.updates)
        with precision(compute.precision, compute.device):
            divided(
                self.ranks,
                self.nets[places[0]],
                [self.thetas[place] for place in places],
                episodes,
                method,
                chunk=compute.chunk,
                recompute=compute.recompute,
            )


def agree(experiments: Sequence[Experiment], out: Path, compute: Compute) -> None:
    """Refuse, on all ranks, what cannot be trained on several; one process alone is never refused.

    Raises:
        UserError: ranks with other settings; more ranks than tasks.
    """
    ranks = compute.ranks
    if ranks is None:
        return
    settings = [[to_dict(each) for each in experiments], str(out), compute.chunk, compute.recompute, compute.precision]
    ranks.same("settings", hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest())
    if ranks.size > experiments[0].tasks:
        got = f"{ranks.size} processes for {experiments[0].tasks} tasks an update"
        raise UserError("train", "every process must have a task", got, "start fewer, or set tasks higher (--tasks)")


@contextmanager
def _deaf() -> Iterator[None]:
    """Leave Ctrl-C to rank 0 inside: it ends the others when its state is saved."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
