"""Whether a compiled library is the one that was built: nobody but the user may write it, and its digest is known."""

import ctypes
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Refused(Exception):
    """A library that is not loaded; the message says why."""


def digest_path(library: Path) -> Path:
    """Return the path of the file that holds the digest of the library."""
    return library.with_suffix(".sha256")


def digest_line(content: bytes, name: str) -> str:
    """Return the content of that file, as ``sha256sum`` writes it."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n"


def check_private(opened: int, what: Path) -> None:
    """Check that the opened file or folder belongs to the user and that nobody else can write it.

    Raises:
        Refused: it does not, or somebody else can.
    """
    facts = os.fstat(opened)
    if facts.st_uid != os.geteuid():
        raise Refused(f"{what} belongs to another user ({facts.st_uid})")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(f"{what} can be written by others (mode {stat.S_IMODE(facts.st_mode):o})")


@contextmanager
def private_folder(path: Path) -> Iterator[int]:
    """Open the folder, which must be no link and the user's own.

    Raises:
        Refused: it is not the user's own, or others can write to it.
        OSError: it does not exist, is a link, or is no folder.
    """
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        check_private(opened, path)
        yield opened
    finally:
        os.close(opened)


def open_library(path: Path) -> int:
    """Open the library for reading, after checking folder, file and digest; the caller closes it.

    The opened file itself is checked: one that replaces it in the meantime is not used.

    Raises:
        Refused: it does not exist, is a link, has another owner, can be written by others, or is not what was built.
    """
    try:
        with private_folder(path.parent) as folder:
            opened = _open_file(path, folder)
            try:
                digest = _open_file(digest_path(path), folder)
                with os.fdopen(digest, "rb") as file:
                    line = file.read(1024)
                with os.fdopen(os.dup(opened), "rb") as file:
                    content = file.read()
                if line != digest_line(content, path.name).encode():
                    raise Refused(f"{path} is not what was built: it is damaged or was changed")
            except BaseException:
                os.close(opened)
                raise
    except FileNotFoundError as error:
        raise Refused(f"{error.filename} is not there") from None
    except OSError as error:
        link = next((each for each in (path.parent, path, digest_path(path)) if os.path.islink(each)), None)
        raise Refused(f"{link} is a link" if link else f"{path} cannot be opened: {error.strerror}") from None
    return opened


def _open_file(path: Path, folder: int) -> int:
    """Open a plain file of the user in the opened folder."""
    try:
        opened = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise Refused(f"{path} is not there") from None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise Refused(f"{path} is no plain file")
        check_private(opened, path)
    except BaseException:
        os.close(opened)
        raise
    return opened


def load_library(path: Path) -> ctypes.CDLL:
    """Load the library after the checks of `open_library`.

    Raises:
        Refused: a check fails, or the system cannot load it.
    """
    opened = open_library(path)
    through = Path(f"/proc/self/fd/{opened}")  # the very file that was checked; the system finds libraries by name, so
    exact = through.exists()  # the number may not be given to another file, and stays open
    try:
        return ctypes.CDLL(str(through if exact else path))
    except OSError as error:
        raise Refused(f"{path} cannot be loaded: {error}") from None
    finally:
        if not exact:
            os.close(opened)
