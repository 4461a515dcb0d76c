"""Settings as frozen dataclasses: strict to JSON and back, and a short name for every setting."""

import dataclasses
import hashlib
import json
import types
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mamlprobe.base.errors import UserError, unknown

T = TypeVar("T")

LATER = {"later": True}
"""Metadata of a field that is younger than the first fingerprints: at its default it is no part of one."""


def to_dict(value: object) -> Any:
    """Convert a dataclass to nested dicts, lists and plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def from_dict(kind: type[T], values: Any, where: str = "config") -> T:
    """Build the dataclass `kind` from these values; absent fields have their defaults.

    Raises:
        UserError: an unknown field, a value of another type, a required field that is absent.
    """
    if not isinstance(values, dict):
        raise UserError(where, "settings must be a table of fields", type(values).__name__, "see config.json of a run")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise unknown(where, "field", name, hints)
    try:
        return kind(**{name: typed(hints[name], value, f"{where}.{name}") for name, value in values.items()})
    except TypeError as error:
        raise UserError(where, "every required field must be there", str(error), "add it") from None


def typed(kind: Any, value: Any, where: str) -> Any:
    """Return the value as one of this type: a plain type, a dataclass, a tuple, list or table, a union, a literal.

    Raises:
        UserError: it is none.
    """
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return from_dict(typing.cast(type, kind), value, where)
    if origin in (typing.Union, types.UnionType):
        return _member(kind, args, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        item = args[0] if len(args) == 2 and args[1] is Ellipsis else None
        kinds = [item] * len(value) if item is not None else list(args)
        if len(kinds) == len(value):
            return tuple(typed(k, v, where) for k, v in zip(kinds, value, strict=True))
    if origin is list and isinstance(value, list):
        return [typed(args[0], each, where) for each in value]
    if origin is dict and isinstance(value, dict):
        return {typed(args[0], name, where): typed(args[1], each, f"{where}.{name}") for name, each in value.items()}
    if origin is typing.Literal and isinstance(value, str):
        if value not in args:
            raise unknown(where, "word", value, args)
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise UserError(where, f"the value must be of type {kind}", repr(value), "change it")


def _member(kind: Any, args: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return the value as one of the first of these types that it is of."""
    if value is None and type(None) in args:
        return None
    errors = []
    for each in args:
        if each is not type(None):
            try:
                return typed(each, value, where)
            except UserError as error:
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise UserError(where, f"the value must be of type {kind}", repr(value), "change it")


def fingerprint(value: object, digits: int = 8) -> str:
    """Return hex digits of the SHA-256 of the settings' JSON, without the later fields that are at their defaults."""
    text = json.dumps(_counted(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _counted(value: Any) -> Any:
    """Select what counts in a fingerprint."""
    if isinstance(value, tuple):
        return [_counted(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return to_dict(value)
    entries = {each.name: (getattr(value, each.name), each) for each in dataclasses.fields(value)}
    return {
        name: _counted(content)
        for name, (content, each) in entries.items()
        if not (each.metadata == LATER and content == each.default)
    }
