"""Which folders are classes and which are splits.

A folder is a split where its name says so and it holds class folders: a folder called "train" with images in it is a
class of that name. Letter case does not count, nor do words such as "meta" or "images" around the name (``meta-train``,
``images_background``).
"""

import re
from dataclasses import dataclass

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.archives import Tree

SPLITS = ("train", "val", "test")
NAMES = {
    "train": ("train", "training", "base", "background"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "novel"),
    "eval": ("eval", "evaluation"),
}
"""Split -> names of its folder or zip; those of "eval" mean test if no other name does, else val."""
AROUND = {"meta", "images", "image", "imgs", "img", "set", "split", "data", "classes", "class"}
ADVICE = "name the folders of splits train, val, test (or base, val, novel), or put the classes side by side"

Classes = dict[tuple[str, str], list[str]]
"""(split, or "" without splits, and class) -> names of its images."""


@dataclass(frozen=True)
class Layout:
    """The classes of a tree, and remarks on its folders."""

    classes: Classes
    notes: tuple[str, ...]
    """What is left out, as parts of a line."""
    missed: tuple[str, ...]
    """A warning that there are no splits, if folders look as if they were some."""


def split_of(name: str) -> str:
    """Return the split that a folder of this name may be: "train", "val", "test", "eval" or none ("")."""
    parts = [word for word in re.split(r"[\W_]+", name.lower()) if word not in AROUND]
    word = "".join(parts).removeprefix("meta").removesuffix("set")
    return next((split for split, names in NAMES.items() if word in names), "")


def splits_of(names: list[str], where: str) -> dict[str, str]:
    """Return the split of each of these names.

    Raises:
        UserError: two are the same split.
    """
    splits = {name: split_of(name.rpartition("/")[2]) for name in names}
    other = "val" if "test" in splits.values() else "test"
    splits = {name: other if split == "eval" else split for name, split in splits.items()}
    for split in SPLITS:
        same = [name for name, each in splits.items() if each == split]
        if len(same) > 1:
            raise UserError("load_pool", f"split {split} of {where} must be one folder", " and ".join(same), ADVICE)
    return splits


def laid_out(tree: Tree) -> Layout:
    """Find the classes of a tree and their splits.

    Raises:
        UserError: a class folder without images; folders of which it is not clear whether they are splits.
    """
    folders = _Folders(tree)
    level = folders.level()
    splits = folders.splits(level) if level is not None else {}
    if not splits:
        folders.unsplit()
    classes: Classes = {}
    for file in tree.images():
        parts = file.split("/")[:-1]
        if not splits and parts:
            classes.setdefault(("", "/".join(parts)), []).append(file)
        for depth in range(1, len(parts)):
            split = splits.get("/".join(parts[:depth]))
            if split is not None:
                classes.setdefault((split, "/".join(parts[depth:])), []).append(file)
    for folder in tree.folders:
        in_split = any(folder.startswith(f"{each}/") for each in splits)
        if folder not in folders.above and (in_split or not splits):
            must = f"class folder {folder} of {tree.path} must hold images"
            raise UserError("load_pool", must, "none", "fill it or delete it")
    return Layout(classes, tuple(folders.notes(splits)), () if splits else tuple(folders.missed()))


class _Folders:
    """The folders of a tree, by whether images are in them or below."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.direct = {file.rpartition("/")[0] for file in tree.images()}
        """Folders with images in them; "" is the root."""
        self.above = {folder for each in self.direct for folder in _upwards(each)}
        """Folders with images in them or further below."""
        below: dict[str, list[str]] = {}
        for folder in sorted(self.above | {each for name in tree.folders for each in _upwards(name)}):
            below.setdefault(folder.rpartition("/")[0], []).append(folder)
        self.below = below

    def with_images(self, folder: str) -> list[str]:
        """Return the folders in this one with images in them or further below."""
        return [each for each in self.below.get(folder, ()) if each in self.above]

    def of_classes(self, folder: str) -> bool:
        """Tell whether it is a folder of class folders, even of empty ones."""
        return bool(self.with_images(folder)) or (folder not in self.above and folder in self.below)

    def named(self, folder: str) -> list[str]:
        """Return the folders in this one that are named like splits and hold class folders."""
        inside = self.below.get(folder, ())
        return [each for each in inside if split_of(each.rpartition("/")[2]) and self.of_classes(each)]

    def level(self) -> str | None:
        """Find the folder in which the splits lie: the one nearest to the root; None if there is none.

        Raises:
            UserError: there are several.
        """
        named = {folder for folder in self.below if self.named(folder)}
        least = min(map(_depth, named), default=0)
        nearest = sorted(each for each in named if _depth(each) == least)
        if len(nearest) == 1 and self.with_images(nearest[0]) == (only := self.named(nearest[0])) and len(only) == 1:
            nearest = only if len(self.named(only[0])) > 1 else nearest  # a folder around them, named like a split
        if len(nearest) > 1:
            must = f"splits of {self.tree.path} must lie in one folder"
            raise UserError("load_pool", must, f"some in each of {_some(nearest)}", ADVICE)
        return nearest[0] if nearest else None

    def splits(self, level: str) -> dict[str, str]:
        """Return folder -> split; empty if the folders with such names are classes among others.

        Raises:
            UserError: it is not clear whether the folders are splits or classes.
        """
        named = self.named(level)
        others = self.others(named)
        unknown = [each for each in others if not split_of(each.rpartition("/")[2])]
        inside = [[each.rpartition("/")[2] for each in self.below.get(folder, ())] for folder in [*named, *unknown]]
        if unknown and len(inside[0]) == 1 and all(each == inside[0] for each in inside):
            return {}  # CLASS/images/IMAGE
        splits = splits_of(named, str(self.tree.path))
        if unknown and len(named) == 1:
            got = f"{named[0]} beside {_some(unknown)}"
            raise UserError("load_pool", f"folders of {self.tree.path} must all be splits or all classes", got, ADVICE)
        return splits

    def others(self, splits: list[str]) -> list[str]:
        """Return the outermost folders with images that do not lie in these splits."""
        around = {"", *(folder for each in splits for folder in _upwards(each))}
        return [
            each for folder in sorted(around - set(splits)) for each in self.with_images(folder) if each not in around
        ]

    def loose(self, splits: list[str]) -> list[str]:
        """List where images lie above all classes."""
        around = {"", *(folder for each in splits for folder in _upwards(each))}
        return [f"images right in {each or 'it'}" for each in sorted(around & self.direct)]

    def unsplit(self) -> None:
        """Refuse splits that hold images without classes.

        Raises:
            UserError: folders next to each other are all named like splits, and different ones.
        """
        for folder in ("", *self.below):
            inside = self.with_images(folder)
            names = [split_of(each.rpartition("/")[2]) for each in inside]
            if all(names) and len(set(names)) > 1 and self.direct.issuperset(inside):
                must = f"splits of {self.tree.path} must hold folders of classes"
                raise UserError("load_pool", must, f"images in {_some(inside)}", "lay it out as train/CLASS/IMAGE")

    def notes(self, splits: dict[str, str]) -> list[str]:
        """List what is left out."""
        lost = self.others(list(splits)) if splits else []
        void = [each for name in splits for each in self.below[name.rpartition("/")[0]] if each not in self.above]
        lost += [each for each in dict.fromkeys(void) if split_of(each.rpartition("/")[2]) and each not in splits]
        lost += self.loose(list(splits))
        seen = ", ".join(f"{name} is {split}" for name, split in splits.items())
        notes = [f"left out {_some(lost)}" + (f" ({seen})" if seen else "")] if lost else []
        if self.tree.loops:
            notes.append(f"left out links that lead back: {_some(list(self.tree.loops))}")
        return notes

    def missed(self) -> list[str]:
        """Warn that there are no splits, if a few folders of class folders look as if they were some."""
        top = self.with_images("")
        while len(top) == 1 and top[0] not in self.direct:
            top = self.with_images(top[0])
        if 2 <= len(top) <= MANY and not self.direct.intersection(top):
            return [f"no folder is called as a split, so the classes of {_some(top)} are all in split test"]
        return []


MANY = 6
"""The most folders of class folders that could be meant as splits."""


def _upwards(folder: str) -> list[str]:
    """Return the folder and those it lies in."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _some(names: list[str]) -> str:
    """Join the first few names."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
