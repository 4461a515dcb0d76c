"""Grids of settings: seeds and values by dotted path, as experiments."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.runs.experiment import Data, Experiment, run_name

SHORT = ("method.", "data.")
"""Beginnings of paths that may be left out, as the options of `train` leave them out."""

MOST = 1_000_000
"""Numbers in a list; more are a slip of the fingers."""


def numbers(text: str, name: str) -> list[int]:
    """Read whole numbers and ranges parted by commas: ``0-9`` and ``0,3,5-7``.

    Raises:
        UserError: anything else; `name` is what the numbers are called.
    """
    read: list[int] = []
    for part in text.split(","):
        single, many = re.fullmatch(r" *(-?\d{1,18}) *", part), re.fullmatch(r" *(\d{1,18}) *- *(\d{1,18}) *", part)
        first, last = (int(single[1]), int(single[1])) if single else map(int, many.groups()) if many else (1, 0)
        if not first <= last < first + MOST - len(read):
            must = f"{name} must be whole numbers or ranges parted by commas"
            raise UserError("sweep", must, repr(text), "write 0-9, or 0,3,5-7")
        read += range(first, last + 1)
    return read


def settings(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read words such as ``inner.lr=0.1,0.4``: path -> values. A value is JSON where it can be, else text.

    Raises:
        UserError: a word of another form; a path that is no setting, or is named twice.
    """
    read: dict[str, list[Any]] = {}
    for text in texts:
        typed, sign, values = text.partition("=")
        if not sign or not values:
            must = "--set must be PATH=VALUE,VALUE ..."
            raise UserError("sweep", must, repr(text), "write --set inner.lr=0.1,0.4")
        path = full_path(typed.strip())
        if path in read:
            raise UserError("sweep", "every setting must be named once", typed, "part its values by commas")
        read[path] = [_value(each) for each in _parted(values)]
    return read


def full_path(typed: str) -> str:
    """Return the whole path of a setting: ``method.inner.lr`` for ``inner.lr``.

    Raises:
        UserError: no such setting; the nearest are named.
    """
    known = {_short(path): path for path in _paths(to_dict(Experiment())) if path not in ("seed", "recipe")}
    if _short(typed) not in known:
        raise unknown("sweep", "setting", typed, known)
    return known[_short(typed)]


def _short(path: str) -> str:
    return next((path.removeprefix(each) for each in SHORT if path.startswith(each)), path)


def _paths(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the dotted paths of all values that are no tables themselves."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def _parted(text: str) -> list[str]:
    """Part at commas that are in no brackets."""
    return re.findall(r"(?:\[[^\]]*\]|[^,\[])+", text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def grid(base: Experiment, seeds: Sequence[int], values: Mapping[str, Sequence[Any]]) -> list[Experiment]:
    """Return an experiment for each combination of values and each seed, the seeds of a combination in a row.

    `values` are those of `settings`, by whole path. Another data set comes in its own size and levels.

    Raises:
        UserError: a value of the wrong type or out of range, an unknown word, or the same run twice.
    """
    made = [
        replace(one, seed=seed)
        for point in product(*values.values())
        for one in [_changed(base, dict(zip(values, point, strict=True)))]
        for seed in seeds
    ]
    name, times = Counter(map(run_name, made)).most_common(1)[0]
    if times > 1:
        raise UserError("sweep", "every run must differ from the others", f"{name} twice", "name each value once")
    return made


def _changed(base: Experiment, point: Mapping[str, Any]) -> Experiment:
    """Return the experiment with these values at these paths."""
    if "data.dataset" in point and point["data.dataset"] != base.data.dataset:
        base = replace(base, data=Data())
    whole = to_dict(base)
    for path, value in point.items():
        *rooms, name = path.split(".")
        table = whole
        for room in rooms:
            table = table[room]
        table[name] = value
    return from_dict(Experiment, whole, "sweep")
