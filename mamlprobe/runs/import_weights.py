"""Imported weights as run folders: made in a temporary folder, moved into place when complete, or not at all."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Params
from mamlprobe.runs.aside import finish, in_use, made_aside
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.environment import environment
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import BUFFERS, Run, load_run, make_run
from mamlprobe.runs.import_kao import import_kao
from mamlprobe.runs.import_module import import_state_dict, load_module
from mamlprobe.runs.inner import usual
from mamlprobe.runs.settings_files import FORMAT, IMPORTED, kept_names, write_json
from mamlprobe.runs.tensors import finite, read_tensors
from mamlprobe.runs.writing import write

__all__ = ["import_kao", "import_state_dict", "read_tensors", "write_run"]


def write_run(
    experiment: Experiment,
    theta: Theta,
    out: str | Path,
    *,
    source: str | Path | None = None,
    assumed: Sequence[str] | None = None,
    understood: Sequence[str] = (),
    rows: int | None = None,
    trained_on: Sequence[str] = (),
    stated: Sequence[str] = (),
) -> Run:
    """Write these weights to the run folder `out` as the checkpoint of update 0; `source` is the file they are from.

    A module's buffers are those in `source`, or without it as the constructor makes them. `assumed` names the settings
    of the inner loop that were not given, among ``inner_lr steps adapts norm readout``; None means those that are as in
    MAML. `understood` is what was said of the file, line by line; `rows` those of the head, if they are more than a
    task has classes; `trained_on` the names of the training classes; `stated` lists what options said. The folder is
    written completely or, after an error, not at all; one that holds this very import of a file is left as it is, so
    that the import can be repeated.

    Raises:
        UserError: the folder holds something else already, or is not open for writing; a number that is not finite.
    """
    path = Path(os.path.realpath(out))
    finite(theta.net | theta.moments, "the weights" if source is None else Path(source).name)
    buffers: Params = {}
    origin: dict[str, Any] | None = None
    if source is not None:
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        origin = {"file": Path(source).name, "sha256": digest}
        if experiment.net.kind == "module":
            buffers = load_module(experiment.net, source)[1]
    said = list(usual(experiment.method) if assumed is None else assumed)
    classes = kept_names(trained_on)
    if in_use(path):
        if (run := _same(Path(out), experiment, theta, origin, said, classes)) is not None:
            finish(path)
            return run
        raise UserError("import", f"{out} must be a new or an empty folder", "one that is in use", "choose another")
    with made_aside(path) as aside:
        make_run(aside, experiment, experiment.net.image, None if rows == experiment.way else rows)
        env: dict[str, Any] = {**environment(torch.device("cpu")), "source": origin, "seconds": 0.0}
        env |= {"assumed": said, **({"understood": list(understood)} if understood else {})}
        env |= {"trained_on": classes} if classes else {}
        env |= {"stated": list(stated)} if stated else {}
        write_json(aside / "env.json", {"format": FORMAT, **env})
        save_checkpoint(checkpoint_path(aside, 0), Checkpoint(update=0, theta=theta))
        if buffers:
            write(aside / BUFFERS, save(buffers))
        write(aside / "done", IMPORTED)
    return load_run(out, module=experiment.net.named)


def _same(
    path: Path,
    experiment: Experiment,
    theta: Theta,
    origin: dict[str, Any] | None,
    assumed: list[str],
    classes: list[str],
) -> Run | None:
    """Return the run in the folder if it is this import of this file, undamaged; else None."""
    try:
        run = load_run(path, module=experiment.net.named)
        facts = run.config, run.env.get("source"), run.env.get("assumed"), run.trained_on
        wanted = from_dict(Experiment, to_dict(experiment)), origin, assumed, frozenset(classes)
        alike = origin is not None and run.imported and facts == wanted and _equal(run.theta(0), theta)
    except UserError:
        return None
    return run if alike else None


def _equal(one: Theta, other: Theta) -> bool:
    """Tell whether all that was learned is the same."""
    pairs = [(getattr(one, each.name), getattr(other, each.name)) for each in fields(Theta)]
    return all(a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in pairs)
