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

    ``wandb/mamlprobe.json`` has its id, with which it goes on after a kill, and the last update that was written: the
    points up to there, which a training that goes on makes again to the same bits, are not written twice.

    Raises:
        UserError: the client lets no run begin; what the run's folder says of it is damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb  # an extra

        self._note = folder / "wandb" / "mamlprobe.json"
        self._id, self._last = _noted(self._note)
        self.fresh = self._last < 0
        options: dict[str, Any] = {"dir": str(folder), "config": dict(settings), "reinit": "create_new"}
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        try:
            self._run: Any = wandb.init(project=project, name=folder.name, id=self._id, resume="allow", **options)
        except wandb.Error as error:
            advice = "log in (wandb login), or set WANDB_MODE=offline"
            raise UserError("train", "wandb must let a run begin", str(error) or type(error).__name__, advice) from None
        self._save()

    def write(self, update: int, values: Mapping[str, float]) -> None:
        """Write a point, unless it was written before."""
        if update > self._last:
            self._run.log(dict(values), step=update)
            self._last = update
            self._save()

    def close(self) -> None:
        """Hand over what is left."""
        self._run.finish()

    def _save(self) -> None:
        with access(self._note), atomic_write(self._note) as aside:
            aside.write_text(json.dumps({"id": self._id, "update": self._last}))


def _noted(path: Path) -> tuple[str, int]:
    """Read id and last update; a new id and -1 where nothing is noted.

    Raises:
        UserError: the note is damaged.
    """
    if not path.exists():
        return secrets.token_hex(8), -1
    try:
        note = json.loads(path.read_text())
        return str(note["id"]), int(note["update"])
    except (ValueError, KeyError, TypeError):
        advice = "delete it: a new run begins there then"
        raise UserError("train", f"{path} must be whole", "something else", advice) from None
