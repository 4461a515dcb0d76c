"""The content of a checkpoint of any kind, as one tree of dicts, lists, tensors, numbers and words."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.borders.array_files import read_npz
from mamlprobe.borders.arrays.keras_files import read_keras
from mamlprobe.borders.pickled_parts import Array
from mamlprobe.borders.pickles import LEGACY
from mamlprobe.borders.regular_files import check_file
from mamlprobe.borders.stubs import Stub, read_arrays, read_stubbed
from mamlprobe.borders.tensor_files import LARGEST_WEIGHTS, read_safetensors
from mamlprobe.borders.tf1_bundle import MAGIC, index_of, read_bundle

DEEPEST, NODES = 24, 2**20
"""Levels of a tree, and its entries."""

WHERE = "import"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file holds."""

    container: str
    """Kind of file, in words."""
    tree: Any
    file: Path
    """The file; of several, the one that names the others."""


def read_contents(path: str | Path) -> Contents:
    """Read a checkpoint: torch's zip and legacy files, whole modules, safetensors, npz, pickles, TensorFlow.

    Nothing that the file names is imported or called; classes that are not known leave their tensors.

    Raises:
        UserError: no such file, one that is damaged or beyond the limits, one of another kind.
    """
    path = index_of(Path(path)) or Path(path)
    advice = "copy it again, or save the net's state dict"
    size = check_file(WHERE, path, most=LARGEST_WEIGHTS, advice=advice)
    with open(path, "rb") as file:
        start = file.read(16)
        file.seek(max(0, size - len(MAGIC)))
        end = file.read(len(MAGIC))
    kind, read = _reader(path, start, end)
    try:
        tree = _plain(read(path, size), path.stat().st_size)
    except UserError:
        raise
    except Exception as error:  # whatever the reader makes of a damaged file
        text = (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
        raise UserError(WHERE, f"{path.name} must be a whole checkpoint", f"{kind}: {text}", advice) from None
    return Contents(container=kind, tree=tree, file=path)


Reader = Callable[[Path, int], Any]


def _reader(path: Path, start: bytes, end: bytes) -> tuple[str, Reader]:
    """Return the kind of file that begins and ends so, and what reads it."""
    if end == MAGIC or path.suffix == ".index":
        return "TensorFlow 1 checkpoint", lambda path, _: read_bundle(WHERE, path)
    if start.startswith(LEGACY):
        return "torch file of a version before 1.6", read_stubbed
    if start.startswith(b"PK"):
        return _zipped(path)
    if start[:1] == b"\x80":
        return "pickle of arrays", _arrays
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return "safetensors", _safetensors
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "Keras file", lambda path, _: read_keras(WHERE, path)
    shown = start[:4].hex(" ") or "nothing"
    must = f"{path.name} must be a file of torch, safetensors, numpy, TensorFlow 1 or Keras"
    raise UserError(WHERE, must, f"one that begins with {shown}", "save the net's state dict with torch.save")


def _zipped(path: Path) -> tuple[str, Reader]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = []
    if names and all(name.endswith(".npy") for name in names):
        return "npz", lambda path, _: read_npz(WHERE, path)
    return "torch file", read_stubbed


def _safetensors(path: Path, _: int) -> Any:
    must = f"{path.name} must be a whole safetensors file"
    return read_safetensors(WHERE, path, must=must, advice="copy it again")[0]


def _arrays(path: Path, _: int) -> Any:
    with open(path, "rb") as file:
        return read_arrays(file)


def _plain(tree: Any, size: int) -> Any:
    """Copy a tree in dicts, lists, tensors, numbers and words; what is anything else is left out.

    Raises:
        ValueError: more levels or entries than the limits; the message is a few words.
    """
    left = [NODES]

    def copy(value: Any, depth: int) -> Any:
        left[0] -= 1
        if depth > DEEPEST or left[0] < 0:
            raise ValueError("too many levels or entries")
        if isinstance(value, Array):
            return None if value.value is None else torch.from_numpy(_native(value.value))
        if isinstance(value, Tensor) or value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, Stub):
            return _of_stub(value, lambda each: copy(each, depth + 1))
        if isinstance(value, dict):
            return {str(name): copy(each, depth + 1) for name, each in dict.items(value)}
        if isinstance(value, (list, tuple)):
            return [copy(each, depth + 1) for each in value[:10_000]]
        return torch.from_numpy(_native(value)) if hasattr(value, "dtype") else None

    return copy(tree, 0)


def _native(array: Any) -> Any:
    """Return an array in the machine's byte order that torch takes."""
    return array.astype(array.dtype.newbyteorder("="), copy=True)


def _of_stub(stub: Stub, copy: Callable[[Any], Any]) -> Any:
    """Return the state dict of a module that was saved whole; of other objects their state."""
    state = stub.state
    states = state.get("_parameters"), state.get("_buffers"), state.get("_modules")
    if not any(isinstance(each, dict) for each in states):
        return {**{str(name): copy(each) for name, each in state.items()}, **_parts(stub, copy)}
    tensors: dict[str, Any] = {}
    for part in states[:2]:
        tensors |= {str(n): copy(each) for n, each in (part or {}).items() if isinstance(each, (Tensor, Array))}
    for name, module in (states[2] or {}).items():
        inner = copy(module)
        if isinstance(inner, dict):
            tensors |= {f"{name}.{n}": each for n, each in inner.items()}
    return tensors


def _parts(stub: Stub, copy: Callable[[Any], Any]) -> dict[str, Any]:
    return {f"part {number}": copy(part) for number, part in enumerate(stub.parts)}
