"""mini-ImageNet and FC100 as TADAM keeps them: ``few-shot-SPLIT.npz`` with ``features`` and ``targets``."""

from pathlib import Path

from mamlprobe.borders.arrays.numpy_files import read_npz
from mamlprobe.data.layouts.class_lists import FC100, MINI
from mamlprobe.data.layouts.label_pickles import fine_names
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import LARGEST_IMAGES, counted, images_of, labels_of, numbered, part, parted
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, assembled

FC100_SIDE = 32
"""Pixels of the side of FC100's images, by which it is told from mini-ImageNet."""


def _see(path: Path) -> Seen | None:
    return named_files(path, r"few-shot-(train|val|test)\.npz")


def _read(seen: Seen, asked: Asked) -> Pool:
    """Read arrays; FC100's targets are CIFAR-100's numbers, what mini-ImageNet's mean is not known."""
    classes: dict[tuple[str, str], ArrayClass] = {}
    for split, path in seen.files.items():
        must = f"{path} must be a whole .npz of plain arrays"
        values = read_npz(
            path, ("features", "targets"), where="load_pool", must=must, advice=AGAIN, most=LARGEST_IMAGES
        )
        images = images_of(part(values, "features", path), "features", path)
        labels = labels_of(part(values, "targets", path), "targets", path, len(images))
        small = images.shape[2:] == (FC100_SIDE, FC100_SIDE)
        classes |= parted(images, labels, split, fine_names("fc100")(split, labels, path) if small else numbered(split))
    notes = [counted(classes, each) for each in (MINI, FC100)]
    about = f"arrays of TADAM in {seen.path.name}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=notes[0] if all(notes) else ())


LAYOUT = Layout(name="arrays of TADAM", see=_see, read=_read)
