"""learn2learn's algorithm from its unpacked source archive: nothing is built, installed or copied.

The package's own ``__init__`` imports compiled parts; so the two packages above the algorithm stand in as empty modules
that only say where their files lie.
"""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.cases import Missing
from mamlprobe.base.errors import UserError

NOT_INSTALLED = "not installed"


def algorithm(folder: Path | None) -> Any:
    """The class ``learn2learn.algorithms.MAML`` of the archive unpacked in `folder`.

    Raises:
        Missing: no folder is named.
        UserError: the folder does not hold the sources.
    """
    if folder is None:
        raise Missing(NOT_INSTALLED)
    sources = check(folder)
    for name, path in (("learn2learn", sources), ("learn2learn.algorithms", sources / "algorithms")):
        stand_in = ModuleType(name)
        stand_in.__path__ = [str(path)]
        sys.modules.setdefault(name, stand_in)
    return importlib.import_module("learn2learn.algorithms.maml").MAML


def check(folder: Path) -> Path:
    """The package's folder within `folder`.

    Raises:
        UserError: the algorithm is not there.
    """
    sources = (folder / "learn2learn").resolve()
    if not (sources / "algorithms" / "maml.py").is_file():
        must = "the folder must hold learn2learn/algorithms/maml.py"
        raise UserError("--learn2learn", must, folder, "unpack the package's source archive and name its folder")
    return sources


def version(folder: Path) -> str:
    """The version that the sources state."""
    text = (check(folder) / "_version.py").read_text()
    found = re.search(r"\d[\w.]*", text)
    return found.group() if found else "of unknown version"
