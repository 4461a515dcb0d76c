"""Which files lie below a folder or inside a zip, links followed wherever they lead to something real."""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from mamlprobe.base.errors import UserError

HOPS = 40
"""Links in a row that are followed before they count as leading nowhere."""


class Listing(NamedTuple):
    """Relative names with ``/`` between the parts, hidden ones left out."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    entries: dict[str, str]
    """File -> the entry of the zip that has its bytes, where links lead to it."""
    loops: tuple[str, ...]
    """Links that lead back to a folder they lie in; they are not followed."""


def shown(name: str) -> bool:
    """Tell whether no part of the name is hidden."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def in_folder(path: Path) -> Listing:
    """List what lies below a folder, in the order of the names.

    Raises:
        UserError: a link leads nowhere, or a folder cannot be read.
    """
    files: list[str] = []
    folders: list[str] = []
    loops: list[str] = []

    def visit(folder: Path, before: str, above: frozenset[tuple[int, int]]) -> None:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            got = error.strerror or type(error).__name__
            raise UserError("load_pool", f"{folder} must be readable", got, "give the right to read it") from None
        for name in filter(shown, names):
            place = folder / name
            if place.is_dir():
                facts = place.stat()
                key = (facts.st_dev, facts.st_ino)
                if key in above:
                    loops.append(before + name)
                    continue
                folders.append(before + name)
                visit(place, f"{before}{name}/", above | {key})
            elif place.is_file():
                files.append(before + name)
            elif place.is_symlink():
                _nowhere(before + name, path, os.readlink(place))

    facts = path.stat()
    visit(path, "", frozenset({(facts.st_dev, facts.st_ino)}))
    return Listing(tuple(files), tuple(folders), {}, tuple(loops))


def in_zip(archive: zipfile.ZipFile, path: Path) -> Listing:
    """List what lies inside a zip, in the order of the names.

    Raises:
        UserError: an entry or a link points out of the zip, or a link leads nowhere.
    """
    targets: dict[str, str] = {}
    for info in archive.infolist():
        parts = info.filename.replace("\\", "/").split("/")
        if not parts[0] or ".." in parts or ":" in parts[0]:
            _outside(path, repr(info.filename))
        if stat.S_ISLNK(info.external_attr >> 16):
            targets[info.filename] = _target(archive, info, path)
    names = sorted(filter(shown, archive.namelist()))
    files = [name for name in names if not name.endswith("/") and name not in targets]
    folders = [name.rstrip("/") for name in names if name.endswith("/")]
    if not targets:
        return Listing(tuple(files), tuple(folders), {}, ())
    entries, more, loops = _linked(set(files), set(folders), targets, path)
    return Listing(tuple(sorted(entries)), tuple(sorted(more)), entries, tuple(loops))


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str:
    try:
        return archive.read(info).decode(errors="replace")
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        must = f"link {info.filename} of {path} must be readable"
        raise UserError("load_pool", must, type(error).__name__, "get the file again") from None


def _linked(
    files: set[str], folders: set[str], targets: dict[str, str], path: Path
) -> tuple[dict[str, str], set[str], list[str]]:
    """List every file by the names it has through the links, every folder, and the links that lead back."""
    below: dict[str, set[str]] = {}
    for name in (*files, *folders, *targets):
        for whole in _upwards(name):
            below.setdefault(whole.rpartition("/")[0], set()).add(whole)
    entries: dict[str, str] = {}
    more: set[str] = set()
    loops: list[str] = []

    def visit(folder: str, before: str, above: tuple[str, ...]) -> None:
        for name in sorted(below.get(folder, ())):
            seen = before + name.rpartition("/")[2]
            real = _real(name, targets, path)
            if not shown(seen):
                continue
            if real in files:
                entries[seen] = real
            elif real in above or real == "":
                loops.append(seen)
            elif real in below or real in folders:
                more.add(seen)
                visit(real, f"{seen}/", (*above, real))
            else:
                _nowhere(seen, path, targets.get(name, real))

    visit("", "", ())
    return entries, more, loops


def _upwards(name: str) -> Iterator[str]:
    """Yield the name and those of the folders it lies in."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _real(name: str, targets: dict[str, str], path: Path) -> str:
    """Return the name with its links followed, inside the zip."""
    todo, done, hops = name.split("/"), list[str](), 0
    while todo:
        part = todo.pop(0)
        if part == ".." and not done:
            _outside(path, f"link {name!r} to {targets[name]!r}")
        if part == "..":
            done.pop()
        elif part not in ("", "."):
            done.append(part)
        target = targets.get("/".join(done))
        if target is None or not done:
            continue
        hops += 1
        if hops > HOPS:
            _nowhere(name, path, target)
        if target.startswith(("/", "\\")) or ":" in target.split("/")[0]:
            _outside(path, f"link {name!r} to {target!r}")
        done.pop()
        todo = [*target.split("/"), *todo]
    return "/".join(done)


def _nowhere(name: str, path: Path, target: str) -> NoReturn:
    must = f"link {name} of {path} must lead to a file or folder"
    raise UserError("load_pool", must, repr(target), "mend it or delete it")


def _outside(path: Path, got: str) -> NoReturn:
    raise UserError("load_pool", f"entries of {path} must stay inside it", got, "do not trust this zip")
