"""Tensors that come in: plain ones with a number for each entry, of the names, shapes and types that are wanted."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
COMPLEX = (torch.complex64, torch.complex128)

Tensors = dict[str, Tensor]


def plain_tensors(given: Mapping[str, Any], *, room: int) -> Tensors:
    """Return the tensors detached, after checking that they are plain ones which fit into a file of `room` bytes.

    Names of one tensor are a shared weight; other parts of memory must not overlap much.

    Raises:
        ValueError: no tensor; one that is sparse, quantised, expanded, without numbers, or of numbers that nothing here
            computes with; more numbers than the file has. The message is a few words.
    """
    plain: Tensors = {}
    views: dict[tuple[Any, ...], int] = {}
    for name, value in given.items():
        kind = odd_kind(value)
        if kind:
            raise ValueError(f"{kind} in {name}")
        plain[name] = tensor = Tensor.detach(value)
        size = tensor.numel() * tensor.element_size()
        if size > tensor.untyped_storage().nbytes():
            raise ValueError(f"an expanded tensor in {name}")
        views[tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()] = size
        if sum(views.values()) > 2 * room:
            raise ValueError(f"more numbers than the file has in {name}")
    return plain


def odd_kind(value: Any) -> str:
    """Say what keeps a value from being a plain tensor of numbers that everything here computes with; empty if none."""
    if type(value) not in (Tensor, torch.nn.Parameter):
        return f"a {type(value).__name__}"
    kinds = {
        "a nested tensor": value.is_nested,
        "a quantised tensor": value.is_quantized,
        "a meta tensor, without numbers": value.is_meta,
        "a sparse tensor": value.layout != torch.strided,
        "a conjugate view": value.is_conj() or value.is_neg(),
        f"{str(value.dtype).removeprefix('torch.')} numbers": value.dtype not in (*FLOATS, *WHOLE, *COMPLEX),
    }
    return next((kind for kind, so in kinds.items() if so), "")


def checked_tensors(
    where: str, given: Tensors, wanted: Tensors, *, must: str, what: str = "one", few: int = 6, advice: str
) -> Tensors:
    """Return the tensors in the order of those wanted, after checking names, shapes and types.

    Raises:
        UserError: a difference; `must` is what the message says of the file, which is `what` with these differences, a
            `few` of each kind.
    """
    got = differences(given, wanted, few=few)
    if got:
        raise UserError(where, must, f"{what} {got}", advice)
    return {name: given[name] for name in wanted}


def differences(given: Tensors, wanted: Tensors, *, types: bool = True, few: int = 6) -> str:
    """Name the first tensors of each kind of difference, of types too unless they do not count; empty if none."""
    both = [name for name in wanted if name in given]
    shapes = [(n, list(given[n].shape), list(wanted[n].shape)) for n in both if given[n].shape != wanted[n].shape]
    others = [(n, given[n].dtype, wanted[n].dtype) for n in both if types and given[n].dtype != wanted[n].dtype]
    faults = {
        "without": [name for name in wanted if name not in given],
        "with an unknown": [name for name in given if name not in wanted],
        "with": [f"{name} {a} instead of {b}".replace("torch.", "") for name, a, b in shapes or others],
    }
    return "; ".join(f"{word} {', '.join(names[:few])}" for word, names in faults.items() if names)


def not_finite(tensors: Tensors) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinity; None if none does."""
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)
