"""Tasks that come in: their tensors of the types and shapes that everything expects, checked once, values unseen."""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)


def checked_episodes(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the parts of a batch of tasks, by their names in `Episodes`, as tensors that go together.

    Arrays, tables and nested lists are copied once; lists of floats take torch's default type. Labels `<part>_y` are
    int64, or floats: real targets. What was made under ``torch.inference_mode()`` is copied, so that it can be
    differentiated through.

    parts: support_x and query_x ``[B, R, ...]``, support_y and query_y ``[B, R]``; class_ids ``[B, N]``, support_items
        and query_items ``[B, R]`` may be absent.

    Raises:
        UserError: axes, types or devices that must agree do not; no numbers, or no row; inputs that are bytes or
            complex; one-hot labels; labels or ids that are no whole numbers.
    """
    tensors = {name: _typed(name, value) for name, value in parts.items()}
    for part in ("support", "query"):
        _check_rows(part, tensors)
    support, query = tensors["support_x"], tensors["query_x"]
    if support.shape[0] != query.shape[0] or support.shape[2:] != query.shape[2:]:
        must = "support_x and query_x must agree in tasks and in the shape of an input"
        refuse_tasks(must, [list(support.shape), list(query.shape)])
    for end in ("x", "y"):
        _check_alike(end, tensors[f"support_{end}"], tensors[f"query_{end}"])
    ids = tensors.get("class_ids")
    if ids is not None and (ids.ndim != 2 or ids.shape[0] != support.shape[0]):
        refuse_tasks(f"class_ids must be [{support.shape[0]}, N]", list(ids.shape))
    return tensors


def refuse_tasks(must: str, got: object) -> NoReturn:
    """Raise the error of tasks whose tensors do not go together."""
    raise UserError("episodes", must, got, "align the tensors")


def _typed(name: str, value: Any) -> Tensor:
    """Return the part of a batch of tasks called `name` as an ordinary tensor: inputs float or int64, ids int64.

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


def _check_rows(part: str, tensors: Mapping[str, Tensor]) -> None:
    """Check that the inputs, labels and items of a part, "support" or "query", have the same tasks and rows.

    Raises:
        UserError: they have not; there is no row; class labels have further axes, as one-hot rows have.
    """
    x, y, items = tensors[f"{part}_x"], tensors[f"{part}_y"], tensors.get(f"{part}_items")
    if x.ndim < 2 or y.ndim < 2 or x.shape[:2] != y.shape[:2]:
        refuse_tasks(f"{part}_x and {part}_y must agree in their axes [B, R]", [list(x.shape), list(y.shape)])
    if not (x.shape[0] and x.shape[1]):
        must, got = f"{part}_x [B, R, ...] must hold at least one task and row", list(x.shape)
        raise UserError("episodes", must, got, "give tasks with rows")
    if not y.is_floating_point() and y.ndim != 2:
        must = f"labels {part}_y must be [B, R] class numbers (or float targets)"
        raise UserError("episodes", must, f"{list(y.shape)} {y.dtype}", f"of one-hot rows give {part}_y.argmax(-1)")
    if items is not None and items.shape != y.shape[:2]:
        refuse_tasks(f"{part}_items must be {list(y.shape[:2])}", list(items.shape))


def _check_alike(end: str, support: Tensor, query: Tensor) -> None:
    """Check that the support and the query part called `end`, "x" or "y", are of one type on one device.

    Raises:
        UserError: they are not.
    """
    for word, a, b in (("type", support.dtype, query.dtype), ("device", support.device, query.device)):
        if a != b:
            must = f"support_{end} and query_{end} must be of one {word}"
            raise UserError("episodes", must, f"{a} and {b}", f"bring both to one {word}")


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
