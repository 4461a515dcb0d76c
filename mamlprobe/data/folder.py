"""A user's own images: a folder or zip of class folders, with or without train / val / test above them."""

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.archives import BILINEAR, Tree, is_grey, opened, pixels
from mamlprobe.data.pool import Pool

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Name of a folder or zip -> split."""

SIZES = {1: 28, 3: 84}
"""Channels -> side of the images when no size is stated."""


def read_folder(path: Path, *, size: int | None = None) -> Pool:
    """The classes below a path: one class for each folder of images.

    Read are ``train/CLASS/IMAGE`` and so on, in a folder or in one zip (a folder around it all does not matter);
    ``train.zip``, ``val.zip``, ``test.zip`` in a folder, with entries ``SPLIT/CLASS/IMAGE`` or ``CLASS/IMAGE``; and
    ``CLASS/IMAGE`` without splits, which is all split "test". Beside splits, other folders are left out.
    Images are grey when every one is, else RGB, and resized (bilinear, Pillow) to `size`: 28 for grey, 84 for RGB.

    Raises:
        UserError: path, archive or image missing or damaged; a class without images or in two splits; no class at all.
    """
    zips = sorted(each for each in path.glob("*.zip") if each.stem in SPLITS) if path.is_dir() else []
    with ExitStack() as stack:
        found: dict[tuple[str, str], tuple[Tree, list[str]]] = {}
        for place in zips or [path]:
            tree = stack.enter_context(opened(place))
            for (split, name), files in _classes(tree).items():
                found[(SPLITS[place.stem] if zips else split, name)] = (tree, files)
        if not found:
            raise UserError(
                "load_pool", f"{path} must hold folders of images", "none", "lay it out as train/CLASS/IMAGE"
            )
        split_at_all = any(split for split, _ in found)
        chosen = {(split or "test", name): found[split, name] for split, name in found if split or not split_at_all}
        order = list(dict.fromkeys(SPLITS.values()))
        keys = sorted(chosen, key=lambda key: (order.index(key[0]), key[1]))
        names = sorted(name for _, name in keys)
        for name, following in pairwise(names):
            if name == following:
                must = f"class {name!r} of {path} must lie in one split"
                raise UserError("load_pool", must, "two", "hold out whole classes")
        images = _pixels([chosen[key] for key in keys], size)
    channels, side = images.shape[2:4]
    return Pool(
        name=path.stem,
        images=torch.from_numpy(images),
        counts=torch.tensor([len(chosen[key][1]) for key in keys]),
        class_names=tuple(name for _, name in keys),
        splits={
            split: torch.tensor([i for i, key in enumerate(keys) if key[0] == split])
            for split in dict.fromkeys(split for split, _ in keys)
        },
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        source=f"images of {path.name}, resized to {side} x {side} (bilinear)"
        + ("" if split_at_all else "; no splits given, so every class is in split test"),
    )


def _classes(tree: Tree) -> dict[tuple[str, str], list[str]]:
    """(split or "", class) -> names of its images."""
    found: dict[tuple[str, str], list[str]] = {}
    holding: set[str] = set()
    for file in tree.images():
        folders = file.split("/")[:-1]
        holding.update("/".join(folders[:depth]) for depth in range(1, len(folders) + 1))
        if _place(folders)[1]:
            found.setdefault(_place(folders), []).append(file)
    places = {folder: _place(folder.split("/")) for folder in tree.folders}
    split_at_all = any(split for split, _ in [*found, *places.values()])
    for folder, (split, name) in places.items():
        if name and folder not in holding and (split or not split_at_all):
            must = f"class folder {folder} of {tree.path} must hold images"
            raise UserError("load_pool", must, "none", "fill it or delete it")
    return found


def _place(folders: list[str]) -> tuple[str, str]:
    """(split or "", class) of the files in these nested folders; class "" when they lie above the classes."""
    at = next((depth for depth, folder in enumerate(folders) if folder in SPLITS), None)
    return ("", "/".join(folders)) if at is None else (SPLITS[folders[at]], "/".join(folders[at + 1 :]))


def _pixels(classes: list[tuple[Tree, list[str]]], size: int | None) -> np.ndarray:
    """``[class, item, C, size, size]`` uint8, padded with zeros."""
    channels = 1 if all(is_grey(tree, file) for tree, files in classes for file in files) else 3
    side = size or SIZES[channels]
    most = max(len(files) for _, files in classes)
    images = np.zeros((len(classes), most, channels, side, side), dtype=np.uint8)
    for into, (tree, files) in zip(images, classes, strict=True):
        for item, file in enumerate(files):
            into[item] = pixels(tree, file, channels=channels, size=side, resample=BILINEAR)
    return images
