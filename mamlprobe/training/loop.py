"""The outer loop: episodes, outer gradient, optimizer, and at fixed updates the log and a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import sample
from mamlprobe.data.load import load_pool
from mamlprobe.data.pool import Pool
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.runs.experiment import Data, Experiment, run_name
from mamlprobe.runs.folder import Run, load_run, make_run, open_run
from mamlprobe.runs.writing import locked
from mamlprobe.training.progress import bar, show, stopping
from mamlprobe.training.session import Hook, Session

LOOKS = {"cpu": 1, "cuda": 25}
"""Updates between two looks at the losses, by kind of device; a look waits for the device."""


class Interrupted(Exception):
    """The user stopped a training; its state is kept and the same call goes on from it."""

    def __init__(self, run: Run, update: int) -> None:
        self.run, self.update = run, update
        line = f"interrupted: {update} of {run.config.updates} updates are kept in {run.path}; the same command goes on"
        super().__init__(line)


def train(
    experiment: Experiment,
    out: str | Path = "runs",
    *,
    device: str = "auto",
    pool: Pool | None = None,
    root: str | Path | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
) -> Run:
    """The finished run of this experiment, in the folder ``out/<run name>``.

    A run that was begun goes on from its last good checkpoint, on one device to the same bits as if it had never
    stopped; a finished one is returned as it is. `pool` replaces the data that the experiment names, `root` is where
    raw files lie. What a hook returns at a checkpoint is appended to ``tables/<name of the hook>.csv``.

    Raises:
        UserError: an impossible setting, device or folder; a loss that is not finite; data other
            than the run began with.
        Interrupted: Ctrl-C; the state after the last whole update is kept.
    """
    where = pick_device(device)
    _check_hooks(hooks)
    path = Path(out) / run_name(experiment)
    there = open_run(path) if path.is_dir() else None
    if there is not None and there.done:
        return load_run(make_run(path, experiment, there.image).path)
    pool = pool or pool_of(experiment.data, root=root)
    with locked(path):
        run = make_run(path, experiment, pool.image_shape)
        session = Session(run, pool, where, progress=progress, hooks=hooks)
        try:
            _to_the_end(session)
        except KeyboardInterrupt:
            raise Interrupted(run, max(session.saved, 0)) from None
    return load_run(path)


def _to_the_end(session: Session) -> None:
    """All updates that are left."""
    experiment, net, pool, learner = session.experiment, session.net, session.pool, session.learner
    shape = {"way": experiment.way, "shot": experiment.shot, "query": experiment.query, "tasks": experiment.tasks}
    name, updates, on = session.run.path.name, experiment.updates, session.progress
    with bar(name, start=max(session.update, 0), updates=updates, on=on) as drawn, stopping(on=on) as stop:
        if session.update < 0:
            session.update = 0
            session.mark()
        while session.update < updates:
            if stop.asked:
                session.save()
                raise KeyboardInterrupt
            episodes = sample(pool, split="train", seed=experiment.seed, index=session.update, **shape)
            gradients, readings = meta_gradient(net, learner.theta, episodes, experiment.method)
            learner.step(gradients, readings.moments)
            session.tally.add(readings)
            session.update += 1
            if session.update % LOOKS[pool.device.type] == 0:
                session.check()
                show(drawn, session.tally)
            drawn.update()
            session.mark()
        session.finish()


def pool_of(data: Data, *, root: str | Path | None = None) -> Pool:
    """The pool that the settings name."""
    return load_pool(
        data.dataset,
        root=root,
        size=data.size,
        ink=data.ink,
        split=data.split,
        rotations=data.rotations,
        normalise=data.normalise,
    )


def pick_device(device: str) -> torch.device:
    """The device of that word; "auto" is CUDA where there is one, else the CPU.

    Raises:
        UserError: another word, or CUDA where there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UserError("train", "device must be auto, cpu, cuda or cuda:<number>", repr(device), "choose one of them")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if int(number or 0) >= count:
        got = f"{count} CUDA devices that this torch {torch.__version__} can use"
        raise UserError("train", f"device {device!r} must be there", got, "use device='cpu' or 'auto'")
    return torch.device(device)


def _check_hooks(hooks: Sequence[Hook]) -> None:
    names = [getattr(hook, "__name__", repr(hook)) for hook in hooks]
    for name in names:
        if not name.isidentifier():
            raise UserError("train", "a hook must have a name", name, "give a function made with def")
        if names.count(name) > 1:
            raise UserError("train", "hooks must have different names", name, "rename one")
