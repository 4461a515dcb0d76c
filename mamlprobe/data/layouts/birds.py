"""CUB: class folders of birds, with JSON lists of CloserLook or easyfsl, or parted by one of four published lists."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

from mamlprobe.base.errors import UserError
from mamlprobe.borders.json_text import read_json
from mamlprobe.data.layouts.class_lists import CUB_SPLITS, class_list, published_for
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files, names_in
from mamlprobe.data.layouts.rows import counted, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import Tree, opened
from mamlprobe.data.reading.assembled import FileClass, assembled

LARGEST = 2**26
"""Bytes of a list: CloserLook's of mini-ImageNet name each image by its whole path."""

HEAD = 2**8
"""Bytes in which a list says what it is."""

Images = dict[tuple[str, str], list[str]]
"""(split, class) -> names of its images."""


def _see(path: Path) -> Seen | None:
    """Look for lists beside images, else for folders that are all called as classes of CUB."""
    if not os.path.isdir(path):
        return None
    places = [path / "images", path / "CUB_200_2011" / "images"]
    images = next((place for place in places if os.path.isdir(place)), None)
    lists = named_files(path, r"(train|base|val|test|novel)\.json")
    files = {split: file for split, file in lists.files.items() if _is_list(file)} if lists else {}
    if files:
        return Seen(path=path, files={**files, "images": images or path})
    birds = images or path
    folders = [name for name in names_in(birds)[1] if os.path.isdir(birds / name)]
    known = set(class_list("cub")["class"])
    return Seen(path=path, files={"images": birds}) if folders and set(folders) <= known else None


def _is_list(file: Path) -> bool:
    try:
        with open(file, "rb") as opened_file:
            head = opened_file.read(HEAD)
    except OSError:
        return False
    return any(name in head for name in (b'"label_names"', b'"image_names"', b'"class_names"', b'"class_roots"'))


def _read(seen: Seen, asked: Asked) -> Pool:
    base = seen.files["images"]
    lists = {split: file for split, file in seen.files.items() if split != "images"}
    if asked.split is None and not lists:
        must = f"a split of {seen.path} must be chosen, since the published ones test on other classes,"
        raise UserError("load_pool", must, "none", f"state split, one of {', '.join(CUB_SPLITS)}")
    with opened(base) as tree:
        folders: dict[str, list[str]] = {}
        for name in tree.images():
            folders.setdefault(name.rpartition("/")[0], []).append(name)
        if asked.split is not None:
            images = _by_list(folders, asked.split, base)
        else:
            images = {}
            for split, file in lists.items():
                _add(images, split, file, tree, folders)
        classes = {key: FileClass(tree=tree, files=sorted(names)) for key, names in images.items()}
        published = published_for({name for _, name in classes})
        if asked.split:
            table = class_list("cub")[asked.split]
            published = {split: (int((table == split).sum()), None) for split in ("train", "val", "test")}
        notes = counted(classes, published) if published else ()
        about = f"images by the split {asked.split} of CUB" if asked.split else "images by the lists"
        return assembled(seen.path, classes, size=asked.size, about=f"{about} in {seen.path.name}", notes=notes)


def _by_list(folders: dict[str, list[str]], split: str, base: Path) -> Images:
    """Part the class folders by a published list."""
    table = class_list("cub")
    of = dict(zip(table["class"], table[split], strict=True))
    odd = [name for name in folders if name and name not in of]
    if odd or not folders.keys() - {""}:
        got = repr(odd[0][:80]) if odd else "none"
        raise UserError("load_pool", f"folders of {base} must be classes of CUB", got, "leave split out, or mend it")
    return {(of[name], name): files for name, files in folders.items() if name}


def _add(images: Images, split: str, file: Path, tree: Tree, folders: dict[str, list[str]]) -> None:
    """Add the classes of a list: class folders (easyfsl), or images with their labels (CloserLook)."""
    values = read_json(file, where="load_pool", must=f"{file} must be a whole list", advice=AGAIN, most=LARGEST)
    if "class_roots" in values:
        for root in _texts(values, "class_roots", file):
            name = PurePosixPath(root.replace("\\", "/")).name
            if name not in folders:
                refuse(file, f"class folders must be in {tree.path}", name[:80], "put it there, or mend the list")
            _new(images, split, name, file)[:] = folders[name]
        return
    names, known = _texts(values, "label_names", file), set(tree.files)
    labels, files = values.get("image_labels"), _texts(values, "image_names", file)
    good = isinstance(labels, list) and len(labels) == len(files)
    if not good or not all(type(each) is int and 0 <= each < len(names) for each in labels or ()):
        refuse(file, f"'image_labels' must be {len(files):,} whole numbers in 0..{len(names) - 1}", "others")
    here: dict[str, list[str]] = {}
    taken: set[str] = set()
    for image, label in zip(files, labels or (), strict=True):
        parts = PurePosixPath(image.replace("\\", "/")).parts
        place = next((each for each in ("/".join(parts[-2:]), parts[-1] if parts else "") if each in known), None)
        if place is None or place in taken:
            got = f"{image[-80:]!r} {'twice' if place else 'is not'}"
            refuse(file, f"images must be in {tree.path}, each once", got, "put it there, or mend the list")
        taken.add(place)
        here.setdefault(names[label], []).append(place)
    for name, each in here.items():
        _new(images, split, name, file)[:] = each


def _new(images: Images, split: str, name: str, file: Path) -> list[str]:
    """Return the empty list of a class that was not there before."""
    if any(each == name for _, each in images):
        refuse(file, "classes must be in one split, once", name[:80], "hold out whole classes")
    return images.setdefault((split, name), [])


def _texts(values: dict[str, Any], name: str, file: Path) -> list[str]:
    texts = values.get(name)
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        refuse(file, f"{name!r} must be a list of text", type(texts).__name__)
    return texts


LAYOUT = Layout(name="images and JSON lists, or CUB", see=_see, read=_read, lists=CUB_SPLITS)
