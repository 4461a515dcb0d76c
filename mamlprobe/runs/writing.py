"""Files that are written whole or not at all, and a folder that one process at a time writes to."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from mamlprobe.base.errors import UserError

try:
    import fcntl
except ImportError:  # a system without file locks
    fcntl = None  # type: ignore[assignment]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def write(path: Path, data: bytes) -> None:
    """Puts `data` at `path`, all or nothing: written aside, synced to the disk, renamed.

    Raises:
        UserError: the disk is full, or the folder is not one we may write to; what stood at `path` still stands.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise _mistake(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _mistake(path: Path, error: OSError) -> Exception:
    """The user's error where it is one: no room, no right; else the error itself."""
    if error.errno in FULL:
        advice = "free space and start again: a run goes on from its last checkpoint, which is whole"
        return UserError("write", f"there must be room for {path}", error.strerror, advice)
    if error.errno in CLOSED:
        return UserError("write", f"{path.parent} must be a folder open for writing", error.strerror, "choose another")
    return error


@contextlib.contextmanager
def access(path: Path) -> Iterator[None]:
    """Puts something at `path`.

    Raises:
        UserError: the disk is full, or the folder is not one we may write to.
    """
    try:
        yield
    except OSError as error:
        raise _mistake(path, error) from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder, made if need be, against other processes; the system lets go of it when the holder dies.

    Raises:
        UserError: another process holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+")  # noqa: SIM115
    except OSError as error:
        raise _mistake(folder / ".lock", error) from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                advice = "wait for it, end it, or change the seed or another setting"
                raise UserError("train", f"{folder} must be free", f"held by {holder}", advice) from None
            except OSError:
                pass  # a file system without locks
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        for left in folder.rglob(".*.part"):  # what a killed process was writing
            left.unlink()
        yield
