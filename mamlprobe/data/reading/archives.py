"""The files below a folder or inside a zip, read in memory: nothing is ever unpacked to disk."""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import amount
from mamlprobe.borders.zip_sizes import check_contents
from mamlprobe.data.reading.links import in_folder, in_zip

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}

LARGEST_IMAGE = 2**28
"""Bytes of an image's file; of an entry of a zip, once it is unpacked."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Files and folders below one path: sorted relative names with ``/`` between the parts, hidden ones left out."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    archive: zipfile.ZipFile | None = None
    entries: Mapping[str, str] = field(default_factory=dict)
    """File -> the entry of the archive that has its bytes, where links lead to it."""
    loops: tuple[str, ...] = ()
    """Links that lead back to a folder they lie in, which are left out."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            UserError: it cannot be read, the archive is damaged there, or it says to have more than `LARGEST_IMAGE`.
        """
        entry = self.entries.get(name, name)
        try:
            size = (self.path / name).stat().st_size if self.archive is None else self.archive.getinfo(entry).file_size
            if size > LARGEST_IMAGE:
                must = f"{name} of {self.path} must have at most {amount(LARGEST_IMAGE)}"
                raise UserError("load_pool", must, amount(size), "make it smaller or delete it")
            return (self.path / name).read_bytes() if self.archive is None else self.archive.read(entry)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            must = f"{name} of {self.path} must be readable"
            raise UserError("load_pool", must, short(error), "get the file again") from None

    def images(self) -> list[str]:
        """Return the names of the files that are images by their ending."""
        return [name for name in self.files if PurePosixPath(name).suffix.lower() in IMAGES]


@contextmanager
def opened(path: Path) -> Iterator[Tree]:
    """Open a folder or a zip as a tree, links followed.

    Raises:
        UserError: there is no such path, it is not a whole zip, one of its entries points out of it, or a link leads
            nowhere.
    """
    if os.path.isdir(path):
        listing = in_folder(path)
        yield Tree(path=path, files=listing.files, folders=listing.folders, loops=listing.loops)
        return
    if not os.path.isfile(path):
        raise UserError("load_pool", f"{path} must exist", "nothing there", "check the path or give root")
    try:
        check_contents(path)
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError("load_pool", f"{path} must be a whole zip", short(error), "get the file again") from None
    with archive:
        listing = in_zip(archive, path)
        yield Tree(
            path=path,
            files=listing.files,
            folders=listing.folders,
            archive=archive,
            entries=listing.entries,
            loops=listing.loops,
        )


def stamps(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of every file at or below the path: equal stamps, equal content.

    Raises:
        UserError: as `opened` of a folder.
    """
    files = [path] if os.path.isfile(path) else [path / name for name in in_folder(path).files]
    return [(str(each), (stat := each.stat()).st_size, stat.st_mtime_ns) for each in files]


def short(error: Exception) -> str:
    """Return the first words of an error, without the addresses of objects."""
    return f"{type(error).__name__} ({str(error).split('<')[0].strip()[:80]})"
