"""Pickles of torch that name classes nobody has here: read with stand-ins for them, so that nothing of theirs runs.

A whole module, as ``torch.save(model)`` writes it, is a tree of objects that hold tensors. Every class or function that
is not known becomes an inert `Stub`, which keeps what it is given and does nothing. Those known make tensors, their
parts, and plain containers.
"""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from mamlprobe.borders.pickled_parts import DTYPES, MAKERS, STORAGES, Maker, Storage, made_dtype
from mamlprobe.borders.pickles import LEGACY, count_operations
from mamlprobe.borders.zip_sizes import check_contents, check_stored


class Stub:
    """An object of a class that is not known: its parts, whatever they are, and its state."""

    known_as = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Stub":
        """Make one that keeps nothing of the arguments but dicts and tensors."""
        made = super().__new__(cls)
        made.parts = [each for each in args if isinstance(each, (dict, Tensor))]
        made.state = {}
        return made

    parts: list[Any]
    state: dict[Any, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `__new__` has kept what counts."""

    def __setstate__(self, state: Any) -> None:
        """Keep the state, if it is a dict or begins with one."""
        first = state[0] if isinstance(state, tuple) and state else state
        if isinstance(first, dict):
            self.state.update(first)

    def __setitem__(self, name: Any, value: Any) -> None:
        """Keep an entry, as a dict does."""
        self.state[name] = value

    def append(self, value: Any) -> None:
        """Keep an entry, as a list does."""
        self.state[len(self.state)] = value

    def extend(self, values: Any) -> None:
        """Keep entries, as a list does."""
        for value in values:
            self.append(value)

    add = append


def read_stubbed(path: Path, size: int) -> Any:
    """Read what ``torch.save`` wrote to this file of `size` bytes: tensors, plain containers, and `Stub` for the rest.

    Raises:
        Exception: whatever a damaged file leads to.
    """
    with open(path, "rb") as file:
        start = file.read(len(LEGACY))
        if start == LEGACY:
            file.seek(0)
            return _read_legacy(file, size)
    check_contents(path)
    with zipfile.ZipFile(path) as archive:
        check_stored(archive, size)
        names = set(archive.namelist())
        pickles = sorted(name for name in names if name.rpartition("/")[2] == "data.pkl")
        if not pickles:
            raise ValueError("a zip without data.pkl")
        folder = pickles[0].rpartition("/")[0]
        if f"{folder}/byteorder" in names and archive.read(f"{folder}/byteorder") != b"little":
            raise ValueError("numbers of another byte order")
        with archive.open(pickles[0]) as entry:
            count_operations(entry, pickles=1)

        def stored(key: str, count: int) -> bytes:
            return archive.read(f"{folder}/data/{key}")

        with archive.open(pickles[0]) as entry:
            return _Reader(entry, stored).load()


def read_arrays(file: IO[bytes]) -> Any:
    """Read one pickle of numpy arrays and plain containers, with `Stub` for the rest."""
    return _Reader(file, _no_storage).load()


def _read_legacy(file: IO[bytes], size: int) -> Any:
    """Read the five pickles of versions before 1.6, and the storages behind them."""
    count_operations(file, pickles=5)
    file.seek(0)
    for _ in range(3):  # a magic number, a version, sizes of the machine
        _Reader(file, _no_storage).load()
    begin = file.tell()
    seen: dict[str, tuple[torch.dtype, int]] = {}
    _Reader(file, lambda key, count: b"", seen=seen).load()
    keys = _Reader(file, _no_storage).load()
    if not isinstance(keys, list):
        raise ValueError("no list of storages")
    contents: dict[str, bytes] = {}
    for key in keys:
        kind, _ = seen[str(key)]
        count = struct.unpack("<q", file.read(8))[0]
        length = count * torch.empty(0, dtype=kind).element_size()
        if not 0 <= length <= size:
            raise ValueError(f"a storage of {length:,} bytes in a file of {size:,}")
        contents[str(key)] = file.read(length)
    file.seek(begin)
    return _Reader(file, lambda key, count: contents[key]).load()


def _no_storage(key: str, count: int) -> bytes:
    raise ValueError("a storage where none can be")


class _Reader(pickle.Unpickler):
    """An unpickler that finds nothing but what is listed here."""

    def __init__(
        self,
        file: IO[bytes],
        stored: Callable[[str, int], bytes],
        *,
        seen: dict[str, tuple[torch.dtype, int]] | None = None,
    ) -> None:
        super().__init__(file, encoding="latin1")
        self.stored, self.seen = stored, seen
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what makes tensors and containers; for any other name a class of its own that does nothing."""
        if module in ("torch", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        if module == "torch" and f"torch.{name}" in DTYPES:
            return DTYPES[f"torch.{name}"]
        made = MAKERS.get(f"{module}.{name}")
        if made is None and module.startswith("numpy") and name.endswith("DType"):
            made = Maker(made_dtype)
        return made or type(str(name)[:80], (Stub,), {"known_as": f"{module}.{name}"[:200]})

    def persistent_load(self, saved: Any) -> Any:
        """Return the storage that is meant; of a module that is saved with its source, the class alone."""
        if isinstance(saved, tuple) and len(saved) >= 2 and saved[0] == "module":
            return saved[1]
        if not isinstance(saved, tuple) or len(saved) < 5 or saved[0] != "storage":
            raise ValueError("a reference to no storage")
        kind, key, count = saved[1], str(saved[2]), saved[4]
        if not isinstance(kind, torch.dtype) or type(count) is not int or count < 0:
            raise ValueError("a storage of no kind or length")
        if self.seen is not None:
            self.seen[key] = (kind, count)
        if key not in self.storages:
            self.storages[key] = Storage(kind, self.stored(key, count))
        return self.storages[key]
