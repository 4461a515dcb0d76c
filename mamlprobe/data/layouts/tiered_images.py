"""tieredImageNet as Ren et al. give it: ``SPLIT_images_png.pkl`` or ``SPLIT_images.npz``, and ``SPLIT_labels.pkl``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.array_pickles import read_pickle
from mamlprobe.borders.arrays.numpy_files import read_npz
from mamlprobe.borders.arrays.pickled_values import text_of
from mamlprobe.data.layouts.class_lists import TIERED, class_list
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import (
    LARGEST_IMAGES,
    LARGEST_LABELS,
    counted,
    images_of,
    labels_of,
    numbered,
    part,
    parted,
    pickled,
    refuse,
)
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, FileClass, assembled
from mamlprobe.data.reading.encoded import encoded_class

PNG, ARRAYS = "png", "arrays"


def _see(path: Path) -> Seen | None:
    files: dict[str, Path] = {}
    for kind, pattern in ((ARRAYS, r"(train|val|test)_images\.npz"), (PNG, r"(train|val|test)_images_png\.pkl")):
        seen = named_files(path, pattern)
        for split, file in seen.files.items() if seen else ():
            files = {word: place for word, place in files.items() if word != f"{split} {ARRAYS}"}
            files[f"{split} {kind}"] = file
            if os.path.isfile(labels := file.with_name(f"{split}_labels.pkl")):
                files[f"{split} labels"] = labels
    return Seen(path=path, files=files) if files else None


def _read(seen: Seen, asked: Asked) -> Pool:
    """Read encoded images where there are some, else arrays, whose colours are blue, green, red."""
    classes: dict[tuple[str, str], ArrayClass | FileClass] = {}
    for word, path in seen.files.items():
        split, _, kind = word.partition(" ")
        if kind == "labels":
            continue
        labels = seen.files.get(f"{split} labels")
        if labels is None:
            must = f"{path} must have its labels beside it"
            raise UserError("load_pool", must, f"no {split}_labels.pkl", "get it too")
        values = pickled(labels, most=LARGEST_LABELS)
        if kind == PNG:
            classes |= _encoded(path, labels, values, split)
            continue
        must = f"{path} must be a whole .npz of plain arrays"
        arrays = read_npz(path, ("images",), where="load_pool", must=must, advice=AGAIN, most=LARGEST_IMAGES)
        images = images_of(part(arrays, "images", path), "images", path)[:, ::-1]
        numbers, name_of = _labels(values, labels, len(images), split)
        classes |= parted(images, numbers, split, name_of)
    about = f"tieredImageNet of {seen.path.name}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=counted(classes, TIERED))


def _encoded(path: Path, labels: Path, values: dict[str, Any], split: str) -> dict[tuple[str, str], FileClass]:
    must = f"{path} must be a whole pickle of images"
    images = read_pickle(path, where="load_pool", must=must, advice=AGAIN, most=LARGEST_IMAGES)
    if not isinstance(images, list) or not images:
        raise UserError("load_pool", f"{path} must hold a list of images", type(images).__name__, AGAIN)
    odd = [type(each).__name__ for each in images if not _is_bytes(each)]
    if odd:
        raise UserError("load_pool", f"{path} must hold encoded images", f"{odd[0]} among them", AGAIN)
    numbers, name_of = _labels(values, labels, len(images), split)
    return {
        (split, name_of(int(number))): encoded_class(path, images, np.flatnonzero(numbers == number).tolist())
        for number in np.unique(numbers)
    }


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, np.ndarray) and value.dtype == np.uint8)


def _labels(values: dict[str, Any], path: Path, count: int, split: str) -> tuple[np.ndarray, Callable[[int], str]]:
    """Return the labels, and the names of the classes: wnids where their words tell them, else words, else numbers."""
    name = next((each for each in ("label_specific", "labels") if each in values), "label_specific")
    labels = labels_of(part(values, name, path), name, path, count)
    if f"{name}_str" not in values:
        return labels, numbered(split)
    must = f"'{name}_str' must name the classes 0..{int(labels.max())}"
    try:
        texts = [text_of(each) for each in values[f"{name}_str"]]
    except (TypeError, ValueError):
        refuse(path, must, "something else")
    if int(labels.min()) < 0 or int(labels.max()) >= len(texts):
        refuse(path, must, f"{len(texts)} names for {int(labels.min())}..{int(labels.max())}")
    table = class_list("tieredimagenet")
    here = table[table["split"] == split]
    wnids = dict(zip(here["words"], here["wnid"], strict=True))
    known = [wnids.get(word.partition(",")[0].strip(), "") for word in texts]
    names = known if all(known) and len(set(known)) == len(known) else texts
    if len(set(names)) != len(names):
        names = [f"{word} {place}" for place, word in enumerate(texts)]
    return labels, names.__getitem__


LAYOUT = Layout(name="tieredImageNet", see=_see, read=_read)
