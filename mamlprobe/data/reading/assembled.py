"""From classes of images, files or rows of arrays, to a pool: order, colour, size and remarks, alike for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import Tree
from mamlprobe.data.reading.class_layout import SPLITS
from mamlprobe.data.reading.images import BILINEAR, Look, look, pixels

SIZES = {1: 28, 3: 84}
"""Channels -> side of the images when no size is stated."""

NOTE = "; note: "
"""Before each remark in the source of a pool: what was left out, or looks wrong."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FileClass:
    """Images of one class that are files of a tree."""

    tree: Tree
    files: Sequence[str]
    inverted: bool = False
    """Whether brightness is turned round."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)


@dataclass(frozen=True, kw_only=True)
class ArrayClass:
    """Images of one class that are rows of arrays [N, C, H, W] uint8, each with the numbers of its rows."""

    parts: tuple[tuple[Bytes, NDArray[np.int64]], ...]
    inverted: bool = False
    """Whether brightness is turned round."""

    def __len__(self) -> int:
        """Return the number of images."""
        return sum(len(rows) for _, rows in self.parts)


ClassImages = Mapping[tuple[str, str], FileClass | ArrayClass]
"""(split, class) -> its images."""


def assembled(
    path: Path, classes: ClassImages, *, size: int | None, about: str, notes: Sequence[str] = (), split: bool = True
) -> Pool:
    """Make a pool: classes by split and name, items in their order; grey if every image is, else RGB.

    Images are resized (bilinear, Pillow) to `size`: 28 for grey, 84 for RGB. `about` and `notes` are for its source,
    and whether classes were `split` at all.

    Raises:
        UserError: a class in two splits; an image damaged, or with numbers that no scale fits.
    """
    keys = sorted(classes, key=lambda key: (SPLITS.index(key[0]), key[1]))
    names = sorted(name for _, name in keys)
    for name, following in pairwise(names):
        if name == following:
            must = f"class {name!r} of {path} must lie in one split"
            raise UserError("load_pool", must, "two", "hold out whole classes")
    images, how = _pixels([classes[key] for key in keys], size)
    channels, side = images.shape[2:4]
    counts = [len(classes[key]) for key in keys]
    return Pool(
        name=path.stem,
        images=torch.from_numpy(images),
        counts=torch.tensor(counts, device="cpu"),
        class_names=tuple(name for _, name in keys),
        splits={
            split: torch.tensor([i for i, key in enumerate(keys) if key[0] == split], device="cpu")
            for split in dict.fromkeys(split for split, _ in keys)
        },
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        source=f"{about}, resized to {side} x {side} (bilinear){how}"
        + ("" if split else "; no splits given, so every class is in split test")
        + "".join(NOTE + each for each in (*notes, *_flat(how), *_alike(images, counts))),
    )


def _pixels(classes: Sequence[FileClass | ArrayClass], size: int | None) -> tuple[Bytes, Look]:
    """Read images ``[class, item, C, size, size]``, padded with zeros, and return also how they became bytes."""
    files = [(each.tree, file) for each in classes if isinstance(each, FileClass) for file in each.files]
    channels, how = look(files) if files else (1, Look())
    shapes = [part.shape[1] for each in classes if isinstance(each, ArrayClass) for part, _ in each.parts]
    channels = max([channels, *shapes])
    side = size or SIZES[channels]
    images = np.zeros((len(classes), max(map(len, classes)), channels, side, side), dtype=np.uint8)
    for into, each in zip(images, classes, strict=True):
        if isinstance(each, ArrayClass):
            _copy(into, each)
        else:
            for item, file in enumerate(each.files):
                into[item] = pixels(each.tree, file, channels=channels, size=side, resample=BILINEAR, how=how)
        if each.inverted:
            np.subtract(255, into[: len(each)], out=into[: len(each)])
    return images, how


def _copy(into: Bytes, images: ArrayClass) -> None:
    """Write the rows of a class to the first items, resized where they have another size."""
    place, side = 0, into.shape[-1]
    for array, rows in images.parts:
        target = into[place : place + len(rows)]
        place += len(rows)
        if array.shape[2:] == (side, side):
            target[:] = array[rows]
        else:
            for item, row in zip(target, rows, strict=True):
                item[:] = resized(array[row], side)


def resized(image: Bytes, side: int) -> Bytes:
    """Resize an image [C, H, W] as one in a file is."""
    picture: Any = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    small = Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), BILINEAR)
    return np.asarray(small, dtype=np.uint8).reshape(side, side, len(image)).transpose(2, 0, 1)


def _flat(how: Look) -> list[str]:
    """Note images that are lost because others have larger numbers."""
    if not how.lost:
        return []
    return [f"{len(how.lost)} images come out as good as even beside brighter ones, the first {how.lost[0]}"]


def _alike(images: Bytes, counts: list[int]) -> list[str]:
    """Note that all images are the same one, if there are several and they are."""
    first = images[0, 0]
    if sum(counts) == 1 or any((of[:count] != first).any() for of, count in zip(images, counts, strict=True)):
        return []
    return [f"all {sum(counts)} images come out alike"]
