"""A user's own images: a folder or zip of class folders, with or without train / val / test above them."""

from contextlib import ExitStack
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import Tree, opened
from mamlprobe.data.reading.assembled import FileClass, assembled
from mamlprobe.data.reading.class_layout import laid_out, split_of, splits_of
from mamlprobe.data.reading.links import shown

ClassFiles = dict[tuple[str, str], tuple[Tree, list[str]]]
"""(split, class) -> the tree and the names of its images."""


def read_folder(path: Path, *, size: int | None = None) -> Pool:
    """Read the classes below a path: one class for each folder of images.

    Layouts: ``train/CLASS/IMAGE`` and so on, in a folder or in one zip (a folder around it all does not matter);
    ``train.zip``, ``val.zip``, ``test.zip`` in a folder, with entries ``SPLIT/CLASS/IMAGE`` or ``CLASS/IMAGE``; and
    ``CLASS/IMAGE`` without splits, which is all split "test". Splits may have other common names (see `class_layout`).
    Links are followed. What is left out, and images that are all alike, are noted in the pool's source.
    Images are grey when every one is, else RGB, and resized (bilinear, Pillow) to `size`: 28 for grey, 84 for RGB;
    `images` says what becomes of transparency and of numbers of more than 8 bits.

    Raises:
        UserError: path, archive, link or image missing or damaged; a class without images or in two splits; no class at
            all; folders of which it is not clear whether they are splits; numbers that no scale fits.
    """
    with ExitStack() as stack:
        zips, notes = _zips(path)
        classes, more = _in_zips(path, zips, stack) if zips else _in_one(path, stack)
        return assembled(
            path,
            {
                (split or "test", name): FileClass(tree=tree, files=files)
                for (split, name), (tree, files) in classes.items()
            },
            size=size,
            about=f"images of {path.name}",
            notes=(*notes, *more),
            split=any(split for split, _ in classes),
        )


def _zips(path: Path) -> tuple[dict[Path, str], list[str]]:
    """Return zips that are named like splits -> split, and a note on what is left out."""
    if not path.is_dir():
        return {}, []
    inside = sorted(each for each in path.iterdir() if shown(each.name))
    zips = [each for each in inside if each.suffix.lower() == ".zip" and each.is_file()]
    named = {each.stem: each for each in zips if split_of(each.stem)}
    splits = splits_of(list(named), str(path))
    lost = [each.name for each in inside if each not in named.values() and (each in zips or (named and each.is_dir()))]
    notes = [f"left out {', '.join(lost)}"] if lost else []
    return {place: splits[stem] for stem, place in named.items()}, notes


def _in_zips(path: Path, zips: dict[Path, str], stack: ExitStack) -> tuple[ClassFiles, list[str]]:
    """Return the classes in zips of splits, and notes."""
    classes: ClassFiles = {}
    notes: list[str] = []
    for place, split in zips.items():
        layout = laid_out(tree := stack.enter_context(opened(place)))
        notes += [f"of {place.name} {each}" for each in layout.notes]
        if other := {each for each, _ in layout.classes} - {split, ""}:
            must, advice = f"{place} must hold split {split} alone", "name the zip as the folder in it"
            raise UserError("load_pool", must, f"also {', '.join(sorted(other))}", advice)
        if not layout.classes:
            raise UserError("load_pool", f"{place} must hold folders of images", "none", "fill it or delete it")
        classes |= {(split, name): (tree, files) for (_, name), files in layout.classes.items()}
    return classes, notes


def _in_one(path: Path, stack: ExitStack) -> tuple[ClassFiles, list[str]]:
    """Return the classes in one folder or zip, and notes."""
    layout = laid_out(tree := stack.enter_context(opened(path)))
    if not layout.classes:
        got = "images without a folder" if tree.images() else "none"
        raise UserError("load_pool", f"{path} must hold folders of images", got, "lay it out as train/CLASS/IMAGE")
    return {key: (tree, files) for key, files in layout.classes.items()}, [*layout.notes, *layout.missed]
