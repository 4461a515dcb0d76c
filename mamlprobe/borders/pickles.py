"""Pickles of tensors as torch saves them: what they name is read off their text, and nothing of it is called."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mamlprobe.borders.zip_sizes import check_contents, check_stored

ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch begins: a zip, or the five pickles of versions before 1.6."""

OPERATIONS = 10**6
"""Operations of the pickles of a file, some dozens a tensor."""

KNOWN = re.compile(
    r"collections (OrderedDict|Counter)|_codecs encode|(builtins|__builtin__) (complex|set)"
    r"|torch\._utils _rebuild_(tensor(_v[23])?|parameter(_with_state)?|sparse_tensor|qtensor|meta_tensor_no_storage)"
    r"|torch\._tensor _rebuild_from_type_v2|torch\.nn\.parameter Parameter|torch\.serialization _get_layout"
    r"|torch(\.storage)? \w+Storage|torch Size|torch [a-z]\w*"
)
"""What the pickle of a state dict, or of a whole training, may name: tensors, their parts, and plain containers."""


class Foreign(ValueError):
    """A file that is none of plain tensors; the message says what it is instead."""


def check_pickles(path: Path, size: int) -> None:
    """Refuse a file of this size that torch would not read as plain tensors, or only with more memory than its size.

    Raises:
        Foreign: no file of torch, or one that needs code to be read.
        Exception: whatever a damaged file leads to.
    """
    with open(path, "rb") as file:
        start = file.read(len(LEGACY))
        if start == LEGACY:
            file.seek(0)
            return _check(file, pickles=5)
    if not start.startswith(ZIP):
        raise Foreign("something else")
    check_contents(path)
    with zipfile.ZipFile(path) as archive:
        check_stored(archive, size)
        for name in archive.namelist():
            if name.rpartition("/")[2] == "data.pkl":
                with archive.open(name) as entry:
                    _check(entry, pickles=1)


def _check(file: IO[bytes], *, pickles: int) -> None:
    for number, name in enumerate(_names(file, pickles)):
        if number >= OPERATIONS:
            raise ValueError(f"more than {OPERATIONS:,} operations in its pickle")
        if name and not KNOWN.fullmatch(name):
            module, _, word = name.partition(" ")
            raise Foreign(f"a pickle that calls {f'{module}.{word}'.removeprefix('builtins.')[:80]}")


def count_operations(file: IO[bytes], *, pickles: int) -> None:
    """Refuse so many pickles if they have more than `OPERATIONS` together.

    Raises:
        ValueError: they have.
        Exception: whatever a damaged file leads to.
    """
    for number, _ in enumerate(_names(file, pickles)):
        if number >= OPERATIONS:
            raise ValueError(f"more than {OPERATIONS:,} operations in its pickle")


def _names(file: IO[bytes], pickles: int) -> Iterator[str]:
    """Yield the name in each operation of so many pickles, empty where there is none."""
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(file):
            yield str(argument) if operation.name == "GLOBAL" else ""
