"""Points for TensorBoard, by torch's own writer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardLog:
    """Scalars in ``tensorboard/`` of the run's folder; points after `update`, of a killed process, are purged."""

    def __init__(self, folder: Path, update: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # an extra

        place = folder / "tensorboard"
        self.last = update if any(place.glob("events.*")) else -1
        options: dict[str, Any] = {"purge_step": update + 1} if self.last >= 0 else {}
        writer: Any = SummaryWriter
        self._writer = writer(str(place), **options)

    def write(self, update: int, values: Mapping[str, float]) -> None:
        """Write a point, to the disk at once: a checkpoint may follow, behind which a training never goes back."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, update)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
