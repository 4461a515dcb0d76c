"""Short summaries of things that hold many numbers: shapes, types and counts, never the numbers themselves."""

import dataclasses
from collections.abc import Mapping
from typing import Any

WIDTH = 110
"""Longer descriptions get a line for each field."""

_LONGEST, _FEW = 90, 6


def described(value: Any) -> str:
    """Return ``Name(field: summary, ...)`` of a dataclass without its empty fields, to be used as its ``__repr__``."""
    parts = []
    for each in dataclasses.fields(value):
        entry = getattr(value, each.name)
        if each.repr and entry is not None and not (isinstance(entry, (Mapping, tuple, list)) and not entry):
            parts.append(f"{each.name}: {summary(entry)}")
    name = type(value).__name__
    line = f"{name}({', '.join(parts)})"
    if len(line) <= WIDTH:
        return line
    inner = "\n".join(parts).replace("\n", "\n  ")
    return f"{name}(\n  {inner}\n)"


def summary(value: Any) -> str:
    """Return shape, type and device of a tensor or array, the count of those in a mapping or list, or a short repr."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _tensor(value)
    if hasattr(value, "columns") and hasattr(value, "shape"):
        return f"table of {value.shape[0]:,} rows, columns {' '.join(map(str, value.columns))}"
    if isinstance(value, Mapping) and value:
        values = list(value.values())
        if all(hasattr(each, "dtype") for each in values):
            return _tensors(values)
    if isinstance(value, (list, tuple)) and value and all(hasattr(each, "dtype") for each in value):
        return _tensors(list(value))
    if getattr(type(value), "__repr__", None) == described:
        return described(value)
    if isinstance(value, Mapping) and 0 < len(value) <= _FEW:
        return "; ".join(f"{name}: {summary(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)) and 0 < len(value) <= _FEW and not all(isinstance(n, int) for n in value):
        return "; ".join(map(summary, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and len(value) > _FEW:
        return f"{len(value):,} entries"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _tensor(value: Any) -> str:
    text = f"{list(value.shape)} {_kind(value)}"
    if len(value.shape) > 1 or "float" not in text or "meta" in text or not _count(value):
        return text
    try:
        return f"{text}, mean {float(value.mean()):.4g}" if len(value.shape) else f"{float(value):.4g}"
    except RuntimeError:  # a tensor without values of its own, such as one under vmap
        return text


def _tensors(values: list[Any]) -> str:
    number, kinds = len(values), ", ".join(dict.fromkeys(_kind(each) for each in values))
    noun = "tensor" if number == 1 else "tensors"
    return f"{number:,} {noun} of {sum(map(_count, values)):,} numbers, {kinds}"


def _count(value: Any) -> int:
    count = 1
    for size in value.shape:
        count *= int(size)
    return count


def _kind(value: Any) -> str:
    """Return the type, and the device if the value has one."""
    kind, device = str(value.dtype).removeprefix("torch."), getattr(value, "device", None)
    return f"{kind} on {device}" if device is not None else kind
