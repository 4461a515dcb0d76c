"""Files that others wrote: regular ones of a limited size, opened without waiting for a writer at the other end."""

import os
import stat
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import KINDS

ABSENT = "check the path"
"""What to do if there is no file."""

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def amount(size: int) -> str:
    """Return a number of bytes in the largest unit of which it has one: ``64 MiB``."""
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"


def check_file(where: str, path: Path, *, most: int, advice: str, absent: str = ABSENT, follow: bool = True) -> int:
    """Return the size of a regular file of at most `most` bytes; a link is one only if it may be followed.

    Raises:
        UserError: there is none, it cannot be asked for, it is no regular file, or it is larger.
    """
    try:
        facts = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError) as error:
        raise _refused(where, path, error, advice, absent) from None
    return _size(where, path, facts, most, advice)


def read_file(where: str, path: Path, *, most: int, advice: str, absent: str = ABSENT, follow: bool = True) -> bytes:
    """Read a regular file of at most `most` bytes; a link is one only if it may be followed.

    Raises:
        UserError: as `check_file`, or it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    check_file(where, path, most=most, advice=advice, absent=absent, follow=follow)  # before a device is opened
    try:
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            _size(where, path, os.fstat(file.fileno()), most, advice)  # of what was opened in the end
            return file.read(most)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise _refused(where, path, error, advice, absent) from None


def _size(where: str, path: Path, facts: os.stat_result, most: int, advice: str) -> int:
    kind = stat.S_IFMT(facts.st_mode)
    if kind != stat.S_IFREG:
        raise UserError(where, f"{path} must be a regular file", KINDS.get(kind, "something else"), advice)
    if facts.st_size > most:
        raise UserError(where, f"{path} must have at most {amount(most)}", amount(facts.st_size), advice)
    return facts.st_size


def _refused(where: str, path: Path, error: OSError | ValueError, advice: str, absent: str) -> UserError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return UserError(where, "the file must exist", path, absent)
    got = getattr(error, "strerror", None) or str(error)
    return UserError(where, f"{path} must be readable", got, advice)
