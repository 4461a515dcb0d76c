"""Analysis scripts as values: which there are in a folder of them, and what each says of itself."""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.reproduce.analysis import Analysis

HOME = "analyses"
"""Folder of this project's scripts."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """One module of a package of scripts; its `ANALYSIS` is imported when first asked for."""

    package: str
    """Dotted name of the package, as ``analyses``."""
    name: str

    @property
    def module(self) -> ModuleType:
        """Import the script."""
        return import_module(f"{self.package}.{self.name}")

    @property
    def analysis(self) -> Analysis:
        """Return what the script says of itself."""
        analysis: Analysis = self.module.ANALYSIS
        return analysis

    @property
    def text(self) -> str:
        """Read the script's source."""
        return inspect.getsource(self.module)

    @property
    def about(self) -> str:
        """Return the script's docstring in one line, and what its whiskers are."""
        return f"{' '.join((self.module.__doc__ or '').split())} {self.analysis.uncertainty}".strip()

    @property
    def alt(self) -> str:
        """Return the text for readers who do not see the picture: what it shows, in a sentence, and its whiskers."""
        lines = (self.module.__doc__ or "").strip().split("\n\n")[0]
        return f"{' '.join(lines.split())} {self.analysis.uncertainty}".strip()


def scripts_of(package: str, folder: Path) -> list[Script]:
    """List the scripts of the package in this folder, in the order that they give themselves."""
    stems = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    scripts = [Script(package=package, name=stem) for stem in stems]
    return sorted(scripts, key=lambda script: (script.analysis.order, script.name))


def shipped() -> list[Script]:
    """List the scripts that come with the package: in it where it was installed, beside it in its repository.

    Raises:
        UserError: they are in neither place.
    """
    package = Path(__file__).parents[1]
    inside, outside = package / HOME, package.parent / HOME
    if inside.is_dir():
        return scripts_of(f"{package.name}.{HOME}", inside)
    if not (outside / "__init__.py").is_file():
        raise UserError("reproduce", "the scripts must have come with the package", "none", "install mamlprobe again")
    if sys.path[:1] != [str(outside.parent)]:
        sys.path.insert(0, str(outside.parent))  # before any other folder of this name
    return scripts_of(HOME, outside)


def with_needs(scripts: Sequence[Script], every: Sequence[Script]) -> list[Script]:
    """Return these scripts and those of `every` whose tables they read, in the order of `every`."""
    names = {script.name for script in scripts}
    names |= {name for script in scripts for name in script.analysis.needs}
    return [script for script in every if script.name in names]


def chosen(scripts: Sequence[Script], wanted: Sequence[str], *, core: bool = False) -> list[Script]:
    """Select the `wanted` scripts, all of them if none is named; with `core`, only those of the core.

    Raises:
        UserError: an unknown name.
    """
    names = [script.name for script in scripts]
    for name in wanted:
        if name not in names:
            raise unknown("reproduce", "figure", name, names)
    selected = [script for script in scripts if not wanted or script.name in wanted]
    return [script for script in selected if not core or script.analysis.core]
