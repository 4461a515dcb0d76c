"""What pickles of torch and numpy may name: tensors, numbers and arrays are made without running anything of a file."""

import codecs
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
"""Kinds of storage -> their numbers."""

DTYPES = {f"torch.{name}": getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16", "int64")}

ARRAYS = "biufc"
"""Kinds of numpy's numbers that are read."""


class Storage:
    """The numbers of one or several tensors."""

    def __init__(self, kind: torch.dtype, data: bytes) -> None:
        self.flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)


class Maker:
    """A function under a name that pickles know; no pickle can change it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *args: Any) -> Any:
        """Make it."""
        return self.make(*args)

    def __setstate__(self, state: Any) -> None:
        """Refuse any state.

        Raises:
            ValueError: always.
        """
        raise ValueError("a state for a function")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """Return the tensor of this place, shape and steps in a storage."""
    numbers = [offset, *size, *stride]
    if not isinstance(storage, Storage) or not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError("a tensor of no shape")
    flat, count = storage.flat, math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else -1
    if not len(flat):  # of a first look, or of no numbers
        return torch.empty(tuple(size) if not count else 0, dtype=flat.dtype)
    if last >= len(flat) or count > len(flat):
        raise ValueError(f"a tensor of {count:,} numbers that ends at {last:,} in a storage of {len(flat):,}")
    return flat.as_strided(tuple(size), tuple(stride), offset)


def _parameter(data: Any, *rest: Any) -> Any:
    """Return the tensor that a parameter holds."""
    return data


def _encode(text: Any, encoding: Any = "latin1", errors: Any = "strict") -> bytes:
    """Return the bytes of a text, as protocol 2 writes them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("a text that is no bytes")
    return codecs.encode(text, "latin1")


class _DType:
    """A type of numpy's numbers, by what its pickle says."""

    def __init__(self, name: str) -> None:
        self.kind = np.dtype(name)
        if self.kind.kind not in ARRAYS:
            raise ValueError(f"numbers of numpy's type {name[:20]!r}")

    def __setstate__(self, state: Any) -> None:
        """Take the byte order, and nothing else."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.kind = self.kind.newbyteorder(state[1])


def made_dtype(name: Any = "f8", *rest: Any) -> _DType:
    """Return the type of numbers of this name.

    Raises:
        ValueError: a word that is none.
    """
    if not isinstance(name, str) or len(name) > 12:
        raise ValueError("a type of numbers that is no word")
    return _DType(name)


def _scalar(kind: Any, data: Any = b"") -> Any:
    """Return a number of numpy."""
    if not isinstance(kind, _DType):
        raise ValueError("a number of no type")
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype=kind.kind, count=1)[0].item()


class Array:
    """An array of numpy: `value`, once it is read."""

    def __init__(self, *args: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        """Take shape, type and bytes."""
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _DType):
            raise ValueError("an array of no type")
        raw = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(raw, dtype=kind.kind)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


MAKERS: Mapping[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "torch.Size": tuple,
    "_codecs.encode": Maker(_encode),
    **dict.fromkeys((f"torch._utils._rebuild_tensor{each}" for each in ("", "_v2", "_v3")), Maker(_tensor)),
    "torch._utils._rebuild_parameter": Maker(_parameter),
    "torch._utils._rebuild_parameter_with_state": Maker(_parameter),
    "torch.nn.parameter.Parameter": Maker(_parameter),
    "numpy.dtype": Maker(made_dtype),
    "numpy.ndarray": Maker(Array),
    **{f"numpy.{each}.multiarray.scalar": Maker(_scalar) for each in ("core", "_core")},
    **{f"numpy.{each}.multiarray._reconstruct": Maker(Array) for each in ("core", "_core")},
}
"""Names in pickles -> what they stand for here; none of these runs anything that a file brings."""
