"""The folder of a run: settings, origin, log, checkpoints; and the run as a value."""

import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict, typed
from mamlprobe.learn.theta import Theta, init
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.maker import Maker, maker, name_of, same_module
from mamlprobe.nets.net import Net, Params
from mamlprobe.runs import log as tables
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, checkpoint_updates, load_checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.inner import NAMES, usual
from mamlprobe.runs.settings_files import FORMAT, difference, imported, read_env, read_settings, runs_in, write_json
from mamlprobe.runs.shown import run_shown
from mamlprobe.runs.tensors import read_buffers

BUFFERS = "buffers.safetensors"
"""File of the buffers of an imported module that differ from those its constructor makes."""

LOG_COLUMNS = tuple(tables.LOG.columns)

Image = tuple[int, ...]


@door()
@dataclass(frozen=True, kw_only=True)
class Run:
    """A run on the disk, finished or not, as `train` and `load_run` return it; files are read only when asked for.

    Raises:
        UserError: fields of another kind.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> run = mp.train(small, "runs", progress=False)
        >>> run.done, run.updates(), run.image
        (True, [0, 2, 4], (1, 14, 14))
        >>> run.log[run.log["split"] == "val"][["update", "quantity", "tasks"]].tail(2)
            update             quantity  tasks
        11       4             accuracy      4
        12       4  accuracy_half_width      4
        >>> first, last = run.theta(update=0), run.theta()
        >>> bool((last.net["head.weight"] != first.net["head.weight"]).any())
        True
    """

    __repr__ = described

    path: Path
    """Its folder."""
    config: Experiment
    """Its settings."""
    image: Image | None
    """Shape of an input of the net: C, H, W, or (1,) for a number."""
    classes: int | None = None
    """Rows of the head if labels are by class: the number of training classes."""
    module: Maker | str | None = None
    """What makes its net, or the words for it, from whoever opened the run; what the folder names is never imported."""

    _repr_html_ = run_shown

    @property
    def done(self) -> bool:
        """Tell whether the training is finished."""
        return (self.path / "done").exists()

    @property
    def env(self) -> dict[str, Any]:
        """Read versions, device, commit, seconds and the data's digest; empty if the file is absent."""
        path = self.path / "env.json"
        return read_env(path) if os.path.lexists(path) else {}

    @property
    def imported(self) -> bool:
        """Tell whether the weights were imported."""
        return self.done and imported(self.path / "done")

    @property
    def assumed(self) -> tuple[str, ...]:
        """List the inner-loop settings that were assumed at import, because not given; none for trained weights."""
        if not self.imported:
            return ()
        known = self.env.get("assumed", usual(self.config.method))
        return tuple(name for name in NAMES if name in known)

    @property
    def trained_on(self) -> frozenset[str]:
        """Return the names of the classes that it was trained on; none where nobody said them."""
        env = self.env
        return frozenset(env.get("trained_on", env.get("data", {}).get("classes", ())))

    @property
    def log(self) -> pd.DataFrame:
        """Read the log, tidy: ``update split quantity value tasks``; train values are means since the previous row."""
        path = self.path / "log.csv"
        return tables.read(path, tables.LOG) if os.path.lexists(path) else pd.DataFrame(columns=list(LOG_COLUMNS))

    @door()
    def table(self, name: str) -> pd.DataFrame:
        """Read the table that the hook of that name returned, of all updates.

        Raises:
            UserError: there is no such table.
        """
        path = self.path / "tables" / f"{name}.csv"
        if not path.exists():
            known = sorted(each.stem for each in path.parent.glob("*.csv"))
            raise UserError("run", "the table must exist", repr(name), f"there is {', '.join(known) or 'none'}")
        return tables.read(path)

    def updates(self) -> list[int]:
        """List the updates that have a checkpoint, in order."""
        return checkpoint_updates(self.path)

    def net(self) -> Net:
        """Build the net that was trained.

        Raises:
            UserError: its net is a module, and nobody who opened the run said where its class is.
        """
        named, given = self.config.net.named, self.module
        if named is not None and given is None:
            must = f"the module {named!r} of {self.path} must come from you, for what a folder names is never run"
            typed = named if re.fullmatch(r"[\w.]+:\w+", named) else "package.file:Class"
            advice = f"if it is code of yours, add --module {typed}, in Python load_run(path, module=...)"
            raise UserError("load_run", must, "none", advice)
        make = None if named is None or given is None else maker(given)
        way = self.config.way if self.classes is None else self.classes
        options: dict[str, Any] = {"way": way, "image": self.image, "seed": self.config.seed}
        return build(self.config.net, **options, buffers=self._buffers, module=make)

    @door()
    def theta(self, update: int | None = None) -> Theta:
        """Load theta after `update` updates, by default of the last checkpoint; on the CPU.

        Raises:
            UserError: no checkpoint of that update, or a damaged one; the message names the last good one.
        """
        return self.checkpoint(update).theta

    @door()
    def checkpoint(self, update: int | None = None) -> Checkpoint:
        """Load the checkpoint of an update, by default the last: theta and the optimizer's state.

        Raises:
            UserError: as `theta`.
        """
        known = self.updates()
        if update is not None and update not in known:
            near = ", ".join(str(each) for each in sorted(known, key=lambda each: abs(each - update))[:3])
            must = f"{self.path} must have a checkpoint of the update"
            raise UserError("run", must, update, f"the nearest are {near}" if near else "train it")
        if not known:
            raise UserError("run", f"{self.path} must hold a checkpoint", "none", "train it again")
        chosen, like = known[-1] if update is None else update, self._like
        try:
            return load_checkpoint(checkpoint_path(self.path, chosen), like)
        except UserError as error:
            good = self.last_good(before=chosen)
            advice = (
                "no earlier one is good" if good is None else f"the last good one is run.theta(update={good.update})"
            )
            raise UserError("run", f"the checkpoint of update {chosen} must be good", str(error), advice) from None

    @door()
    def last_good(self, *, before: int | None = None) -> Checkpoint | None:
        """Load the newest undamaged checkpoint (of those before an update); None if there is none.

        Raises:
            UserError: as `net`.
        """
        for update in reversed(self.updates()):
            if before is None or update < before:
                like = self._like
                try:
                    return load_checkpoint(checkpoint_path(self.path, update), like)
                except UserError:
                    continue
        return None

    @property
    def _buffers(self) -> Params:
        """Read the file `BUFFERS`; empty if it is absent."""
        path = self.path / BUFFERS
        return read_buffers(path) if os.path.lexists(path) else {}

    @cached_property
    def _like(self) -> Theta:
        """Return a theta with the names and shapes that a checkpoint must have."""
        like = init(self.net(), seed=self.config.seed, method=self.config.method)
        return like if self.config.net.moments else replace(like, moments={})


@door()
def load_run(path: str | Path, *, module: Maker | str | None = None) -> Run:
    """Open the run in this folder; nothing that it names is imported or called.

    A net that is a module of a user's own is made by `module`: the class or function that the folder names, or its
    words ``package.file:Class``. Without it log and settings can be read, net and weights cannot.

    Raises:
        UserError: no such folder; no or damaged settings in it; no checkpoint; a module that is not what the folder
            names, or not of the user's own code.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> run = mp.train(small, "runs", progress=False)
        >>> again = mp.load_run(run.path)
        >>> again.config == small, again.theta().net.keys() == run.net().parameters.keys()
        (True, True)
        >>> mp.load_run("runs/mmal")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: load_run: the run folder must exist, got runs/mmal; beside
        it there is maml-smoke-s0-fc344b89
    """
    path = Path(path)
    if not os.path.isdir(path):
        near = runs_in(path.parent)
        advice = f"beside it there is {', '.join(near[:8])}" if near else "train it first, or check the path"
        raise UserError("load_run", "the run folder must exist", path, advice)
    run = open_run(path)
    if run is None:
        inside = runs_in(path)
        advice = f"the runs in it are {', '.join(inside[:8])}" if inside else "name a folder that training made"
        raise UserError("load_run", f"{path} must hold config.json", "none", advice)
    if not run.updates():
        raise UserError("load_run", f"{path} must hold a checkpoint", "none", "train it again")
    return run if module is None else _made_by(run, module)


def _made_by(run: Run, module: Maker | str) -> Run:
    """Return the run with what makes its net; errors are those of `load_run`."""
    named, got = run.config.net.named, repr(module if isinstance(module, str) else name_of(module))
    if named is None:
        must = f"{run.path} has a net of kind {run.config.net.kind} and needs no module"
        raise UserError("load_run", must, got, "leave module out")
    if not same_module(module, named):
        must = f"the module of {run.path} must be the one it names, {named!r}"
        raise UserError("load_run", must, got, "give the class that it was trained with")
    return replace(run, module=maker(module))


def open_run(path: Path) -> Run | None:
    """Open the run in this folder, even one without a checkpoint yet; None if the folder has no settings.

    Raises:
        UserError: damaged settings.
    """
    file = path / "config.json"
    if not os.path.lexists(file):
        return None
    values = read_settings(file)
    image = typed(Image | None, values.pop("image", None), f"{file}.image")
    classes = typed(int | None, values.pop("classes", None), f"{file}.classes")
    if min((1, *(image or ()), 1 if classes is None else classes)) < 1:
        raise UserError(str(file), "image and classes must be positive", f"{image}, {classes}", "restore it")
    config = from_dict(Experiment, values, str(file))
    return Run(path=path, config=config, image=image, classes=classes)


def make_run(path: Path, experiment: Experiment, image: Image | None, classes: int | None = None) -> Run:
    """Open the run of these settings in this folder; write its settings first if the folder has none.

    A module is the one that `experiment` names, which is the caller's word for it.

    `classes` is the number of training classes if labels are by class.

    Raises:
        UserError: the folder holds a run of other settings.
    """
    existing = open_run(path)
    if existing is None:
        data = {"image": None if image is None else list(image), **({} if classes is None else {"classes": classes})}
        write_json(path / "config.json", {"format": FORMAT, **data, **to_dict(experiment)})
    run = open_run(path)
    assert run is not None
    run = replace(run, module=experiment.net.named)
    wanted = from_dict(Experiment, to_dict(experiment))
    if run.config != wanted or run.image != image or run.classes != classes:
        settings = to_dict(run.config) | {"image": run.image, "classes": run.classes}
        got = difference(settings, to_dict(wanted) | {"image": image, "classes": classes})
        raise UserError(str(path), "the folder must hold a run of the same settings", got, "choose another folder")
    return run
