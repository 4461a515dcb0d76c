"""Nested settings as one table of dotted names, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any


def flatten(values: object, prefix: str = "") -> dict[str, Any]:
    """List the fields of a dataclass or mapping, and of those within it, by dotted name; an empty one has no entry.

    Raises:
        TypeError: the outermost value is neither.
    """
    if isinstance(values, Mapping):
        pairs = dict(values)
    else:
        pairs = {each.name: getattr(values, each.name) for each in dataclasses.fields(values)}  # type: ignore[arg-type]
    table: dict[str, Any] = {}
    for name, value in pairs.items():
        table |= flatten(value, f"{prefix}{name}.") if _nests(value) else {f"{prefix}{name}": value}
    return table


def unflatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nest values by dotted name, as `flatten` lists them, as dicts within dicts."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return nested


def _nests(value: object) -> bool:
    return isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type))
