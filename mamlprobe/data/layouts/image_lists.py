"""Images in one folder, or in class folders, and lists train.csv and so on: of Ravi, FEAT, LibFewShot, easyfsl.

The columns are ``filename,label`` or ``class_name,image_name``. Images lie in ``images`` beside the lists or one folder
up, or right there.
"""

import os
from pathlib import Path, PurePosixPath

from mamlprobe.base.errors import UserError
from mamlprobe.borders.csv_tables import LARGEST_TABLE, Schema, parse_table
from mamlprobe.borders.regular_files import read_file
from mamlprobe.borders.table_columns import TEXT
from mamlprobe.data.layouts.class_lists import published_for
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import counted
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import Tree
from mamlprobe.data.reading.assembled import FileClass, assembled

COLUMNS = (("filename", "label"), ("image_name", "class_name"))
"""Columns of the image and of its class."""

LISTS = ("", "split", "splits")
"""Folders of the lists."""

HEAD = 2**10
"""Bytes in which the first rows of a list lie."""


def _see(path: Path) -> Seen | None:
    """Look for lists with such columns, and for the folder in which their first image lies."""
    if not os.path.isdir(path):
        return None
    for folder in (path / name for name in LISTS):
        lists = named_files(folder, r"(train|val|validation|test|base|novel)\.csv")
        if lists is None:
            continue
        files = {split: file for split, file in lists.files.items() if _columns(file)}
        places = [folder / "images", folder.parent / "images", path / "images", folder, folder.parent]
        existing = [place for place in places if os.path.isdir(place)]
        if not files:
            continue
        good = [place for place in existing if any(_first(file, place) for file in files.values())]
        named = [place for place in existing if place.name == "images"]
        if good or named:
            return Seen(path=path, files={**files, "images": (good or named)[0]})
    return None


def _head(file: Path) -> list[list[str]]:
    try:
        with open(file, "rb") as opened:
            text = opened.read(HEAD).decode("utf-8-sig", "replace")
    except OSError:
        return []
    return [[cell.strip(' "') for cell in line.split(",")] for line in text.splitlines()[:2]]


def _columns(file: Path) -> tuple[str, str] | None:
    """Return the columns of the image and of its class that a list has."""
    names = (_head(file) or [[]])[0]
    return next((pair for pair in COLUMNS if set(pair) <= set(names)), None)


def _first(file: Path, place: Path) -> bool:
    """Tell whether the first image of a list lies in a folder."""
    rows, columns = _head(file), _columns(file)
    if columns is None or len(rows) < 2 or len(rows[0]) != len(rows[1]):
        return False
    row = dict(zip(*rows, strict=True))
    return _place(place, row[columns[0]], row[columns[1]]) is not None


def _place(folder: Path, image: str, label: str) -> str | None:
    """Return the name of an image below a folder: right there, or in the folder of its class."""
    parts = PurePosixPath(image).parts
    if not image or image.startswith(("/", "\\")) or ".." in parts or "\0" in image + label or "/" in label:
        return None
    return next((name for name in (image, f"{label}/{image}") if os.path.isfile(folder / name)), None)


def _read(seen: Seen, asked: Asked) -> Pool:
    """Read the images that the lists name, a class by the order of their names."""
    base = seen.files["images"]
    taken: dict[str, tuple[str, str]] = {}
    for split, file in seen.files.items():
        if split != "images":
            _add(taken, split, file, base)
    files: dict[tuple[str, str], list[str]] = {}
    for name in sorted(taken):
        files.setdefault(taken[name], []).append(name)
    tree = Tree(path=base, files=tuple(sorted(taken)), folders=())
    classes = {key: FileClass(tree=tree, files=names) for key, names in files.items()}
    published = published_for({name for _, name in classes})
    notes = counted(classes, published) if published else ()
    return assembled(seen.path, classes, size=asked.size, about=f"images by the lists of {seen.path.name}", notes=notes)


def _add(taken: dict[str, tuple[str, str]], split: str, file: Path, base: Path) -> None:
    """Add the images of a list, name -> (split, class)."""
    data = read_file("load_pool", file, most=LARGEST_TABLE, advice=AGAIN)
    image, label = _columns(file) or COLUMNS[0]
    try:
        whole = data if data.endswith((b"\n", b"\r")) else data + b"\n"
        table = parse_table(whole, Schema(columns={image: TEXT, label: TEXT}, others=True))
    except ValueError as error:
        raise UserError("load_pool", f"{file} must be a list of images", error, AGAIN) from None
    if not len(table):
        raise UserError("load_pool", f"{file} must name images", "none", "fill it or delete it")
    lost = []
    for row_image, row_label in zip(table[image].tolist(), table[label].tolist(), strict=True):
        name = _place(base, row_image, row_label)
        if name is None:
            lost.append(row_image)
            continue
        if name in taken:
            must = f"{name} must be in one list of {file.parent}, once"
            raise UserError("load_pool", must, f"also in class {row_label!r} of {split}", "take it out of one")
        taken[name] = (split, row_label)
    if lost:
        got = f"{len(lost)} that are not, the first {lost[0]!r}"
        raise UserError("load_pool", f"images of {file} must lie in {base}", got, "put them there, or mend the list")


LAYOUT = Layout(name="images and lists", see=_see, read=_read)
