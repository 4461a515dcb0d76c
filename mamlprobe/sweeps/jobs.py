"""The one door of many independent jobs: joblib's engines, one bar, failures told at the end, no worker left behind."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from types import FrameType
from typing import Any, Literal, TypeVar, get_args

import joblib
import torch
from tqdm.auto import tqdm

from mamlprobe.base.errors import Stopped, UserError, one_line, unknown
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.sweeps.engines import CLUSTERS, engine
from mamlprobe.training.progress import ALL

T = TypeVar("T")

Backend = Literal["loky", "threading", "serial", "dask", "ray"]
"""Engine that the jobs run on."""

BACKENDS: tuple[Backend, ...] = get_args(Backend)

ENDED = "a worker process was ended by the system: its memory may not have sufficed; use fewer --workers"
"""What is told of a job whose worker died twice."""


LOOK = 0.5
"""Seconds between two looks of a worker whether its parent lives."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended."""

    job: int
    """Its place in the list."""
    value: Any = None
    """What the work returned."""
    error: str = ""
    """One line on why it failed; empty if it did not."""
    trace: str = ""
    """Where, for an error that is not the user's."""
    stopped: bool = False
    """It was stopped, or not begun, because the user asked."""


def jobs(
    work: Callable[[T], Any],
    items: Sequence[T],
    *,
    backend: Backend = "loky",
    workers: int = 1,
    threads: int | None = None,
    cluster: str | None = None,
    name: str = "jobs",
) -> list[Outcome]:
    """Do ``work(item)`` for every item on so many workers, and return how each ended, in their order.

    A job that fails does not stop the others. Each worker has `threads` threads, its share of the cores by default.
    Ctrl-C lets trainings save their state and begins nothing new; a second one ends the workers at once. Those of loky
    end with this process, however it ends. On dask and ray the first Ctrl-C leaves the workers at once.

    Raises:
        UserError: an unknown backend; numbers below 1; a cluster that is not there, or for a backend without one.
        KeyboardInterrupt: the second Ctrl-C.
    """
    if backend not in BACKENDS:
        raise unknown("jobs", "backend", backend, BACKENDS)
    for word, number in (("workers", workers), ("threads", threads)):
        if number is not None and number < 1:
            raise UserError("jobs", f"{word} must be 1 or more", number, "leave it out for the usual")
    share = threads or threads_each(workers, backend)
    if workers == 1 and backend in ("loky", "threading") and cluster is None:
        backend = "serial"  # as joblib does
    parent = os.getpid() if backend == "loky" else None
    done: dict[int, Outcome] = {}
    pause = 0.5 if sys.stderr.isatty() else 30.0
    how: dict[str, Any] = {"total": len(items), "desc": name, "unit": "job", "mininterval": pause}
    with (
        _stopping(backend),
        engine(backend, workers, share, cluster) as parallel,
        tqdm(dynamic_ncols=True, **how) as bar,
    ):
        try:
            for outcome in _all(work, items, parallel, threads=share, parent=parent):
                done[outcome.job] = outcome
                failed = sum(bool(each.error) for each in done.values())
                bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
                bar.update()
        except KeyboardInterrupt:
            if backend not in CLUSTERS:
                raise
    return [done.get(place, Outcome(job=place, stopped=True)) for place in range(len(items))]


def threads_each(workers: int, backend: Backend) -> int:
    """Return the threads of a worker where nobody says: its share of this machine's cores; one on a cluster."""
    return 1 if backend in CLUSTERS else max(1, (os.cpu_count() or 1) // workers)


def _all(
    work: Callable[[T], Any], items: Sequence[T], parallel: Any, *, threads: int, parent: int | None
) -> Iterator[Outcome]:
    """Yield the outcomes as they come; jobs whose worker the system has ended are tried once more."""
    left, tries = dict(enumerate(items)), dict.fromkeys(range(len(items)), 0)
    while left and not ALL.is_set():

        def calls() -> Iterable[Any]:
            for place in list(left):
                if ALL.is_set():
                    return
                tries[place] += 1
                yield joblib.delayed(_attempt)(work, left[place], place, threads, parent)

        try:
            for outcome in parallel(calls()):
                del left[outcome.job]
                yield outcome
            return
        except BrokenProcessPool:
            for place in [each for each in left if tries[each] > 1]:
                del left[place]
                yield Outcome(job=place, error=ENDED, stopped=ALL.is_set())


_begun = threading.Event()
"""Set in a worker that was prepared."""


def _begin(parent: int) -> None:
    """Prepare a worker process: its memory allocator, Ctrl-C, bars, and its end together with its parent."""
    tune_malloc()
    tqdm.set_lock(threading.RLock())  # its usual one is shared between processes, and left behind by one that is ended
    signal.signal(signal.SIGINT, lambda number, frame: ALL.set())
    threading.Thread(target=_follow, args=(parent,), name="follow", daemon=True).start()
    _begun.set()


def _follow(parent: int) -> None:
    """End this process with its parent, in the middle of any work: files get their names only when complete.

    Loky's workers end when they next look for work, which after a training may be in hours.
    """
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _attempt(work: Callable[[T], Any], item: T, place: int, threads: int, parent: int | None) -> Outcome:
    """Do one job; in a worker process of this `parent`, which is prepared before its first."""
    if parent is not None and not _begun.is_set():
        _begin(parent)
    torch.set_num_threads(threads)
    if ALL.is_set():
        return Outcome(job=place, stopped=True)
    try:
        return Outcome(job=place, value=work(item))
    except Stopped:
        return Outcome(job=place, stopped=True)
    except UserError as error:
        return Outcome(job=place, error=str(error))
    except Exception as error:
        line = one_line(f"{type(error).__name__}: {error}")
        return Outcome(job=place, error=line, trace=traceback.format_exc())


@contextmanager
def _stopping(backend: Backend) -> Iterator[None]:
    """Ask all jobs to stop at the first Ctrl-C inside; the second interrupts at once.

    Off the main thread and on clusters nothing is changed.
    """

    def note(number: int, frame: FrameType | None) -> None:
        if ALL.is_set():
            raise KeyboardInterrupt
        ALL.set()
        for worker in active_children() if backend == "loky" else ():
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGINT)
        os.write(2, b"\nstopping after the updates at work; Ctrl-C again stops at once\n")

    ours = backend not in CLUSTERS and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, note) if ours else None
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        ALL.clear()
        if ours:
            signal.signal(signal.SIGINT, before)
