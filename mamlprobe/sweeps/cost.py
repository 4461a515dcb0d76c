"""What a sweep will cost: jobs, updates, hours, memory and disk, from a few timed updates on this machine."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mamlprobe.base.spec import to_dict
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.outer.memory import memory_needed
from mamlprobe.learn.theta import init
from mamlprobe.methods.schedules import resolve
from mamlprobe.nets.from_spec import build
from mamlprobe.runs.checkpoint import Checkpoint, save_checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.training.learner import Learner
from mamlprobe.training.memory_check import amount
from mamlprobe.training.training_tasks import head_rows, training_tasks
from mamlprobe.training.validation import SPLIT, validate

WARM, LEAST, LONG = 2, 3, 0.5
"""Updates before the timed ones; the fewest timed; seconds after which no more are."""

VALIDATED = 8
"""Validation tasks that are timed, for all."""

COUNTS = ("seed", "recipe", "updates", "validate_every", "validation_tasks", "checkpoint_every")
"""Settings that change the number of updates and checkpoints, not what one of them takes."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What was measured of a training."""

    update: float
    """Seconds of an update."""
    validation: float
    """Seconds of a validation task."""
    memory: int
    """Bytes at the peak of an update."""
    checkpoint: int
    """Bytes of a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a sweep will cost."""

    jobs: int
    updates: int
    seconds: float
    """Of all jobs, one after the other."""
    memory: int
    """Bytes at the peak of a worker's update."""
    process: int
    """Bytes of a process with the libraries and the data."""
    disk: int
    shapes: int
    """Kinds of trainings that were timed."""

    def lines(self, *, workers: int, threads: int, processes: bool, device: str) -> list[str]:
        """Say it in lines of text, for so many workers of so many threads each."""
        hours = self.seconds * (threads if device == "cpu" else 1) / 3600
        unit = "core hours" if device == "cpu" else "device hours"
        kinds = f"{self.shapes} kind{'s' if self.shapes != 1 else ''} of training timed on this machine"
        each = self.memory + self.process
        whole = each * workers if processes else self.process + self.memory * workers
        wall = _time(self.seconds / max(1, min(workers, self.jobs)))
        return [
            f"jobs: {self.jobs}, {self.updates:,} updates",
            f"time: about {hours:.3g} {unit}, {wall} on {workers} x {threads} threads ({kinds}, one at a time)",
            f"memory: about {amount(whole)} on {workers} workers ({amount(self.memory)} an update, "
            f"{amount(self.process)} for libraries and data)",
            f"disk: about {amount(self.disk)} of checkpoints",
        ]


def _time(seconds: float) -> str:
    return (
        f"{seconds / 3600:.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:.1f} min"
        if seconds >= 90
        else f"{seconds:.1f} s"
    )


def kind_of(experiment: Experiment) -> str:
    """Return what decides the time of an update as text: all settings but counts, seeds and rates."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        return 0.5 if isinstance(value, float) and value else value

    values = {name: value for name, value in to_dict(experiment).items() if name not in COUNTS}
    return json.dumps(plain(values), sort_keys=True)


def cost(
    experiments: Sequence[Experiment],
    done: Sequence[int],
    source: Callable[[Experiment], TaskSource],
    *,
    device: torch.device,
    threads: int,
    chunk: int | None = None,
    recompute: bool = False,
) -> Cost:
    """Time some updates of each kind of training, and add up what all need; `done` updates of each are kept already."""
    before, units = torch.get_num_threads(), {}
    torch.set_num_threads(threads)
    try:
        for each in experiments:
            if kind_of(each) not in units:
                units[kind_of(each)] = measured(each, source(each), device, chunk=chunk, recompute=recompute)
    finally:
        torch.set_num_threads(before)
    of = [units[kind_of(each)] for each in experiments]
    left = [each.updates - past for each, past in zip(experiments, done, strict=True)]
    rows = list(zip(experiments, of, left, strict=True))
    return Cost(
        jobs=len(experiments),
        updates=sum(left),
        seconds=sum(
            number * unit.update + (number / each.validate_every + 1) * each.validation_tasks * unit.validation
            for each, unit, number in rows
        ),
        memory=max((unit.memory for unit in of), default=0),
        process=_resident(),
        disk=sum(unit.checkpoint * (-(-number // each.checkpoint_every) + 1) for each, unit, number in rows),
        shapes=len(units),
    )


def measured(
    experiment: Experiment, source: TaskSource, device: torch.device, *, chunk: int | None, recompute: bool
) -> Unit:
    """Time updates and validation of a training on this device, and measure its memory and its checkpoint."""
    pool, method = source.to(device), experiment.method
    net = build(experiment.net, way=head_rows(pool, experiment) or experiment.way, image=pool.input_shape, seed=0)
    learner = Learner(net, init(net, seed=0, method=method).to(device), method)
    halfway = resolve(method, experiment.updates // 2, experiment.updates)

    def update(index: int) -> float:
        begin = _now(device)
        tasks = training_tasks(pool, experiment, index=index)
        (gradients, readings), *_ = meta_gradients(
            net, [learner.theta], [tasks], halfway, chunk=chunk, recompute=recompute
        )
        learner.step(gradients, readings.moments, lr=halfway.outer.lr)
        return _now(device) - begin

    seconds = [update(index) for index in range(WARM + LEAST)][WARM:]
    while sum(seconds) < LONG and len(seconds) < 50:
        seconds.append(update(WARM + len(seconds)))
    few, validation = replace(experiment, validation_tasks=min(VALIDATED, experiment.validation_tasks)), 0.0
    if SPLIT in pool.splits and few.validation_tasks:
        begin = _now(device)
        validate(net, learner.theta, pool, few)
        validation = (_now(device) - begin) / few.validation_tasks
    need = memory_needed(net, learner.theta, training_tasks(pool, experiment), method, chunk=chunk, recompute=recompute)
    with tempfile.TemporaryDirectory() as folder:
        # of zeros: at these rates the timed updates may have led nowhere
        state = {name: torch.zeros_like(value) for name, value in learner.optimizer_state().items()}
        whole = Checkpoint(update=1, theta=learner.theta.map_tensors(torch.zeros_like), optimizer=state, metadata={})
        save_checkpoint(Path(folder) / "checkpoint", whole)
        size = (Path(folder) / "checkpoint").stat().st_size
    return Unit(update=median(seconds), validation=validation, memory=need, checkpoint=size)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _resident() -> int:
    """Return the most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
