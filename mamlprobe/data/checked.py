"""The tensors of tasks made by hand, brought to the types that everything expects, once, without looking at a value."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)


def checked(name: str, value: Any) -> Tensor:
    """Return the part of a batch of tasks called `name` as an ordinary tensor; inputs float or int64, ids int64.

    Arrays, tables and nested lists are copied once; lists of floats take torch's default type. Labels `<part>_y` are
    int64, or floats: real targets. What was made under ``torch.inference_mode()`` is copied, so that it can be
    differentiated through.

    Raises:
        UserError: no numbers; inputs that are bytes or complex; labels or ids that are no whole numbers.
    """
    tensor = value if isinstance(value, Tensor) else _tensor(name, value)
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_inference():
        with torch.inference_mode(False):
            tensor = tensor.clone()
    kind = tensor.dtype
    if name.endswith("_x"):
        if kind not in (*_FLOATS, torch.int32, torch.int64):
            must = f"inputs {name} must be floats (or int64 tokens)"
            raise UserError("episodes", must, kind, f"give {name}.float(), bytes of images divided by 255")
        return tensor
    if kind in _WHOLE:
        return tensor if kind is torch.int64 else tensor.long()
    if name.endswith("_y") and kind in _FLOATS:
        return tensor
    must = f"{name} must be int64" + (" class labels, or real targets" if name.endswith("_y") else "")
    raise UserError("episodes", must, kind, f"give {name}.long()")


def agree(name: str, support: Tensor, query: Tensor) -> None:
    """Check that the support and the query part called `name`, "x" or "y", are of one type on one device.

    Raises:
        UserError: they are not.
    """
    for word, a, b in (("type", support.dtype, query.dtype), ("device", support.device, query.device)):
        if a != b:
            must = f"support_{name} and query_{name} must be of one {word}"
            raise UserError("episodes", must, f"{a} and {b}", f"bring both to one {word}")


def labels_or_targets(name: str, y: Tensor) -> None:
    """Check that class labels are numbers [B, R].

    Raises:
        UserError: they have further axes, as one-hot rows have.
    """
    if not y.is_floating_point() and y.ndim != 2:
        must = f"labels {name} must be [B, R] class numbers (or float targets)"
        raise UserError("episodes", must, f"{list(y.shape)} {y.dtype}", f"of one-hot rows give {name}.argmax(-1)")


def _tensor(name: str, value: Any) -> Tensor:
    """Make a new tensor of an array, a table or a nested list."""
    try:
        if isinstance(value, (list, tuple)) and value and all(isinstance(each, Tensor) for each in value):
            return torch.stack(list(value))
        array = np.array(value, order="C")
        if isinstance(value, (list, tuple)) and array.dtype == np.float64 and not _holds_arrays(value):
            return torch.from_numpy(array).to(torch.get_default_dtype())
        if array.dtype.kind not in "biufc" or array.ndim < 1:
            raise TypeError
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError, RuntimeError):
        must, advice = f"{name} must be a tensor, or an array of numbers", "give one tensor for all tasks"
        got = f"a {type(value).__name__}" if value is not None else "None"
        raise UserError("episodes", must, got, advice) from None


def _holds_arrays(value: Any) -> bool:
    """Tell whether a nested list ends in arrays, which have their own type."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, np.ndarray)
