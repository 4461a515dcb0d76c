"""Pickles of ``data`` and ``labels``, one a split: mini-ImageNet of Gidaris and Komodakis, CIFAR-FS and FC100."""

from collections.abc import Callable
from pathlib import Path

from mamlprobe.base.errors import UserError
from mamlprobe.data.layouts.class_lists import CIFAR_FS, FC100, MINI, Published, class_list, split_lists
from mamlprobe.data.layouts.layout_kind import Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import Labels, counted, images_of, labels_of, numbered, part, parted, pickled, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, assembled

GIDARIS = r"miniImageNet_category_split_(train_phase_(?:train|val|test)|val|test)\.pickle"
CIFAR = {r"CIFAR_FS_(train|val|test)\.pickle": "cifar_fs", r"FC100_(train|val|test)\.pickle": "fc100"}
PLAIN = r"(train|val|test)\.pickle"
"""What rfs calls the files of both."""

Names = Callable[[str, Labels, Path], Callable[[int], str]]
"""(split, labels, file) -> the names of the classes by their labels."""


def mini_names(split: str, labels: Labels, path: Path) -> Callable[[int], str]:
    """Return wnids of labels 0..63 of train, 64..79 of val, 80..99 of test, which number the sorted wnids of each.

    Raises:
        UserError: labels of another split.
    """
    names = split_lists("miniimagenet", "wnid")
    first = {"train": 0, "val": 64, "test": 80}[split]
    least, most = int(labels.min()), int(labels.max())
    if least < first or most >= first + len(names[split]):
        must = f"labels of split {split} must lie in {first}..{first + len(names[split]) - 1}"
        refuse(path, must, f"{least}..{most}")
    return lambda number: names[split][number - first]


def fine_names(column: str) -> Names:
    """Return CIFAR-100's names where the labels of a split are just the numbers of its list, else numbers."""

    def names(split: str, labels: Labels, path: Path) -> Callable[[int], str]:
        table = class_list("cifar100")
        here = table[table[column] == split]
        fine = dict(zip(here["fine_id"].tolist(), here["fine"].tolist(), strict=True))
        return fine.__getitem__ if set(labels.tolist()) == fine.keys() else numbered(split)

    return names


def _pool(
    seen: Seen, asked: Asked, names: Names, published: tuple[Published, ...], about: str, left: tuple[str, ...] = ()
) -> Pool:
    classes: dict[tuple[str, str], ArrayClass] = {}
    for split, path in seen.files.items():
        values = pickled(path)
        images = images_of(part(values, "data", path), "data", path)
        labels = labels_of(part(values, "labels", path), "labels", path, len(images))
        classes |= parted(images, labels, split, names(split, labels, path))
    odd = [counted(classes, each) for each in published]
    notes = [*left, *(odd[0] if all(odd) else ())]
    return assembled(seen.path, classes, size=asked.size, about=f"{about} of {seen.path.name}", notes=notes)


def _see_gidaris(path: Path) -> Seen | None:
    return named_files(path, GIDARIS)


def _read_gidaris(seen: Seen, asked: Asked) -> Pool:
    """Read training images from ``train_phase_train``; the other phases hold other images of the same classes."""
    splits = {"train_phase_train": "train", "val": "val", "test": "test"}
    files = {splits[word]: path for word, path in seen.files.items() if word in splits}
    lost = [path.name for word, path in seen.files.items() if word not in splits]
    if not files:
        must = f"{seen.path} must hold the images of a split, train_phase_train, val or test"
        raise UserError("load_pool", must, ", ".join(lost), "get the others too")
    left = (f"left out {', '.join(lost)}, which hold other images of classes that train",) if lost else ()
    return _pool(Seen(path=seen.path, files=files), asked, mini_names, (MINI,), "mini-ImageNet pickles", left)


def _see_cifar(path: Path) -> Seen | None:
    return next((seen for pattern in CIFAR if (seen := named_files(path, pattern))), None)


def _read_cifar(seen: Seen, asked: Asked) -> Pool:
    kinds = {"cifar_fs" if path.name.lower().startswith("cifar") else "fc100" for path in seen.files.values()}
    both = [pattern for pattern in CIFAR if named_files(seen.path, pattern)]
    if len(both) > 1:
        got = "CIFAR_FS_*.pickle and FC100_*.pickle"
        raise UserError("load_pool", f"{seen.path} must hold one data set", got, "put them into folders of their own")
    (kind,) = kinds
    published, name = (CIFAR_FS, "CIFAR-FS") if kind == "cifar_fs" else (FC100, "FC100")
    return _pool(seen, asked, fine_names(kind), (published,), f"{name} pickles")


def _see_plain(path: Path) -> Seen | None:
    return named_files(path, PLAIN)


def _read_plain(seen: Seen, asked: Asked) -> Pool:
    """Read pickles that may be of either set."""
    return _pool(seen, asked, _either, (CIFAR_FS, FC100), "pickles of data and labels")


def _either(split: str, labels: Labels, path: Path) -> Callable[[int], str]:
    for column in CIFAR.values():
        names = fine_names(column)(split, labels, path)
        if names(int(labels[0])) != numbered(split)(int(labels[0])):
            return names
    return numbered(split)


LAYOUT_GIDARIS = Layout(name="mini-ImageNet pickles of Gidaris and Komodakis", see=_see_gidaris, read=_read_gidaris)
LAYOUT_CIFAR = Layout(name="pickles of CIFAR-FS or FC100", see=_see_cifar, read=_read_cifar)
LAYOUT_PLAIN = Layout(name="pickles of data and labels", see=_see_plain, read=_read_plain)
