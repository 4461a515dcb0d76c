"""Settings as frozen dataclasses: strict to JSON and back, their JSON schema, and a short name for every setting."""

import dataclasses
import hashlib
import json
import re
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

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
        UserError: an unknown field or word, a value of another type, a required field that is absent.
    """
    taken: T = typed(kind, values, where)
    return taken


def typed(kind: Any, value: Any, where: str) -> Any:
    """Return the value as one of this type; whole numbers become fractions and lists tuples where these are wanted.

    Raises:
        UserError: it is none.
    """
    import msgspec  # here, since most that is said with settings reads none

    _names_known(kind, value, where)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, UserError):  # of the dataclass itself
            raise error.__cause__ from None
        _refuse(str(error), value, where)


def schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a dataclass of settings: fields, types, words and defaults."""
    import msgspec

    described: dict[str, Any] = msgspec.json.schema(kind)
    for part in described["$defs"].values():
        part["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _names_known(kind: Any, value: Any, where: str) -> None:
    """Refuse what has a name that is not known, here and below: fields of dataclasses, and words of a list."""
    several = get_origin(kind) in (tuple, list)
    if several and isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _names_known(get_args(kind)[0], inner, f"{where}[{number}]")
    for each in () if several else (kind, *get_args(kind)):
        if get_origin(each) is Literal and isinstance(value, str) and value not in get_args(each):
            raise unknown(where, "word", value, get_args(each))
        if dataclasses.is_dataclass(each) and isinstance(value, dict):
            hints = get_type_hints(each)
            for name, inner in value.items():
                if name not in hints:
                    raise unknown(where, "field", name, hints)
                _names_known(hints[name], inner, f"{where}.{name}")
        elif dataclasses.is_dataclass(each) and (value is not None or each is kind):
            must, got = "settings must be a table of fields", type(value).__name__
            raise UserError(where, must, got, "see config.json of a run")


def _refuse(message: str, value: Any, where: str) -> NoReturn:
    """Raise our error for one of msgspec's, such as "Expected `int`, got `str` - at `$.inner.steps`"."""
    said, _, path = message.partition(" - at `$")
    for name, number in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", path):
        value, where = (value[int(number)], f"{where}[{number}]") if number else (value[name], f"{where}.{name}")
    if missing := re.search(r"required field `(.*)`", said):
        raise UserError(where, "every required field must be there", f"none called {missing[1]!r}", "add it")
    kind = said.partition("Expected ")[2].rpartition(", got ")[0].replace("`", "") or "another"
    kind = kind.replace("array", "list").replace("object", "table of fields").replace(" | ", " or ")
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
