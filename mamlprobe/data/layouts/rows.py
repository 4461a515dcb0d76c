"""Arrays of images and lists of labels that came from files: checked, and parted into classes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.array_pickles import read_pickle
from mamlprobe.data.layouts.class_lists import Published
from mamlprobe.data.layouts.layout_kind import AGAIN
from mamlprobe.data.reading.assembled import ArrayClass, Bytes, ClassImages
from mamlprobe.data.reading.class_layout import SPLITS

LARGEST_IMAGES = 2**34
"""Bytes of a file of many images: tieredImageNet's largest has half of them."""

LARGEST_LABELS = 2**27
"""Bytes of a file of labels."""

SIDE = 4096
"""Pixels of the side of an image."""

Labels = NDArray[np.int64]


def refuse(path: Path, must: str, got: object, advice: str = AGAIN) -> NoReturn:
    """Refuse a file, of which `must` says what must hold.

    Raises:
        UserError: always.
    """
    raise UserError("load_pool", f"{must} of {path}", got, advice)


def pickled(path: Path, *, most: int = LARGEST_IMAGES) -> dict[str, Any]:
    """Read a pickle that holds a dict.

    Raises:
        UserError: there is none, or it holds or calls something else.
    """
    must = f"{path} must be a whole pickle of arrays"
    values = read_pickle(path, where="load_pool", must=must, advice=AGAIN, most=most)
    if not isinstance(values, dict):
        raise UserError("load_pool", f"{path} must hold a dict", type(values).__name__, AGAIN)
    return values


def part(values: Mapping[str, Any], name: str, path: Path) -> Any:
    """Return an entry of a dict or archive.

    Raises:
        UserError: there is none of this name.
    """
    if name not in values:
        got = ", ".join(map(str, list(values)[:8])) or "nothing"
        raise UserError("load_pool", f"{path} must hold {name!r}", got[:200], AGAIN)
    return values[name]


def images_of(value: Any, name: str, path: Path) -> Bytes:
    """Return images [N, C, H, W], a view of [N, H, W, 3], [N, H, W, 1] or [N, H, W] uint8.

    Raises:
        UserError: another type or shape.
    """
    must = f"{name!r} must be images [N, H, W, 3] uint8"
    if not isinstance(value, np.ndarray):
        refuse(path, must, type(value).__name__)
    if value.dtype != np.uint8 or value.ndim not in (3, 4) or (value.ndim == 4 and value.shape[3] not in (1, 3)):
        refuse(path, must, f"{list(value.shape)} {value.dtype}")
    if not value.size or max(value.shape[1:3]) > SIDE:
        refuse(path, must, list(value.shape))
    return value[:, None] if value.ndim == 3 else value.transpose(0, 3, 1, 2)


def labels_of(value: Any, name: str, path: Path, count: int) -> Labels:
    """Return whole numbers [count].

    Raises:
        UserError: others, or another number of them.
    """
    must = f"{name!r} must be {count:,} whole numbers, one an image"
    if isinstance(value, list):
        if not all(type(each) is int and abs(each) < 2**31 for each in value):
            refuse(path, must, "something else among them")
        value = np.asarray(value, dtype=np.int64)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        refuse(path, must, f"{value.dtype} numbers" if isinstance(value, np.ndarray) else type(value).__name__)
    value = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
    if value.shape != (count,):
        refuse(path, must, list(value.shape))
    if int(value.max()) >= 2**31 or int(value.min()) <= -(2**31):
        refuse(path, must, "larger numbers")
    numbers: Labels = value.astype(np.int64)
    return numbers


def parted(
    images: Bytes, labels: Labels, split: str, name_of: Callable[[int], str]
) -> dict[tuple[str, str], ArrayClass]:
    """Part the rows by their labels; `name_of` tells the name of the class of a label."""
    order = np.argsort(labels, kind="stable")
    numbers, starts = np.unique(labels[order], return_index=True)
    rows = np.split(order, starts[1:])
    return {
        (split, name_of(int(number))): ArrayClass(parts=((images, each),))
        for number, each in zip(numbers, rows, strict=True)
    }


def numbered(split: str) -> Callable[[int], str]:
    """Return the names of classes of which the numbers alone are known: ``train007``, so that they sort as numbers."""
    return lambda number: f"{split}{number:03d}"


def counted(classes: ClassImages, published: Published) -> list[str]:
    """Say how a set differs in its numbers from the published one, if it does."""
    sizes: dict[str, list[int]] = {}
    for (split, _), images in classes.items():
        sizes.setdefault(split, []).append(len(images))
    sizes = {split: sizes[split] for split in SPLITS if split in sizes}
    same = all(
        split in published
        and len(each) == published[split][0]
        and (published[split][1] is None or set(each) == {published[split][1]})
        for split, each in sizes.items()
    )
    if same and sizes.keys() == published.keys():
        return []
    known = ", ".join(f"{split} {count}" + (f" x {each}" if each else "") for split, (count, each) in published.items())
    here = ", ".join(f"{split} {len(each)} x {_span(each)}" for split, each in sizes.items())
    return [f"other numbers of classes and images than published ({known}): {here}"]


def _span(sizes: list[int]) -> str:
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"
