"""Imported weights as run folders: made in a temporary folder, moved into place when complete, or not at all."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, locked
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Params
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.environment import environment
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import BUFFERS, FORMAT, IMPORTED, Run, load_run, make_run, write_json
from mamlprobe.runs.import_kao import import_kao
from mamlprobe.runs.import_module import import_state_dict, load_module
from mamlprobe.runs.inner import usual
from mamlprobe.runs.tensors import finite, read_tensors
from mamlprobe.runs.writing import write

__all__ = ["import_kao", "import_state_dict", "read_tensors", "write_run"]

ASIDE = ".importing"
"""Name, or end of the name, of a folder while it is made; one that a killed process left may be deleted."""

MADE = ("checkpoints", BUFFERS, "done", "env.json", "config.json")
"""Files and folders that an import makes, in the order in which they are moved into place."""


def write_run(
    experiment: Experiment,
    theta: Theta,
    out: str | Path,
    *,
    source: str | Path | None = None,
    assumed: Sequence[str] | None = None,
) -> Run:
    """Write these weights to the run folder `out` as the checkpoint of update 0; `source` is the file they are from.

    A module's buffers are those in `source`, or without it as the constructor makes them. `assumed` names the settings
    of the inner loop that were not given, among ``inner_lr steps adapts norm readout``; None means those that are as in
    MAML. The folder is written completely or, after an error, not at all.

    Raises:
        UserError: the folder holds something already, or is not open for writing; a number that is not finite.
    """
    path = Path(out).resolve()
    names = {each.name for each in path.iterdir()} if path.is_dir() else set()
    left = {".lock", ASIDE, *(MADE if ASIDE in names else ())}
    if names - left or (path.exists() and not path.is_dir()):
        raise UserError("import", f"{out} must be a new or an empty folder", "one that is in use", "choose another")
    finite(theta.net | theta.moments, "the weights" if source is None else Path(source).name)
    buffers: Params = {}
    origin: dict[str, Any] | None = None
    if source is not None:
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        origin = {"file": Path(source).name, "sha256": digest}
        if experiment.net.kind == "module":
            buffers = load_module(experiment.net, source)[1]
    with _aside(path) as aside:
        make_run(aside, experiment, experiment.net.image)
        env: dict[str, Any] = {**environment(torch.device("cpu")), "source": origin, "seconds": 0.0}
        env |= {"assumed": list(usual(experiment.method) if assumed is None else assumed)}
        write_json(aside / "env.json", {"format": FORMAT, **env})
        save_checkpoint(checkpoint_path(aside, 0), Checkpoint(update=0, theta=theta))
        if buffers:
            write(aside / BUFFERS, save(buffers))
        write(aside / "done", IMPORTED)
    return load_run(out, module=experiment.net.named)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Yield a folder to make a run in, moved to `path` at the end; an error removes it and the new folders above it.

    An existing empty folder is filled, not replaced: it may be a mount, or somebody's working directory.
    """
    new = [each for each in (path, *path.parents) if not each.exists()]
    aside = path.with_name(f".{path.name}{ASIDE}") if new else path / ASIDE
    with access(path):
        aside.mkdir(parents=True, exist_ok=True)
    with locked(aside):
        try:
            for each in (*aside.iterdir(), *(path / name for name in MADE)):
                if each.name != ".lock":
                    _remove(each)
            yield aside
            with access(path):
                if new:
                    os.rename(aside, path)
                else:
                    for name in MADE:
                        if (aside / name).exists():
                            os.rename(aside / name, path / name)
        except BaseException:
            _remove(aside)
            for each in new[1:]:
                with contextlib.suppress(OSError):
                    each.rmdir()
            raise
    _remove(aside)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
