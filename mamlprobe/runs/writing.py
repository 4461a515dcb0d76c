"""Writing of a run's files."""

from pathlib import Path

from mamlprobe.base.files import access, atomic_write


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`, all or nothing.

    Raises:
        UserError: the disk is full, or the folder is not one we may write to; what stood at `path` still stands.
    """
    with access(path), atomic_write(path) as aside:
        aside.write_bytes(data)
