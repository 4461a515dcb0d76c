"""A grid of trainings, each in its run folder: what is finished is left alone, what fails is told at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mamlprobe.base.errors import Stopped
from mamlprobe.data.sources import TaskSource
from mamlprobe.runs.experiment import Data, Experiment, run_name
from mamlprobe.runs.folder import Run, open_run
from mamlprobe.sweeps.cost import Cost, cost
from mamlprobe.sweeps.jobs import Backend, Outcome, jobs, threads_each
from mamlprobe.training.compatibility import can_begin, large_enough
from mamlprobe.training.compute import compile_if_earned, pick_device
from mamlprobe.training.loop import train
from mamlprobe.training.training_tasks import source_of


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how the runs of a sweep are trained."""

    out: str = "runs"
    root: str | None = None
    device: str = "auto"
    chunk: int | None = None
    recompute: bool = False


@lru_cache(maxsize=2)
def _source(data: Data, root: str | None) -> TaskSource:
    """Load the data once a process."""
    return source_of(data, root=root)


def begun(experiment: Experiment, out: str) -> Run | None:
    """Return the run of the experiment in the folder, finished or not; None if it was not begun."""
    path = Path(out) / run_name(experiment)
    return open_run(path) if path.is_dir() else None


def unfinished(experiments: Sequence[Experiment], place: Place) -> list[Experiment]:
    """Return the experiments without a finished run, after checking that each of them can begin.

    Raises:
        UserError: one cannot, or there is no such device.
    """
    pick_device(place.device)
    left = []
    for each in experiments:
        run = begun(each, place.out)
        if run is None or not run.done:
            left.append(each)
    for each in left:
        large_enough(each)
        can_begin(each, _source(each.data, place.root))
    return left


def estimated(left: Sequence[Experiment], place: Place, *, threads: int) -> Cost:
    """Estimate what the experiments without a finished run will cost, from a few updates of each kind."""
    before = []
    for each in left:
        run = begun(each, place.out)
        before.append(max(run.updates(), default=0) if run is not None else 0)
    return cost(
        left,
        before,
        lambda each: _source(each.data, place.root),
        device=pick_device(place.device),
        threads=threads,
        chunk=place.chunk,
        recompute=place.recompute,
    )


def train_one(job: tuple[Experiment, Place]) -> str:
    """Train one experiment without a bar, or go on with it, and return the folder of its run."""
    experiment, place = job
    how = {"device": place.device, "chunk": place.chunk, "recompute": place.recompute}
    source = _source(experiment.data, place.root)
    return str(train(experiment, place.out, pool=source, progress=False, **how).path)  # type: ignore[arg-type]


def sweep(
    left: Sequence[Experiment],
    place: Place,
    *,
    backend: Backend = "loky",
    workers: int = 1,
    threads: int | None = None,
    cluster: str | None = None,
) -> list[Outcome]:
    """Train the experiments on so many workers, as `jobs` does, and return how each ended.

    Raises:
        UserError: as `jobs`.
        Stopped: Ctrl-C; the states of all runs are before.
    """
    if pick_device(place.device).type == "cpu":
        compile_if_earned(left, on=True)  # once, before the workers need them
    work = [(each, place) for each in left]
    how = {"workers": workers, "threads": threads or threads_each(workers, backend), "cluster": cluster}
    done = jobs(train_one, work, backend=backend, name="sweep", **how)  # type: ignore[arg-type]
    if any(each.stopped for each in done):
        whole = sum(each.value is not None for each in done)
        raise Stopped(f"interrupted: {whole} of {len(done)} runs were finished; the same command goes on from here")
    return done
