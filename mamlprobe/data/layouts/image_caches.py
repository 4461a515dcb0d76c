"""mini-ImageNet as Ren et al. cached it, which learn2learn and torchmeta download: a pickle for each split."""

from pathlib import Path
from typing import Any

import numpy as np

from mamlprobe.data.layouts.class_lists import MINI
from mamlprobe.data.layouts.layout_kind import Asked, Layout, Seen, named_files
from mamlprobe.data.layouts.rows import counted, images_of, part, pickled, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import ArrayClass, assembled

PATTERN = r"mini-?imagenet-cache-(train|val|validation|test)\.(?:pkl|pickle)"


def _see(path: Path) -> Seen | None:
    return named_files(path, PATTERN)


def _read(seen: Seen, asked: Asked) -> Pool:
    """Read ``image_data`` [N, H, W, 3] and ``class_dict``, the rows of each class."""
    classes: dict[tuple[str, str], ArrayClass] = {}
    for split, path in seen.files.items():
        values = pickled(path)
        images = images_of(part(values, "image_data", path), "image_data", path)
        rows = _rows(part(values, "class_dict", path), path, len(images))
        classes |= {(split, name): ArrayClass(parts=((images, each),)) for name, each in rows.items()}
    about = f"mini-ImageNet caches of {seen.path.name}"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=counted(classes, MINI))


def _rows(value: Any, path: Path, count: int) -> dict[str, np.ndarray]:
    """Return the rows of each class; no row may be of two."""
    must = f"'class_dict' must give each class its rows, each once and in 0..{count - 1},"
    if not isinstance(value, dict) or not value:
        refuse(path, must, type(value).__name__)
    rows: dict[str, np.ndarray] = {}
    for name, each in value.items():
        each = each.tolist() if isinstance(each, np.ndarray) and each.ndim == 1 else each
        good = isinstance(name, str) and isinstance(each, list) and bool(each)
        if not good or not all(type(row) is int and 0 <= row < count for row in each):
            refuse(path, must, f"others for {str(name)[:40]!r}")
        rows[name] = np.asarray(each, dtype=np.int64)
    taken = np.concatenate(list(rows.values()))
    if len(np.unique(taken)) != len(taken):
        refuse(path, must, "a row twice")
    return rows


LAYOUT = Layout(name="mini-ImageNet caches", see=_see, read=_read)
