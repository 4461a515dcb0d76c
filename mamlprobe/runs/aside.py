"""The folder of an import, made aside and moved into its place whole, whatever a killed import has left."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, locked
from mamlprobe.runs.folder import BUFFERS

ASIDE = ".importing"
"""Name, or end of the name, of a folder while it is made; what an import puts there is removed if a kill left it."""

MADE = ("checkpoints", BUFFERS, "done", "env.json", "config.json")
"""Files and folders that an import makes, in the order in which they are moved into place."""


def in_use(path: Path) -> bool:
    """Tell whether the path holds more than an import that was killed leaves: a finished import holds more.

    Raises:
        UserError: it cannot be looked at.
    """
    if not os.path.lexists(path):
        return False
    if not os.path.isdir(path):
        return True
    with access(path / ASIDE):
        names = set(os.listdir(path))
    unfinished = ASIDE in names and MADE[-1] not in names
    return bool(names - {".lock", ASIDE, *(MADE if unfinished else ())})


@contextmanager
def made_aside(path: Path) -> Iterator[Path]:
    """Yield a folder to make a run in, moved to `path` at the end; an error removes it and the new folders above it.

    An existing empty folder is filled, not replaced: it may be a mount, or somebody's working directory.

    Raises:
        UserError: a folder that cannot be written to; something else in the place of the temporary folder.
    """
    with access(path):
        new = [each for each in (path, *path.parents) if not each.exists()]
        aside = path.with_name(f".{path.name}{ASIDE}") if new else path / ASIDE
    with access(aside):
        aside.mkdir(parents=True, exist_ok=True)
    _check(aside)
    with locked(aside):
        _check(aside)
        try:
            with access(path):
                for each in (folder / name for folder in (aside, path) for name in MADE):
                    _remove(each)
            yield aside
            with access(path):
                if new:
                    os.rename(aside, path)
                else:
                    for name in MADE:
                        if (aside / name).exists():
                            os.rename(aside / name, path / name)
        except BaseException:
            _remove(aside)
            for each in new[1:]:
                with suppress(OSError):
                    each.rmdir()
            raise
    _remove(aside)


def finish(path: Path) -> None:
    """Remove the temporary folder from that of a whole run, where an import was killed just before it did.

    Raises:
        UserError: it is not what an import leaves.
    """
    if os.path.lexists(path / ASIDE):
        _check(path / ASIDE)
        _remove(path / ASIDE)


def _check(aside: Path) -> None:
    """Refuse a folder in the place of our temporary one that is not what an import leaves when it is killed.

    Raises:
        UserError: it is a link, or holds something else.
    """
    with access(aside):
        odd = [] if aside.is_symlink() else sorted({*os.listdir(aside)} - {".lock", *MADE})
    odd = [name for name in odd if not re.fullmatch(r"\..+\.\d+\.part", name)]
    if odd or aside.is_symlink():
        got = f"one with {odd[0]!r}" if odd else "a link"
        raise UserError("import", f"{aside} must be a folder that an import left", got, "move it away, or delete it")


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it exists; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
