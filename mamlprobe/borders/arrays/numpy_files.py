"""Arrays in files of numpy, .npz and .npy: of plain numbers alone, their sizes compared before memory is taken."""

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import amount, check_file
from mamlprobe.borders.zip_sizes import check_contents

PACKED, SLACK = 16, 2**26
"""How many times its file the arrays of an .npz may have, beside so many bytes."""

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
)


def read_npz(
    path: Path, names: Iterable[str], *, where: str, must: str, advice: str, most: int
) -> dict[str, NDArray[Any]]:
    """Read those arrays of an .npz that it has of these names.

    Raises:
        UserError: no such file, or larger than `most`; no whole .npz; arrays of objects, or much larger than the file.
    """
    size = check_file(where, path, most=most, advice=advice)
    try:
        check_contents(path)
        with zipfile.ZipFile(path) as archive:
            entries = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            wanted = {name: entries[name] for name in names if name in entries}
            if sum(each.file_size for each in wanted.values()) > PACKED * size + SLACK:
                raise ValueError(f"arrays of more than {PACKED} times the file's {amount(size)}")
            arrays = {}
            for name, info in wanted.items():
                with archive.open(info) as entry:
                    arrays[name] = _array(entry, info.file_size, name)
            return arrays
    except _BROKEN as error:
        got = str(error)[:200] or type(error).__name__
        raise UserError(where, must, got, advice) from None


def map_npy(path: Path, *, where: str, must: str, advice: str, most: int) -> NDArray[Any]:
    """Map an .npy into memory, which is read where it is looked at.

    Raises:
        UserError: no such file, or larger than `most`; no whole .npy; an array of objects.
    """
    size = check_file(where, path, most=most, advice=advice)
    try:
        with open(path, "rb") as file:
            shape, columns, kind = _header(file, path.name)
            start = file.tell()
        if start + math.prod(shape) * kind.itemsize != size:
            raise ValueError(f"an array of shape {shape} of {kind} in {amount(size)}")
        order: Any = "F" if columns else "C"
        return np.memmap(path, dtype=kind, mode="r", offset=start, shape=shape, order=order)
    except _BROKEN as error:
        got = str(error)[:200] or type(error).__name__
        raise UserError(where, must, got, advice) from None


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name!r} of version {version}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, columns, kind = readers[version](file)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError, TokenError) as error:
        raise ValueError(f"{name!r} with a damaged header ({type(error).__name__})") from None
    if kind.kind not in "biufSU" or kind.fields is not None:
        raise ValueError(f"{name!r} with entries of type {str(kind)[:40]}, where numbers must stand")
    return shape, columns, kind


def _array(file: IO[bytes], size: int, name: str) -> NDArray[Any]:
    """Read an array from a file of this size, without a copy of its bytes."""
    shape, columns, kind = _header(file, name)
    needed = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or needed > size:
        raise ValueError(f"{name!r} of shape {shape} in {amount(size)}")
    data = file.read(needed)
    if len(data) < needed or file.read(1):
        raise ValueError(f"{name!r} of shape {shape} in another number of bytes")
    return np.frombuffer(data, kind).reshape(shape, order="F" if columns else "C")
