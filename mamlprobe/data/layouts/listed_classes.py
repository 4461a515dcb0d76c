"""CIFAR-FS as Bertinetto et al. give it: ``data/CLASS/IMAGE`` and lists of classes ``splits/bertinetto/SPLIT.txt``."""

import os
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import read_file
from mamlprobe.data.layouts.class_lists import CIFAR_FS
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import counted
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import opened
from mamlprobe.data.reading.assembled import FileClass, assembled

LARGEST = 2**20
"""Bytes of a list."""


def _see(path: Path) -> Seen | None:
    for folder in (path, path / "cifar100"):
        images, lists = folder / "data", folder / "splits" / "bertinetto"
        if os.path.isdir(images) and os.path.isdir(lists):
            seen = named_files(lists, r"(train|val|test)\.txt")
            return seen and Seen(path=path, files={**seen.files, "images": images})
    return None


def _read(seen: Seen, asked: Asked) -> Pool:
    base = seen.files["images"]
    classes: dict[tuple[str, str], FileClass] = {}
    with opened(base) as tree:
        files: dict[str, list[str]] = {}
        for name in tree.images():
            files.setdefault(name.rpartition("/")[0], []).append(name)
        for split, place in seen.files.items():
            if split == "images":
                continue
            for name in _names(place):
                if name not in files:
                    must = f"classes of {place} must be folders of images in {base}"
                    raise UserError("load_pool", must, f"no {name[:80]!r}", "put it there, or mend the list")
                classes[split, name] = FileClass(tree=tree, files=files[name])
        lost = sorted(files.keys() - {name for _, name in classes} - {""})
        notes = [f"left out {len(lost)} classes that no list names, the first {lost[0]}"] if lost else []
        notes += counted(classes, CIFAR_FS)
        about = f"images by the lists of {seen.path.name}"
        return assembled(seen.path, classes, size=asked.size, about=about, notes=notes)


def _names(place: Path) -> list[str]:
    data = read_file("load_pool", place, most=LARGEST, advice=AGAIN)
    names = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if len(set(names)) != len(names) or not names:
        got = "a class twice" if names else "none"
        raise UserError("load_pool", f"{place} must name classes, each once", got, "mend the list")
    return names


LAYOUT = Layout(name="CIFAR-FS in class folders", see=_see, read=_read)
