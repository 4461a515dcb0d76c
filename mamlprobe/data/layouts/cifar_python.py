"""CIFAR-100 as its authors give it, ``cifar-100-python``, and two few-shot sets made of it: CIFAR-FS and FC100."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.array_pickles import parse_pickle
from mamlprobe.borders.arrays.pickled_values import text_of
from mamlprobe.borders.arrays.tar_entries import UNPACKED, read_tar
from mamlprobe.borders.pickles import Foreign
from mamlprobe.data.layouts.class_lists import CIFAR_FS, FC100, class_list
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen
from mamlprobe.data.layouts.rows import Labels, counted, labels_of, part, pickled, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, Bytes, assembled

SIDE, CLASSES = 32, 100
NAMES = ("train", "test", "meta")
ARCHIVE = "cifar-100-python.tar.gz"
SETS = {"cifar-fs": ("cifar_fs", "CIFAR-FS", CIFAR_FS), "fc100": ("fc100", "FC100", FC100)}
"""Split -> the column of its list, its name, its numbers."""


def stated(asked: Asked, path: Path, choices: tuple[str, ...]) -> str:
    """Return the split that was asked for.

    Raises:
        UserError: none was, and there are several.
    """
    if asked.split is None:
        must = f"a split of {path} must be chosen"
        raise UserError("load_pool", must, "none", f"state split, one of {', '.join(choices)}")
    return asked.split


def _see(path: Path) -> Seen | None:
    if os.path.isfile(path):
        return Seen(path=path, files={"archive": path}) if path.name.lower() == ARCHIVE else None
    for folder in (path, path / "cifar-100-python"):
        files = {name: folder / name for name in NAMES if os.path.isfile(folder / name)}
        if {"train", "meta"} <= files.keys() or {"test", "meta"} <= files.keys() or len(files) == 2:
            return Seen(path=path, files=files)
    archive = path / ARCHIVE
    return Seen(path=path, files={"archive": archive}) if os.path.isfile(archive) else None


def _read(seen: Seen, asked: Asked) -> Pool:
    """Join train and test, 600 images a class, and part the classes by the list that is asked for."""
    column, name, published = SETS[stated(asked, seen.path, LAYOUT.lists)]
    parts = _parts(seen)
    if not parts:
        raise UserError("load_pool", f"{seen.path} must hold train and test of CIFAR-100", "neither", AGAIN)
    notes = [f"only {each} of CIFAR-100 is there" for each in parts] if len(parts) == 1 else []
    classes: dict[tuple[str, str], ArrayClass] = {}
    table = class_list("cifar100")
    for fine, number, split in zip(table["fine"], table["fine_id"], table[column], strict=True):
        rows = [(images, np.flatnonzero(labels == number)) for images, labels in parts.values()]
        if some := tuple((images, each) for images, each in rows if len(each)):
            classes[split, fine] = ArrayClass(parts=some)
    about = f"{name}, made of CIFAR-100 in {seen.path.name}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=[*notes, *counted(classes, published)])


def _parts(seen: Seen) -> dict[str, tuple[Bytes, Labels]]:
    """Return images and labels of train and test, those that are there."""
    archive = seen.files.get("archive")
    if archive is None:
        values = {path: pickled(path, most=UNPACKED) for path in seen.files.values()}
    else:
        must = f"{archive} must be a whole .tar.gz"
        contents = read_tar(archive, NAMES, where="load_pool", must=must, advice=AGAIN, most=UNPACKED)
        values = {archive / name: _unpacked(data, archive / name) for name, data in contents.items()}
    places = {path.name: path for path in values}
    if "meta" in places:
        _check_names(values[places["meta"]], places["meta"])
    return {name: _images(values[places[name]], places[name]) for name in ("train", "test") if name in places}


def _unpacked(data: bytes, place: Path) -> dict[str, Any]:
    must = f"{place} must be a whole pickle of arrays"
    try:
        values = parse_pickle(io.BytesIO(data), len(data))
    except Foreign as error:
        raise UserError("load_pool", must, error, "do not trust this file, which wants code to be run") from None
    except ValueError as error:
        raise UserError("load_pool", must, error, AGAIN) from None
    if not isinstance(values, dict):
        raise UserError("load_pool", f"{place} must hold a dict", type(values).__name__, AGAIN)
    return values


def _images(values: dict[str, Any], place: Path) -> tuple[Bytes, Labels]:
    data = part(values, "data", place)
    must = f"'data' must be images [N, {3 * SIDE * SIDE}] uint8"
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or not len(data):
        refuse(place, must, f"{list(data.shape)} {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__)
    if data.shape[1] != 3 * SIDE * SIDE:
        refuse(place, must, list(data.shape))
    labels = labels_of(part(values, "fine_labels", place), "fine_labels", place, len(data))
    if int(labels.min()) < 0 or int(labels.max()) >= CLASSES:
        refuse(place, f"'fine_labels' must lie in 0..{CLASSES - 1}", f"{int(labels.min())}..{int(labels.max())}")
    return data.reshape(len(data), 3, SIDE, SIDE), labels


def _check_names(values: dict[str, Any], place: Path) -> None:
    """Compare the names of the classes with those of the lists."""
    names, must = part(values, "fine_label_names", place), "'fine_label_names' must be CIFAR-100's"
    try:
        texts = [text_of(each) for each in names]
    except (TypeError, ValueError):
        refuse(place, must, "something else")
    table = class_list("cifar100").sort_values("fine_id")["fine"].tolist()
    if texts != table:
        odd = next((each for each in texts if each not in table), f"{len(texts)} names")
        refuse(place, must, odd[:80])


LAYOUT = Layout(name="CIFAR-100", see=_see, read=_read, lists=tuple(SETS))
