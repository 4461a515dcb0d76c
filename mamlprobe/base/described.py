"""Short words for things that hold many numbers: shapes, types and counts, never the numbers themselves."""

import dataclasses
from collections.abc import Mapping
from typing import Any

WIDTH = 110
"""Longer descriptions are cut into a line a field."""

_LONGEST, _FEW = 90, 6


def described(value: Any) -> str:
    """``Name(field: words, ...)`` of a dataclass, its empty fields left out; to be used as ``__repr__`` of one."""
    parts = []
    for each in dataclasses.fields(value):
        own = getattr(value, each.name)
        if each.repr and own is not None and not (isinstance(own, (Mapping, tuple, list)) and not own):
            parts.append(f"{each.name}: {words(own)}")
    name = type(value).__name__
    line = f"{name}({', '.join(parts)})"
    if len(line) <= WIDTH:
        return line
    inner = "\n".join(parts).replace("\n", "\n  ")
    return f"{name}(\n  {inner}\n)"


def words(value: Any) -> str:
    """Shape, type and device of a tensor or array; how many of them a mapping or list holds; else a short repr."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _tensor(value)
    if hasattr(value, "columns") and hasattr(value, "shape"):
        return f"table of {value.shape[0]:,} rows, columns {' '.join(map(str, value.columns))}"
    if isinstance(value, Mapping) and value:
        held = list(value.values())
        if all(hasattr(each, "dtype") for each in held):
            return _tensors(held)
    if isinstance(value, (list, tuple)) and value and all(hasattr(each, "dtype") for each in value):
        return _tensors(list(value))
    if getattr(type(value), "__repr__", None) == described:
        return described(value)
    if isinstance(value, Mapping) and 0 < len(value) <= _FEW:
        return "; ".join(f"{name}: {words(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)) and 0 < len(value) <= _FEW and not all(isinstance(n, int) for n in value):
        return "; ".join(map(words, value))
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


def _tensors(held: list[Any]) -> str:
    number, kinds = len(held), ", ".join(dict.fromkeys(_kind(each) for each in held))
    noun = "tensor" if number == 1 else "tensors"
    return f"{number:,} {noun} of {sum(map(_count, held)):,} numbers, {kinds}"


def _count(value: Any) -> int:
    count = 1
    for size in value.shape:
        count *= int(size)
    return count


def _kind(value: Any) -> str:
    """Type, and the device where there is one."""
    kind, device = str(value.dtype).removeprefix("torch."), getattr(value, "device", None)
    return f"{kind} on {device}" if device is not None else kind
