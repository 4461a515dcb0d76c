"""What torchmeta keeps of its data sets: HDF5 files, and JSON lists of the classes of each split."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.hdf5_files import Hdf5, opened_hdf5
from mamlprobe.borders.json_text import parse_json
from mamlprobe.borders.regular_files import read_file
from mamlprobe.data.layouts.characters import CHARACTER_SPLITS, CHARACTERS, character_splits, known_characters
from mamlprobe.data.layouts.class_lists import CIFAR_FS, FC100, Published, published_for
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import LARGEST_IMAGES, counted, images_of, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, FileClass, assembled
from mamlprobe.data.reading.encoded import encoded_class

LISTS: dict[str, Published] = {"cifar-fs": CIFAR_FS, "fc100": FC100}
"""Folder of lists beside CIFAR-100's data -> the numbers of the set."""

PARTS = ("images_background", "images_evaluation")


@contextmanager
def _opened(path: Path) -> Iterator[Hdf5]:
    must = f"{path} must be a whole HDF5 file of images"
    with opened_hdf5(path, where="load_pool", must=must, advice=AGAIN, most=LARGEST_IMAGES) as file:
        yield file


def _labels(path: Path) -> list[str]:
    """Read a list of classes, each text or a list of text, whose parts are joined."""
    data = read_file("load_pool", path, most=2**20, advice=AGAIN)
    must = f"{path} must be a list of classes, each once"
    try:
        values = parse_json(data)
    except ValueError as error:
        raise UserError("load_pool", must, error, AGAIN) from None
    rows = [each if isinstance(each, list) else [each] for each in values] if isinstance(values, list) else []
    names = ["/".join(row) for row in rows if row and all(isinstance(each, str) for each in row)]
    if not names or len(names) != len(rows) or len(set(names)) != len(names):
        raise UserError("load_pool", must, f"{len(rows)} entries, {len(set(names))} of them right", AGAIN)
    return names


def _images(file: Hdf5, name: str, path: Path) -> ArrayClass | FileClass:
    """Read a class: an array of images, or encoded ones."""
    values = file.read(name)
    if not len(values):
        refuse(path, f"class {name!r} must hold images", "none")
    if isinstance(values, list):
        return encoded_class(path / name, values, range(len(values)))
    return ArrayClass(parts=((images_of(values, name, path), np.arange(len(values))),))


def _see_splits(path: Path) -> Seen | None:
    seen = named_files(path, r"(train|val|test)_data\.hdf5")
    if seen is None:
        return None
    lists = {split: file.with_name(f"{split}_labels.json") for split, file in seen.files.items()}
    return Seen(path=path, files={**seen.files, **{f"{k} labels": v for k, v in lists.items() if os.path.isfile(v)}})


def _read_splits(seen: Seen, asked: Asked) -> Pool:
    """Read ``SPLIT_data.hdf5``, a dataset a class in the group ``datasets``, and ``SPLIT_labels.json``."""
    classes: dict[tuple[str, str], Any] = {}
    for split in ("train", "val", "test"):
        if split not in seen.files:
            continue
        path, labels = seen.files[split], seen.files.get(f"{split} labels")
        with _opened(path) as file:
            names = file.names("datasets") if labels is None else _labels(labels)
            if not names:
                raise ValueError("no group 'datasets' with classes")
            classes |= {(split, name): _images(file, f"datasets/{name}", path) for name in names}
    published = published_for({name for _, name in classes})
    about = f"torchmeta's files in {seen.path.name}"
    notes = counted(classes, published) if published else ()
    return assembled(seen.path, classes, size=asked.size, about=about, notes=notes)


def _see_lists(path: Path) -> Seen | None:
    for folder in (path, path / "cifar100"):
        lists = {name: folder / name for name in LISTS if os.path.isdir(folder / name)}
        if lists and os.path.isfile(folder / "data.hdf5"):
            return Seen(path=path, files={**lists, "data": folder / "data.hdf5"})
    return None


def _read_lists(seen: Seen, asked: Asked) -> Pool:
    """Read CIFAR-100's ``data.hdf5``, COARSE/FINE, by the lists of a set: pairs, or coarse classes as a whole."""
    present = [name for name in LISTS if name in seen.files]
    split = asked.split or (present[0] if len(present) == 1 else "")
    if split not in present:
        advice = f"state split, one of {', '.join(present)}"
        raise UserError("load_pool", f"a split of {seen.path} must be chosen", split or "none", advice)
    lists = named_files(seen.files[split], r"(train|val|test)_labels\.json")
    if lists is None:
        raise UserError("load_pool", f"{seen.files[split]} must hold train_labels.json and so on", "none", AGAIN)
    path = seen.files["data"]
    classes: dict[tuple[str, str], Any] = {}
    with _opened(path) as file:
        for part, place in lists.files.items():
            for label in _labels(place):
                coarse, _, fine = label.partition("/")
                for name in [fine] if fine else file.names(coarse):
                    if any(each == name for _, each in classes):
                        refuse(place, "classes must be in one split, once", name[:80])
                    classes[part, name] = _images(file, f"{coarse}/{name}", path)
    if not classes:
        refuse(path, "classes of the lists must be there", "none")
    about = f"{split} of torchmeta's files in {seen.path.name}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=counted(classes, LISTS[split]))


def _see_omniglot(path: Path) -> Seen | None:
    for folder in (path, path / "omniglot"):
        if os.path.isfile(folder / "data.hdf5") and not any(os.path.isdir(folder / each) for each in LISTS):
            return Seen(path=path, files={"data": folder / "data.hdf5"})
    return None


def _read_omniglot(seen: Seen, asked: Asked) -> Pool:
    """Read Omniglot's ``data.hdf5``, PART/ALPHABET/CHARACTER, whose ink is bright."""
    path, split = seen.files["data"], asked.split or "vinyals"
    known, names, images = known_characters(), list[str](), list[Any]()
    with _opened(path) as file:
        for part in PARTS:
            for alphabet in file.names(part):
                for character in file.names(f"{part}/{alphabet}"):
                    names.append(f"{alphabet}/{character}")
                    if names[-1] not in known:
                        refuse(path, "characters must be Omniglot's", names[-1][:80])
                    drawings = _images(file, f"{part}/{names[-1]}", path)
                    if not isinstance(drawings, ArrayClass):
                        refuse(path, "characters must be arrays of drawings", names[-1])
                    images.append(ArrayClass(parts=drawings.parts, inverted=asked.ink == 0))
    if not names:
        refuse(path, f"{' and '.join(PARTS)} must be there", "none of their characters")
    classes = dict(zip(zip(character_splits(names, split), names, strict=True), images, strict=True))
    notes = counted(classes, CHARACTERS[split])
    about = f"Omniglot in torchmeta's {seen.path.name}, ink {asked.ink}, split {split}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=notes)


LAYOUT_SPLITS = Layout(name="torchmeta's files", see=_see_splits, read=_read_splits)
LAYOUT_LISTS = Layout(name="CIFAR-100 of torchmeta", see=_see_lists, read=_read_lists, lists=tuple(LISTS))
LAYOUT_OMNIGLOT = Layout(
    name="Omniglot of torchmeta", see=_see_omniglot, read=_read_omniglot, lists=CHARACTER_SPLITS, ink=True
)
