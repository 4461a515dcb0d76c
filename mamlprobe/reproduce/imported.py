"""The files that a script's result depends on: its own, and those of the package that it imports, and so on."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mamlprobe

HOMES: dict[str, str] = mamlprobe._HOME
PACKAGE = Path(mamlprobe.__file__).parent


def imported(script: str) -> list[Path]:
    """List the files of the package that the text of a script imports, directly or not, in order.

    Imports inside functions count, and so do names of ``import mamlprobe as mp``. The kernels' sources belong to the
    module that builds them.
    """
    files: set[Path] = set()
    waiting = set(_imported(script))
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting |= set(_of_file(path))
    if PACKAGE / "native" / "build.py" in files:
        files |= {each for each in (PACKAGE / "native" / "cpp").iterdir() if each.is_file()}
    return sorted(files)


@cache
def _of_file(path: Path) -> tuple[Path, ...]:
    if path == PACKAGE / "__init__.py":
        return ()  # it names every public module, and imports each when it is asked for
    return tuple(_imported(path.read_text()))


def _imported(text: str) -> Iterator[Path]:
    tree = ast.parse(text)
    aliases = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name == "mamlprobe":
                    aliases.add(each.asname or each.name)
                yield from _files(each.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield from _files(f"{node.module}.{each.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield from _files(f"mamlprobe.{HOMES.get(node.attr, node.attr)}")


def _files(dotted: str) -> Iterator[Path]:
    """Yield the files of a dotted name: its module, and the ``__init__.py`` of each package that contains it."""
    top, *parts = dotted.split(".")
    if top != "mamlprobe":
        return
    place = PACKAGE
    yield place / "__init__.py"
    for part in parts:
        if (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
        place = place / part
        if not place.is_dir():
            return
        yield place / "__init__.py"
