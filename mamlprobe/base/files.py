"""Files that are written whole or not at all, and a folder that one process at a time writes to."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mamlprobe.base.errors import UserError

try:
    import fcntl
except ImportError:  # a system without file locks
    fcntl = None  # type: ignore[assignment]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a file next to `path` to write to; at the end it is synced to the disk and takes the place of `path`.

    Folders are made. After any exception, an interrupt too, the old file at `path` is unchanged and no other file is
    left next to it. The new file has the permissions of the old one, or those of any file that the user makes.

    Raises:
        OSError: the system refuses a step.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(aside, "wb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
        yield aside
        with open(aside, "rb+") as file:
            with suppress(OSError):  # a file system without permissions
                aside.chmod(mode)
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def access(path: Path) -> Iterator[None]:
    """Turn the system's errors while something is written to `path` into errors for the user.

    Raises:
        UserError: the disk is full, or the folder is not one we may write to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            advice = "free space and start again: a run goes on from its last checkpoint, which is whole"
            raise UserError("write", f"there must be room for {path}", error.strerror, advice) from None
        if error.errno in CLOSED:
            must = f"{path.parent} must be a folder open for writing"
            raise UserError("write", must, error.strerror, "choose another") from None
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, made if need be, against other processes; the system unlocks it when this process dies.

    Raises:
        UserError: another process holds it, or it cannot be written to.
    """
    with access(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+")  # noqa: SIM115
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
