"""Files that are written whole or not at all, and a folder that one process at a time writes to."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

from mamlprobe.base.errors import UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
ODD = {errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EINVAL}

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}
"""What may lie in the place of a file, by the bits of its mode."""

RUN_FILES = {
    "": re.compile(r"(config|env)\.json|log\.csv|done|buffers\.safetensors"),
    "checkpoints": re.compile(r"u\d+\.safetensors"),
    "tables": re.compile(r"\w+\.csv"),
    "tensorboard": re.compile(r"events\.out\.tfevents\..*"),
    "wandb": re.compile(r"mamlprobe\.json"),
    "answers": re.compile(r"\w+-[0-9a-f]{16}-[0-9a-f]{16}\.csv"),
}
"""Names of the files of a run, by the folder in it."""


def occupied(path: Path, *, follow: bool = True) -> str | None:
    """Return what lies in the place of a file if it is none: ``a folder`` and so on; None if it is one, or nothing.

    Raises:
        OSError: the system cannot look.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return None
    return None if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "something else")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a file next to `path` to write to; at the end it is synced to the disk and takes the place of `path`.

    Folders are made. After any exception, an interrupt too, the old file at `path` is unchanged and no other file is
    left next to it; what a killed process left there of an earlier write is removed. The new file has the permissions
    of the old one, or those of any file that the user makes. A link at `path` is replaced, not written through.

    Raises:
        OSError: the system refuses a step, or something else than a file lies at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if (kind := occupied(path)) is not None:
        raise OSError(errno.EISDIR, kind, str(path))
    remove_left(path.parent, re.compile(re.escape(path.name)))
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    opened = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(opened, "wb") as file:
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


def remove_left(folder: Path, names: re.Pattern[str]) -> None:
    """Remove from the folder what `atomic_write` of files of these names left there when its process was killed."""
    with suppress(OSError):
        for each in os.listdir(folder):
            part = re.fullmatch(r"\.(.+)\.(\d{1,9})\.part", each, re.DOTALL)
            if part and names.fullmatch(part[1]) and not _runs(int(part[2])):
                with suppress(OSError):
                    if stat.S_ISREG(os.lstat(folder / each).st_mode):
                        os.unlink(folder / each)


def _runs(process: int) -> bool:
    """Tell whether another process of this number runs; one of this number is over, for its successor asks."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0) if os.name == "posix" else None
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


@contextmanager
def access(path: Path) -> Iterator[None]:
    """Turn the system's errors while something is written to `path` into errors for the user.

    Raises:
        UserError: the disk is full, the folder is not one we may write to, or `path` is not one of a file.
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
        if error.errno in ODD:
            must = f"{path} must be {'a file' if error.errno == errno.EISDIR else 'a path that can be written'}"
            raise UserError("write", must, error.strerror, "choose another place") from None
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, made if need be, against other processes; the system unlocks it when this process dies.

    What a killed process of a run was writing in it is removed.

    Raises:
        UserError: another process holds it, it cannot be written to, or a link or a device lies at the place of a
            run's file or folder, through which something else would be written to.
    """
    with access(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        _plain(folder / ".lock", "a file")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = open(os.open(folder / ".lock", flags, 0o666), "r+", errors="replace")  # noqa: SIM115
    with file:
        free = True
        with suppress(OSError):  # a file system without locks
            free = lock_descriptor(file.fileno(), blocking=False)
        if not free:
            holder = re.match(r"process \d+", file.read(100))
            got = f"held by {holder[0] if holder else 'another process'}"
            advice = "wait for it, end it, or change the seed or another setting"
            raise UserError("train", f"{folder} must be free", got, advice)
        with suppress(OSError):  # a full disk: the lock holds without its note
            _note(file.fileno())
        with access(folder / ".lock"):
            _clean(folder)
        yield


def _note(opened: int) -> None:
    """Write this process into a lock file that is empty or has such a note; anything else in it is not ours."""
    if re.fullmatch(rb"(process \d+\r?\n)?", os.read(opened, 100)):
        os.ftruncate(opened, 0)
        os.lseek(opened, 0, os.SEEK_SET)
        os.write(opened, f"process {os.getpid()}\n".encode())


def _clean(folder: Path) -> None:
    """Remove what killed processes left in the folder of a run, after checking that all of a run's names is plain."""
    for inner, names in RUN_FILES.items():
        place = folder / inner
        if inner == "" or _plain(place, "a folder"):
            for name in os.listdir(place):
                if names.fullmatch(name):
                    _plain(place / name, "a file")
            remove_left(place, names)


def _plain(path: Path, kind: str) -> bool:
    """Tell whether the path exists.

    Raises:
        UserError: it is something else than this kind itself, such as a link to one.
    """
    if not os.path.lexists(path):
        return False
    got = occupied(path, follow=False) or "a file"
    if got != kind:
        advice = f"a run's folder is written to without following links: put {kind} there, or delete it"
        raise UserError("write", f"{path} must be {kind} itself", got, advice)
    return True
