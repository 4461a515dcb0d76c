"""Encoded images that lie in arrays or lists, read as if they were files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import amount
from mamlprobe.data.reading.archives import LARGEST_IMAGE, Tree
from mamlprobe.data.reading.assembled import FileClass


@dataclass(frozen=True, kw_only=True)
class EncodedTree(Tree):
    """Images by their number, as text."""

    contents: Sequence[bytes | NDArray[np.uint8]] = field(repr=False)

    def read(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            UserError: it has more than `LARGEST_IMAGE`.
        """
        data = self.contents[int(name)]
        size = len(data) if isinstance(data, bytes) else data.size
        if size > LARGEST_IMAGE:
            must = f"image {name} of {self.path} must have at most {amount(LARGEST_IMAGE)}"
            raise UserError("load_pool", must, amount(size), "make it smaller or delete it")
        return data if isinstance(data, bytes) else data.tobytes()


def encoded_class(path: Path, contents: Sequence[bytes | NDArray[np.uint8]], rows: Sequence[int]) -> FileClass:
    """Return the class of these rows; `path` is where they lie, for messages."""
    tree = EncodedTree(path=path, files=(), folders=(), contents=contents)
    return FileClass(tree=tree, files=[str(row) for row in rows])
