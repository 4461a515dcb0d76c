"""The table of layouts, in the order in which they are looked for, before class folders."""

from pathlib import Path

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
from mamlprobe.data.layouts.layout_kind import Layout, Seen

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
