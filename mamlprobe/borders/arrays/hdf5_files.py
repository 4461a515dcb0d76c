"""HDF5 files that others made, by h5py, which is optional: datasets of bytes that lie in the file itself."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import check_file

PACKED, SLACK = 16, 2**26
"""How many times its file what is read of it may have, beside so many bytes."""

FILTERS = {1, 2, 3, 32000}
"""Deflate, shuffle, checksums, LZF: the filters that come with h5py; others would be loaded as code."""

ITEMS = 2**20
"""Entries of a dataset."""


class Hdf5:
    """An open file, of which no more is read than its size allows."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, PACKED * size + SLACK

    def names(self, group: str = "/") -> list[str]:
        """Return the sorted names in a group; none if there is no such group."""
        node = self._node(group) if group != "/" else self.file
        return sorted(map(str, node)) if hasattr(node, "keys") else []

    def read(self, name: str) -> NDArray[Any] | list[bytes]:
        """Read a dataset: an array, or bytes of different lengths as a list.

        Raises:
            ValueError: there is none, it lies elsewhere, holds something else, or is too large; a few words.
        """
        data = self._node(name)
        if not hasattr(data, "is_virtual"):
            raise ValueError(f"no dataset {name[:80]!r}")
        filters = data.id.get_create_plist()
        kinds = {filters.get_filter(place)[0] for place in range(filters.get_nfilters())}
        if data.is_virtual or data.external or not kinds <= FILTERS:
            raise ValueError(f"dataset {name[:80]!r} that lies elsewhere or needs code")
        count = int(np.prod(data.shape, dtype=object)) if data.shape else 0
        if data.dtype.kind == "O":
            return self._pieces(data, name, count)
        if data.dtype.kind not in "buif":
            raise ValueError(f"dataset {name[:80]!r} of {str(data.dtype)[:40]}")
        self._take(count * data.dtype.itemsize)
        return np.asarray(data[()])

    def _pieces(self, data: Any, name: str, count: int) -> list[bytes]:
        base = data.id.get_type()
        inner = base.get_super().dtype if hasattr(base, "get_super") else None
        if inner != np.uint8 or data.ndim != 1 or count > ITEMS:
            raise ValueError(f"dataset {name[:80]!r} of {str(data.dtype)[:40]} {list(data.shape)}")
        pieces = []
        for row in range(count):
            pieces.append(bytes(np.asarray(data[row], dtype=np.uint8)))
            self._take(len(pieces[-1]))
        return pieces

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(f"datasets of more than {PACKED} times the file")

    def _node(self, name: str) -> Any:
        """Return what lies at a name, links not followed."""
        import h5py

        node = self.file
        for part in name.strip("/").split("/"):
            if not hasattr(node, "keys") or part in ("", ".") or part not in node:
                return None
            if type(node.get(part, getlink=True)) is not h5py.HardLink:
                raise ValueError(f"link {part[:80]!r}")
            node = node[part]
        return node


@contextmanager
def opened_hdf5(path: Path, *, where: str, must: str, advice: str, most: int) -> Iterator[Hdf5]:
    """Open an HDF5 file; errors while it is read become one line.

    Raises:
        UserError: h5py is not there; no such file, or larger than `most`; a damaged one; a ``ValueError`` inside.
    """
    size = check_file(where, path, most=most, advice=advice)
    try:
        import h5py
    except ImportError:
        raise UserError(where, f"h5py must be there to read {path}", "none", "pip install mamlprobe[hdf5]") from None
    try:
        with warnings.catch_warnings(), h5py.File(path, "r") as file:
            yield Hdf5(file, size)
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        got = str(error.args[0] if error.args else "")[:200] or type(error).__name__
        raise UserError(where, must, got, advice) from None
