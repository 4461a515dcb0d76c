"""What a log is to a training, and the logs by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.loggers.tensorboard_log import TensorBoardLog
from mamlprobe.loggers.wandb_log import WandbLog

LogName = Literal["csv", "tensorboard", "wandb"]
"""Names of logs; csv is the run's log.csv, which is always written."""


class Logger(Protocol):
    """A place that takes the points of a training's log as they are made."""

    last: int
    """The last update that it has a point of, -1 for none; what log.csv has behind it comes first."""

    def write(self, update: int, values: Mapping[str, float]) -> None:
        """Take a point: what was measured after this update, by name, such as ``val/accuracy``."""

    def close(self) -> None:
        """Write what is left, and let the files go."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """What a log is told of the run that it begins with, or goes on with."""

    folder: Path
    """Folder of the run; logs keep their files in it."""
    update: int
    """Updates that are done; points of later ones, left by a killed process, come again."""
    settings: Mapping[str, Any]


MAKERS: dict[LogName, Callable[[Started], Logger]] = {
    "tensorboard": lambda run: TensorBoardLog(run.folder, run.update),
    "wandb": lambda run: WandbLog(run.folder, run.settings),
}
"""Logs beside log.csv; each comes with the extra of its name, and by the package of its name."""


def log_names(log: str | Sequence[str]) -> tuple[LogName, ...]:
    """Return the logs that are wanted beside log.csv, each once.

    Raises:
        UserError: an unknown one; one whose client is not installed.
    """
    known = get_args(LogName)
    names = dict.fromkeys([log] if isinstance(log, str) else log)
    for name in names:
        if name not in known:
            raise unknown("train", "log", name, known)
        if name in MAKERS and find_spec(name) is None:
            must = f"the log {name} must have its client"
            raise UserError("train", must, f"no package {name}", f"pip install mamlprobe[{name}]")
    return tuple(name for name in MAKERS if name in names)
