"""What a layout is: what tells it from the others, and how it is read."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.links import shown

AGAIN = "get the file again"
"""What to do about a damaged file."""

WORDS = {"validation": "val", "valid": "val", "novel": "test", "base": "train"}
"""Names of splits in files -> ours."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of `load_pool` that a reader takes."""

    size: int | None = None
    ink: int = 1
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What lies at a path in one layout."""

    path: Path
    files: Mapping[str, Path]
    """Word -> the file or folder that it stands for; all that is read lies at or below these."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which others keep a data set."""

    name: str
    """What it is, for messages and sources of pools."""
    see: Callable[[Path], Seen | None]
    """Look at a folder or file by the names of files alone; None if it is not this layout."""
    read: Callable[[Seen, Asked], Pool]
    lists: tuple[str, ...] = field(default=())
    """Splits of the classes to choose from."""
    ink: bool = False
    """Whether drawings may be bright or dark."""


def names_in(path: Path) -> tuple[Path, list[str]]:
    """Return the folder and the names in it that are not hidden, sorted; of a file its own name alone."""
    if not os.path.isdir(path):
        return path.parent, [path.name]
    try:
        return path, sorted(filter(shown, os.listdir(path)))
    except OSError:
        return path, []


def named_files(path: Path, pattern: str) -> Seen | None:
    """Find the files at or right in a path whose names match; the words are the first group, splits by our names.

    Raises:
        UserError: two stand for the same split.
    """
    folder, names = names_in(path)
    files: dict[str, Path] = {}
    for name in names:
        known = re.fullmatch(pattern, name, re.IGNORECASE)
        if known is None or not os.path.isfile(folder / name):
            continue
        word = known[1].lower()
        word = WORDS.get(word, word)
        if word in files:
            got = f"{files[word].name} and {name}"
            raise UserError("load_pool", f"split {word} of {path} must be one file", got, "move one of them away")
        files[word] = folder / name
    return Seen(path=path, files=files) if files else None
