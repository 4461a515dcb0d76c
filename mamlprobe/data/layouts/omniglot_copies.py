"""Omniglot as others keep it: one array ``omniglot.npy`` of dragen1860, or folders ALPHABET/CHARACTER without parts."""

import os
from pathlib import Path

import numpy as np

from mamlprobe.borders.arrays.numpy_files import map_npy
from mamlprobe.data.layouts.characters import (
    CHARACTER_SPLITS,
    CHARACTERS,
    EVALUATION,
    FIRST,
    character_splits,
    known_characters,
)
from mamlprobe.data.layouts.layout_kind import AGAIN, Asked, Layout, Seen, named_files, names_in
from mamlprobe.data.layouts.rows import SIDE, counted, refuse
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import opened
from mamlprobe.data.reading.assembled import ArrayClass, FileClass, assembled

LARGEST = 2**33
"""Bytes of an array: 105 x 105 pixels in double precision take less than half of them."""

FOLDERS = ("", "omniglot_resized", "omniglot")


def _see_array(path: Path) -> Seen | None:
    return named_files(path, r"(omniglot)\.npy")


def _read_array(seen: Seen, asked: Asked) -> Pool:
    """Read drawings [class, item, 1, H, W] or [class, item, H, W], ink 0, in the order of a disk that is not known."""
    (path,) = seen.files.values()
    must = f"{path} must be a whole .npy of plain numbers"
    array = map_npy(path, where="load_pool", must=must, advice=AGAIN, most=LARGEST)
    if array.ndim == 5 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 4 or not array.size or array.dtype.kind not in "fu" or max(array.shape[2:]) > SIDE:
        refuse(path, "the array must be drawings [class, item, 1, H, W]", f"{list(array.shape)} {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 255:
        refuse(path, "brightness must lie in 0..1 or 0..255", f"{low:g} to {high:g}")
    scale = 255 if high <= 1 else 1
    classes: dict[tuple[str, str], ArrayClass] = {}
    for place, drawings in enumerate(array):
        pixels = np.rint(np.asarray(drawings, dtype=np.float64) * scale).astype(np.uint8)[:, None]
        key = ("train" if place < FIRST else "test", f"character{place:04d}")
        classes[key] = ArrayClass(parts=((pixels, np.arange(len(pixels))),), inverted=asked.ink == 1)
    notes = ["the order of its characters is that of somebody's disk, so their names are not known"]
    notes += counted(classes, CHARACTERS["first1200"])
    about = f"Omniglot of {path.name}, ink {asked.ink}, split first1200"
    return assembled(seen.path, classes, size=asked.size, about=about, notes=notes)


def _see_folders(path: Path) -> Seen | None:
    """Look for folders that are all called as alphabets, with characters in them."""
    alphabets = {name.partition("/")[0] for name in known_characters()}
    for folder in (path / name for name in FOLDERS):
        inside = names_in(folder)[1] if os.path.isdir(folder) else []
        folders = [name for name in inside if os.path.isdir(folder / name)]
        if folders and set(folders) <= alphabets:
            characters = names_in(folder / folders[0])[1]
            known = {f"{folders[0]}/{name}" for name in characters if os.path.isdir(folder / folders[0] / name)}
            if known and known <= known_characters().keys():
                return Seen(path=path, files={"drawings": folder})
    return None


def _read_folders(seen: Seen, asked: Asked) -> Pool:
    """Read ALPHABET/CHARACTER/IMAGE, whose ink is dark, background before evaluation."""
    base, split = seen.files["drawings"], asked.split or CHARACTER_SPLITS[0]
    with opened(base) as tree:
        files: dict[str, list[str]] = {}
        for name in tree.images():
            files.setdefault(name.rpartition("/")[0], []).append(name)
        odd = [name for name in files if name not in known_characters()]
        if odd or not files:
            refuse(base, "characters must be Omniglot's", repr(odd[0][:80]) if odd else "none", "mend the folders")
        names = sorted(files, key=lambda name: (name.partition("/")[0] in EVALUATION, name))
        classes = {
            (part, name): FileClass(tree=tree, files=files[name], inverted=asked.ink == 1)
            for part, name in zip(character_splits(names, split), names, strict=True)
        }
        about = f"Omniglot in {seen.path.name}, ink {asked.ink}, split {split}"
        return assembled(seen.path, classes, size=asked.size, about=about, notes=counted(classes, CHARACTERS[split]))


LAYOUT_ARRAY = Layout(
    name="Omniglot in an array", see=_see_array, read=_read_array, lists=CHARACTER_SPLITS[1:], ink=True
)
LAYOUT_FOLDERS = Layout(
    name="Omniglot in folders", see=_see_folders, read=_read_folders, lists=CHARACTER_SPLITS, ink=True
)
