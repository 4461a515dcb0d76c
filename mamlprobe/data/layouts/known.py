"""The table of layouts, in the order in which they are looked for, before class folders; and sets found by name."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.data.layouts import (
    birds,
    cifar_python,
    image_caches,
    image_lists,
    label_pickles,
    listed_classes,
    omniglot_copies,
    target_archives,
    tiered_images,
    torchmeta_files,
)
from mamlprobe.data.layouts.class_lists import CUB_SPLITS
from mamlprobe.data.layouts.layout_kind import Layout, Seen, names_in

LAYOUTS: tuple[Layout, ...] = (
    image_caches.LAYOUT,
    label_pickles.LAYOUT_GIDARIS,
    label_pickles.LAYOUT_CIFAR,
    label_pickles.LAYOUT_PLAIN,
    target_archives.LAYOUT,
    cifar_python.LAYOUT,
    listed_classes.LAYOUT,
    tiered_images.LAYOUT,
    torchmeta_files.LAYOUT_SPLITS,
    torchmeta_files.LAYOUT_LISTS,
    torchmeta_files.LAYOUT_OMNIGLOT,
    image_lists.LAYOUT,
    birds.LAYOUT,
    omniglot_copies.LAYOUT_ARRAY,
    omniglot_copies.LAYOUT_FOLDERS,
)


def told_apart(path: Path) -> tuple[Layout, Seen] | None:
    """Return the first layout that lies at the path, and its files; None if it is none of these.

    Raises:
        UserError: two files stand for the same split.
    """
    return next(((layout, seen) for layout in LAYOUTS if (seen := layout.see(path)) is not None), None)


@dataclass(frozen=True, kw_only=True)
class Named:
    """A data set that is found by its name."""

    folders: tuple[str, ...]
    """Names of its folder, without signs and in small letters."""
    surely: tuple[Layout, ...]
    """Layouts whose files can be of no other set; they may lie right in the root."""
    maybe: tuple[Layout, ...] = ()
    """Layouts that are taken for this set in a folder of its name."""
    files: Mapping[str, str]
    """Layout -> how the names of its files begin, where those of other sets are called otherwise."""
    split: str | None = None
    """The split by which layouts that have it are read."""
    side: int | None = None
    """Pixels of the side of its images, if not the usual."""
    usual: str
    """What is looked for, for messages."""


_CIFAR = ("cifar100", "cifar100python", "cifar")
_LISTS = (torchmeta_files.LAYOUT_SPLITS, image_lists.LAYOUT, birds.LAYOUT)
_PICKLES = label_pickles.LAYOUT_CIFAR

NAMED: dict[str, Named] = {
    "miniimagenet": Named(
        folders=("miniimagenet", "mini"),
        surely=(image_caches.LAYOUT, label_pickles.LAYOUT_GIDARIS),
        maybe=(target_archives.LAYOUT, *_LISTS),
        files={},
        usual="mini-imagenet-cache-*.pkl, miniImageNet_category_split_*.pickle, or a folder miniimagenet with these, "
        "few-shot-*.npz, *_data.hdf5, images and train.csv, or train/CLASS/IMAGE",
    ),
    "tieredimagenet": Named(
        folders=("tieredimagenet", "tiered"),
        surely=(tiered_images.LAYOUT,),
        maybe=_LISTS,
        files={},
        usual="*_images_png.pkl or *_images.npz with *_labels.pkl, or a folder tieredimagenet with these, *_data.hdf5, "
        "images and train.csv, or train/CLASS/IMAGE",
    ),
    "cifar-fs": Named(
        folders=("cifarfs", *_CIFAR),
        surely=(cifar_python.LAYOUT, _PICKLES, torchmeta_files.LAYOUT_LISTS),
        maybe=(listed_classes.LAYOUT, label_pickles.LAYOUT_PLAIN),
        files={_PICKLES.name: "cifar_fs"},
        split="cifar-fs",
        side=cifar_python.SIDE,
        usual="cifar-100-python (a folder or .tar.gz), CIFAR_FS_*.pickle, or a folder cifar-fs or cifar100 with these, "
        "data.hdf5 and cifar-fs/*_labels.json, data/CLASS and splits/bertinetto, or train/CLASS/IMAGE",
    ),
    "fc100": Named(
        folders=("fc100", *_CIFAR),
        surely=(cifar_python.LAYOUT, _PICKLES, torchmeta_files.LAYOUT_LISTS),
        maybe=(target_archives.LAYOUT, label_pickles.LAYOUT_PLAIN),
        files={_PICKLES.name: "fc100"},
        split="fc100",
        side=cifar_python.SIDE,
        usual="cifar-100-python (a folder or .tar.gz), FC100_*.pickle, or a folder fc100 or cifar100 with these, "
        "few-shot-*.npz, data.hdf5 and fc100/*_labels.json, or train/CLASS/IMAGE",
    ),
    "cub": Named(
        folders=("cub", "cub2002011"),
        surely=(),
        maybe=_LISTS,
        files={},
        usual="a folder cub or CUB_200_2011 with images/CLASS/IMAGE, images and lists in JSON or csv, or *_data.hdf5",
    ),
}
"""Name -> where it is looked for."""

NAMED |= {
    f"cub-{split}": replace(
        NAMED["cub"],
        maybe=(birds.LAYOUT,),
        split=split,
        usual="a folder cub or CUB_200_2011 with images/CLASS/IMAGE",
    )
    for split in CUB_SPLITS
}


def place_of(name: str, root: Path) -> tuple[Path, str | None]:
    """Find a data set of this name in a root, in a folder of it, or in the current folder: path and implied split.

    Raises:
        UserError: nothing there is one.
    """
    known = NAMED[name]
    inside = names_in(root)[1] if os.path.isdir(root) else []
    plain = {each: re.sub(r"[\W_]", "", each.lower().removesuffix(".tar.gz")) for each in inside}
    folders = [root / each for word in known.folders for each in inside if plain[each] == word]
    for place in (*folders, root):
        seen_here = told_apart(place)
        allowed = known.surely if place == root else (*known.surely, *known.maybe)
        if seen_here is None or seen_here[0] not in allowed:
            continue
        layout, seen = seen_here
        start = known.files.get(layout.name, "")
        if all(file.name.lower().startswith(start) for file in seen.files.values()):
            return place, known.split if known.split in layout.lists else None
    named = [place for place in folders if os.path.isdir(place) and plain[place.name] not in _CIFAR]
    if named or os.path.isdir(name):
        return (named or [Path(name)])[0], None  # class folders, or what is no data set at all
    advice = f"put there one of: {known.usual}; or give another root, or a path"
    raise UserError("load_pool", f"files of {name} must lie in {root}", "none of them", advice)
