"""The inputs of a measure as tensors: arrays, tables and nested lists are converted once, where they come in."""

import numbers
import os
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError


def memory() -> int | None:
    """Return the bytes of memory that this machine has; None if it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # this system does not know these names
        return None


def reachable(where: str, device: Any) -> None:
    """Refuse a device that is not there.

    Raises:
        UserError: torch cannot use it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        got = str(error).partition("\n")[0]
        raise UserError(where, f"device {str(device)!r} must be there", got, "take 'cpu'") from None


def real_numbers(where: str, dtype: Any) -> None:
    """Refuse a type that does not hold real numbers.

    Raises:
        UserError: whole or complex numbers, or bits.
    """
    if dtype is not None and dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        must = "dtype must be torch.float64, float32, bfloat16 or float16"
        raise UserError(where, must, dtype, "tensors of whole numbers stay as they are")


def given(where: str, name: str, x: Any) -> Tensor:
    """Convert real numbers to a tensor of their shape, without a copy if torch can share their memory.

    Raises:
        UserError: no numbers, complex ones, rows of unlike length, masked or absent entries.
    """
    if isinstance(x, Tensor):
        odd = "nested" if x.is_nested else "quantised" if x.is_quantized else "without values" if x.is_meta else ""
        if odd or x.is_complex():
            raise UserError(where, f"{name} must hold real numbers", f"{odd} {x.dtype}".strip(), "convert it")
        return x if x.layout is torch.strided else x.to_dense()
    if isinstance(x, (list, tuple)) and x and all(isinstance(each, Tensor) for each in x):
        return _stacked(where, name, list(x))
    try:
        array = np.asarray(x)
    except (TypeError, ValueError, RuntimeError):
        got = f"a {type(x).__name__} that makes no array"
        raise UserError(where, f"{name} must hold real numbers", got, "give a matrix of numbers") from None
    if array.dtype.kind == "O":
        array = _numbers(where, name, x, array)
    if np.ma.is_masked(x) or array.dtype.kind not in "biuf":
        got = "masked entries" if np.ma.is_masked(x) else f"a {type(x).__name__} of {array.dtype}"
        raise UserError(where, f"{name} must hold real numbers", got, "convert it")
    kind = array.dtype.newbyteorder("=")
    if (kind.kind == "f" and kind.itemsize > 8) or (kind.kind == "u" and kind.itemsize == 8):
        kind = np.dtype(np.float64)
    if min(array.strides, default=0) < 0 or array.dtype != kind:
        array = array.astype(kind, order="C")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)  # measures only read it


def _stacked(where: str, name: str, rows: list[Tensor]) -> Tensor:
    """Stack a list of tensors."""
    if len({each.shape for each in rows}) > 1:
        got = f"a list of {', '.join(str(list(each.shape)) for each in rows[:3])}"
        raise UserError(where, f"{name} must be one matrix", got, "stack or concatenate them")
    return given(where, name, torch.stack(rows))


def _numbers(where: str, name: str, x: Any, array: Any) -> Any:
    """Convert an array of objects, such as table columns of unlike types, to float64; each must be a real number."""
    odd = next((each for each in array.ravel() if not isinstance(each, (numbers.Real, np.bool_))), None)
    if array.ndim == 0 or odd is not None:
        got = type(x).__name__ if array.ndim == 0 else f"{odd!r} in a {type(x).__name__}"
        raise UserError(where, f"{name} must hold real numbers", got, "give a matrix of numbers")
    return array.astype(np.float64)


def to_float64(where: str, name: str, x: Any) -> Tensor:
    """Return a float64 copy that the caller may write to; on the device of `x` if that supports float64."""
    rows = given(where, name, x)
    device = torch.device("cpu") if rows.device.type == "mps" else rows.device
    return rows.detach().to(device, torch.float64, copy=True, memory_format=torch.contiguous_format)
