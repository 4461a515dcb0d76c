"""Arguments of the compiled kernels: sizes by name, and tuples of tensors as pointers; see ``cpp/arguments.h``."""

import ctypes
from functools import lru_cache
from typing import Any

from torch import Tensor

Argument = Tensor | tuple[Tensor | None, ...] | ctypes.Structure | int | float | None
"""Tensors alone or in a named tuple, all contiguous; sizes; numbers."""


def _sizes(*names: str) -> tuple[tuple[str, type[ctypes.c_int64]], ...]:
    return tuple((name, ctypes.c_int64) for name in names)


class MapShape(ctypes.Structure):
    """Maps before norm, ReLU and pooling, how far the vectors of two groups lie apart, and the kind of the block."""

    _fields_ = _sizes("groups", "rows", "height", "width", "channels", "stride", "pool", "relu_first")


class ImageShape(ctypes.Structure):
    """Images, how a window of side 3 moves over them, and sizes and strides of what is made of them."""

    _fields_ = (
        *_sizes("tasks", "rows", "colours", "height", "width", "step", "pad", "tall", "wide", "channels"),
        *_sizes("by_task", "by_row", "by_pixel", "weight_stride", "pool", "stride"),
    )


class ConvShape(ctypes.Structure):
    """Sizes and strides of maps before and after a convolution, and its window."""

    _fields_ = (
        *_sizes("tasks", "rows", "height", "width", "in_channels", "out_channels"),
        *_sizes("in_by_task", "in_by_pixel", "out_by_task", "out_by_pixel", "side", "step", "pad"),
    )


class PixelShape(ctypes.Structure):
    """Number of images in all and of those chosen, their colours, and pixels of a colour."""

    _fields_ = _sizes("all", "count", "colours", "size")


class TableShape(ctypes.Structure):
    """Number of rows, and of values of both sides in a row."""

    _fields_ = _sizes("rows", "f", "g")


@lru_cache
def pointers(kind: type[tuple[Any, ...]]) -> type[ctypes.Structure]:
    """Return the structure of pointers to the tensors of a named tuple, under its names."""
    fields = tuple((name, ctypes.c_void_p) for name in kind._fields)  # type: ignore[attr-defined]
    return type(kind.__name__, (ctypes.Structure,), {"_fields_": fields})


def passed(value: Argument) -> object:
    """Return the argument as a kernel takes it."""
    if isinstance(value, tuple):
        return ctypes.byref(pointers(type(value))(*[None if each is None else each.data_ptr() for each in value]))
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return value if value is None or isinstance(value, int) else ctypes.c_void_p(value.data_ptr())
