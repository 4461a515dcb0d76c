"""Files inside a packed tar that others made, read in memory: nothing is unpacked to disk, links are not followed."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import amount, check_file

UNPACKED = 2**28
"""Bytes of a tar once it is unpacked, all entries together."""


class _Counted(io.RawIOBase):
    """A stream that ends in an error when more bytes than a tar may have were read from it."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file, self.left = file, UNPACKED

    def read(self, size: int = -1) -> bytes:
        """Read at most so many bytes."""
        data = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"more than {amount(UNPACKED)} unpacked")
        return data


def read_tar(path: Path, names: Collection[str], *, where: str, must: str, advice: str, most: int) -> dict[str, bytes]:
    """Read the regular files of these names, in whatever folder of a ``.tar.gz``, once each.

    Raises:
        UserError: no such file, or larger than `most`; no whole ``.tar.gz``, or one of more than `UNPACKED` bytes.
    """
    check_file(where, path, most=most, advice=advice)
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=_Counted(packed), mode="r|") as archive:
            for entry in archive:
                name = PurePosixPath(entry.name).name
                if entry.isreg() and name in names:
                    if name in contents:
                        raise ValueError(f"two files {name!r}")
                    opened = archive.extractfile(entry)
                    contents[name] = opened.read() if opened else b""
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise UserError(where, must, str(error)[:200] or type(error).__name__, advice) from None
    return contents
