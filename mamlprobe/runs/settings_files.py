"""What stands in the small files of a run: its settings and where it comes from, checked as they are read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import schema, typed
from mamlprobe.borders.json_text import read_json
from mamlprobe.borders.regular_files import read_file
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.writing import write

FORMAT = 1
"""Number of the layout of config.json and env.json."""


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """The data of a run."""

    name: str
    source: str
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] = ()


IMPORTED = b"imported\n"
"""Content of the file "done" in a run of imported weights."""

ENV: dict[str, Any] = {
    **dict.fromkeys(("mamlprobe", "commit", "python", "torch", "numpy", "platform", "device", "kernels"), str | None),
    **dict.fromkeys(("library", "switches"), str | None),
    **dict.fromkeys(("threads", "chunk"), int | None),
    **dict.fromkeys(("recompute", "graph"), bool),
    **dict.fromkeys(("from", "failed"), int),
    "seeds": tuple[int, ...],
    "precision": str,
    "rule": str | None,
    "seconds": float,
    "data": _Facts,
    "earlier": list[dict[str, Any]],
    "assumed": tuple[str, ...],
    "understood": tuple[str, ...],
    "stated": tuple[str, ...],
    "trained_on": tuple[str, ...],
    "source": dict[str, Any] | None,
}
"""The types of the fields of env.json, and of each of its earlier stretches; there may be others."""

YOUNGER: dict[str, Any] = {"precision": "float32", "seconds": 0.0, "earlier": []}
"""Fields that an env.json of an earlier version does not have, with what held then."""


LONGEST_NAMES = 2**18
"""Characters of the names of training classes that are kept; a file of settings must stay small."""


def kept_names(names: Iterable[str]) -> list[str]:
    """Return the names of training classes as they are kept: all, or none if they are too long together."""
    known = list(names)
    return known if sum(map(len, known)) <= LONGEST_NAMES else []


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a config.json: all settings, and what the data decided."""
    described = schema(Experiment)
    image = {"type": "array", "prefixItems": [{"type": "integer", "minimum": 1}] * 3, "minItems": 3, "items": False}
    described["$defs"]["Experiment"]["properties"].update(
        {
            "format": {"const": FORMAT},
            "image": {"anyOf": [image, {"type": "null"}]},
            "classes": {"type": ["integer", "null"]},
        }
    )
    return described


def read_settings(path: Path) -> dict[str, Any]:
    """Read the fields of a config.json, all but the number of its format.

    Raises:
        UserError: no whole file of this format.
    """
    values = _read(path, advice="restore it or train the run again")
    return {name: value for name, value in values.items() if name != "format"}


def read_env(path: Path) -> dict[str, Any]:
    """Read the fields of an env.json, brought up to this version.

    Raises:
        UserError: no whole file of this format; a field of another type.
    """
    values = _read(path, advice="restore it, or delete it: where the run comes from is not known then")
    values |= {name: value for name, value in YOUNGER.items() if name not in values}
    _check(values, str(path))
    for number, each in enumerate(values["earlier"]):
        _check(each, f"{path}.earlier {number}")
    return values


def _check(values: dict[str, Any], where: str) -> None:
    """Check the types of the fields that are known."""
    for name, value in values.items():
        if name in ENV:
            typed(ENV[name], value, f"{where}.{name}")


def imported(path: Path) -> bool:
    """Tell whether this file, the mark of a finished run, says that its weights were imported.

    Raises:
        UserError: no regular file.
    """
    return read_file(str(path), path, most=2**10, advice="delete it and train the run again", follow=False) == IMPORTED


def _read(path: Path, *, advice: str) -> dict[str, Any]:
    values = read_json(path, where=str(path), advice=advice, follow=False)
    number = values.get("format")
    if type(number) is not int or number != FORMAT:
        raise UserError(str(path), f"the format must be {FORMAT}", number, "use the version that wrote it")
    return values


def runs_in(folder: Path) -> list[str]:
    """List the names of the runs in a folder; none if it cannot be read."""
    try:
        return sorted(each.parent.name for each in folder.glob("*/config.json"))
    except OSError:
        return []


def difference(existing: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the first setting that differs, with both values."""
    name = next(name for name in wanted if existing.get(name) != wanted[name])
    return f"{name} {existing.get(name)} instead of {wanted[name]}"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write the values, all or nothing."""
    write(path, (json.dumps(values, indent=2) + "\n").encode())
