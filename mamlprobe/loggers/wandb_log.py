"""Points for Weights & Biases, by its own client; ``WANDB_MODE=offline`` keeps them on the disk."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, atomic_write

PROJECT = "mamlprobe"
"""Name of the project, unless WANDB_PROJECT names another."""


class WandbLog:
    """A run of the client, with files in ``wandb/`` of the run's folder.

    Online, ``wandb/mamlprobe.json`` has its id, with which it goes on after a kill behind the last point that the
    server has. Offline nobody knows what the client of a killed process came to write, so that a training that goes on
    begins another run of the client, with all points.

    Raises:
        UserError: the client lets no run begin; what the run's folder says of it is damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb  # an extra

        note = folder / "wandb" / "mamlprobe.json"
        options: dict[str, Any] = {"name": folder.name, "id": _noted(note) or secrets.token_hex(8), "dir": str(folder)}
        options |= {"project": os.environ.get("WANDB_PROJECT") or PROJECT, "config": dict(settings)}
        try:
            self._run: Any = wandb.init(**options, resume="allow", reinit="create_new")
        except wandb.Error as error:
            advice = "log in (wandb login), or set WANDB_MODE=offline"
            raise UserError("train", "wandb must let a run begin", str(error) or type(error).__name__, advice) from None
        self.last = int(self._run.starting_step) - 1
        if not self._run.offline:
            with access(note), atomic_write(note) as aside:
                aside.write_text(json.dumps({"id": options["id"]}))

    def write(self, update: int, values: Mapping[str, float]) -> None:
        """Write a point, unless the server has it: a training that goes on makes it again, to the same bits."""
        if update > self.last:
            self._run.log(dict(values), step=update)
            self.last = update

    def close(self) -> None:
        """Hand over what is left."""
        self._run.finish()


def _noted(path: Path) -> str | None:
    """Read the id of the client's run; None where nothing is noted.

    Raises:
        UserError: the note is damaged.
    """
    if not path.exists():
        return None
    try:
        return str(json.loads(path.read_text())["id"])
    except (ValueError, KeyError, TypeError):
        advice = "delete it: a new run begins there then"
        raise UserError("train", f"{path} must be whole", "something else", advice) from None
