"""What an annotation asks of a value, as a cheap test of its kind and of the kinds of its entries."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, MappingView, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from mamlprobe.base.single_kinds import (
    REFUSED,
    Kind,
    dense,
    device,
    path,
    real,
    shown,
    tell_path,
    tell_tensor,
    truth,
    whole,
    with_article,
)

_PLAIN = {
    int: Kind("a whole number", whole),
    float: Kind("a finite number", real),
    bool: Kind("True or False", truth),
    str: Kind("a string", lambda value: value if isinstance(value, str) else REFUSED),
    Path: Kind("a path", lambda value: REFUSED if path(value) is REFUSED else Path(value), tell_path),
    type(None): Kind("None", lambda value: value if value is None else REFUSED),
}


def kind_of(hint: Any) -> Kind | None:
    """Return the kind of values that an annotation stands for; None if it can be any.

    One that names an array is open too: whatever makes one may be given, and its reader checks it.
    """
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin in _PLAIN:
        return _PLAIN[origin]
    if origin in (typing.Union, types.UnionType):
        return _any_of(args)
    if origin is typing.Literal:
        return _PLAIN[str]
    if origin in (tuple, list, Sequence):
        length = len(args) if origin is tuple and args[-1] is not Ellipsis else None
        return _list_of(kind_of(args[0]), tuple if origin is tuple else list, length)
    if origin in (dict, Mapping):
        return _dict_of(origin, kind_of(args[1]))
    if origin is Callable:
        return _function(len(args[0]) if args and isinstance(args[0], list) else None)
    if not isinstance(origin, type) or origin.__name__ in ("Any", "object", "ndarray"):
        return None
    if getattr(origin, "_is_protocol", False):
        return _protocol(origin)
    if origin.__name__ == "Tensor":
        return Kind("a dense Tensor", dense, tell_tensor)
    if origin.__name__ == "device":
        return Kind("a device such as 'cpu'", lambda value: device(value, origin))
    return Kind(with_article(origin.__name__), lambda value: value if isinstance(value, origin) else REFUSED)


def _any_of(hints: Sequence[Any]) -> Kind | None:
    """Return the kind of values that are of one of these; a path and a device can be strings, which are theirs then."""
    names = {getattr(hint, "__name__", "") for hint in hints}
    each = [kind_of(hint) for hint in hints if hint is not str or not names & {"Path", "device"}]
    if {str, Path} <= set(hints):
        each[each.index(_PLAIN[Path])] = Kind("a path", path, tell_path)  # a string stays one
    kinds = [kind for kind in each if kind is not None]
    if len(kinds) < len(each):
        return None

    def take(value: Any) -> Any:
        for kind in kinds:
            if (taken := kind.take(value)) is not REFUSED:
                return taken
        return REFUSED

    return Kind(" or ".join(kind.name for kind in kinds), take, next((k.tell for k in kinds if k.tell != shown), shown))


def _list_of(entry: Kind | None, make: type, length: int | None) -> Kind:
    """Return the kind of lists of entries of a kind: ranges, parts of dicts, arrays too, but no strings and no sets."""

    def take(value: Any) -> Any:
        entries = _entries(value)
        if entries is None or length not in (None, len(entries)):
            return REFUSED
        taken = entries if entry is None else [entry.take(each) for each in entries]
        if any(each is REFUSED for each in taken):
            return REFUSED
        same = isinstance(value, (make, tuple)) and all(a is b for a, b in zip(taken, entries, strict=True))
        return value if same else make(taken)

    def tell(value: Any) -> str:
        entries = _entries(value)
        if entries is None:
            return shown(value)
        odd = [each for each in entries if entry is not None and entry.take(each) is REFUSED]
        within = f" in {with_article(type(value).__name__)}"
        return (entry.tell(odd[0]) if odd and entry is not None else f"{len(entries)} of them") + within

    noun = "values" if entry is None else entry.plural
    return Kind(f"a list of {'' if length is None else f'{length} '}{noun}", take, tell)


def _entries(value: Any) -> Sequence[Any] | None:
    """Return the entries of a list, a range, a part of a dict, or an array of one axis; None of anything else."""
    if isinstance(value, (list, tuple, range)):
        return value
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return None
    if isinstance(value, (Sequence, MappingView)):
        return list(typing.cast(Iterable[Any], value))
    try:
        return list(value.tolist()) if hasattr(type(value), "tolist") and value.ndim == 1 else None
    except Exception:  # an array without values, such as a tensor on the device "meta"
        return None


def _dict_of(make: type, entry: Kind | None) -> Kind:
    """Return the kind of dicts from strings to values of a kind."""

    def odd(value: Any) -> Any:
        """Yield the entries of another kind."""
        for name, each in value.items():
            if not isinstance(name, str):
                yield shown(name)
            elif entry is not None and entry.take(each) is REFUSED:
                yield entry.tell(each)

    def take(value: Any) -> Any:
        return value if isinstance(value, make) and next(odd(value), None) is None else REFUSED

    def tell(value: Any) -> str:
        return f"{next(odd(value))} in a {type(value).__name__}" if isinstance(value, make) else shown(value)

    return Kind(f"a dict from strings to {'values' if entry is None else entry.plural}", take, tell)


def _protocol(kind: type) -> Kind:
    """Return the kind of values that have every public part of the protocol."""
    parts = [name for name in vars(kind) if not name.startswith("_")]
    called = "__call__" in vars(kind)

    def lacking(value: Any) -> str | None:
        of_type = type(value)
        return next((name for name in parts if not hasattr(of_type, name) and not _has(value, name)), None)

    def take(value: Any) -> Any:
        fits = not isinstance(value, type) and (callable(value) or not called) and lacking(value) is None
        return value if fits else REFUSED

    def tell(value: Any) -> str:
        missing = None if isinstance(value, type) else lacking(value)
        return shown(value) + (f" without {missing}" if missing is not None else "")

    return Kind(with_article(kind.__name__), take, tell)


def _function(count: int | None) -> Kind:
    """Return the kind of functions that can be called with so many arguments; of any, if None. A module is none."""

    def take(value: Any) -> Any:
        if not callable(value) or (not isinstance(value, type) and _has(value, "forward")):
            return REFUSED
        if count is None:
            return value
        try:
            inspect.signature(value).bind(*[None] * count)
        except TypeError:
            return REFUSED
        except ValueError:  # a built-in function does not tell its arguments; a built-in class makes nothing of them
            return REFUSED if isinstance(value, type) else value
        return value

    number = "" if count is None else f" of {count} argument{'s' * (count != 1)}"
    return Kind(f"a function{number}", take)


def _has(value: Any, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:
        return False
