"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015): 1,623 characters of 50 alphabets, 20 drawings each.

Splits: "vinyals", 1028 / 172 / 423 characters, the list that goes with Vinyals et al. (2016) and Snell et al. (2017),
kept in ``omniglot.csv`` (rotations dropped); "first1200", the first 1,200 characters for training and the other 423 for
testing, without validation, as in Kao et al. (2022). They took the order in which their disk listed the folders; here
it is background before evaluation, then by alphabet and character.
"""

import os
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pooch
import requests
import torch

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.borders.table_columns import TEXT, Column
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import Tree, opened
from mamlprobe.data.reading.images import LANCZOS, pixels

PARTS = {"images_background": 964, "images_evaluation": 659}
"""Folder or zip -> number of characters, in the order of class ids."""

DRAWINGS = 20  # of each character
FIRST = 1200  # characters that train in split "first1200"
SPLITS = ("vinyals", "first1200")
SPLIT = Column(kind="text", choices=("train", "val", "test"))
CLASSES = Schema(columns={"alphabet": TEXT, "character": TEXT, "split": SPLIT})
HOME = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
MD5 = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
}


def read_omniglot(root: Path, *, size: int = 28, ink: int = 1, split: str = "vinyals") -> Pool:
    """Read Omniglot from ``images_background`` and ``images_evaluation``, zips or folders, in root or root/omniglot.

    Images are made grey and resized from 105 to `size` by Pillow's Lanczos filter. ink 1 makes strokes bright on dark;
    ink 0 leaves them dark on bright, as in the files. Zips are accepted whatever their hash.

    Raises:
        UserError: files missing or damaged, not 1,623 x 20 drawings, unknown split or ink.
    """
    if split not in SPLITS:
        raise unknown("load_pool", "split of omniglot", split, SPLITS)
    if ink not in (0, 1):
        raise UserError("load_pool", "ink must be 0 or 1", ink, "take 1 for bright strokes")
    names: list[str] = []
    arrays: list[np.ndarray] = []
    for path in find(root):
        with opened(path) as tree:
            for name, files in _characters(tree, path.stem).items():
                names.append(name)
                arrays.append(np.stack([pixels(tree, file, channels=1, size=size, resample=LANCZOS) for file in files]))
    images = torch.from_numpy(np.stack(arrays))
    return Pool(
        name="omniglot",
        images=255 - images if ink else images,
        counts=torch.full((len(names),), DRAWINGS, device="cpu"),
        class_names=tuple(names),
        splits=_splits(names, split),
        source=f"Omniglot, original drawings resized to {size} x {size} (Lanczos), ink {ink}, split {split}",
    )


def find(root: Path) -> list[Path]:
    """Return the paths of the two parts, background first.

    Raises:
        UserError: one is missing.
    """
    paths = []
    for part in PARTS:
        places = [folder / f"{part}{end}" for folder in (root, root / "omniglot") for end in (".zip", "")]
        existing = [place for place in places if os.path.exists(place)]
        if not existing:
            must = f"{root} or {root / 'omniglot'} must hold {part}.zip or the folder {part}"
            advice = "give the right root or download with: mamlprobe data omniglot --fetch"
            raise UserError("load_pool", must, "neither", advice)
        paths.append(existing[0])
    return paths


def _characters(tree: Tree, part: str) -> dict[str, list[str]]:
    """Collect the drawings of each ALPHABET/CHARACTER and check their numbers."""
    drawings: dict[str, list[str]] = {}
    for file in tree.images():
        drawings.setdefault("/".join(file.split("/")[-3:-1]), []).append(file)
    odd = [f"{name} with {len(files)}" for name, files in drawings.items() if len(files) != DRAWINGS]
    if len(drawings) != PARTS[part] or odd:
        must = f"{tree.path} must hold {PARTS[part]} characters x {DRAWINGS} drawings"
        got = f"{len(drawings)} characters" + (f", of them {len(odd)} incomplete (first {odd[0]})" if odd else "")
        raise UserError("load_pool", must, got, "get the original archive")
    return drawings


def _splits(names: list[str], split: str) -> dict[str, torch.Tensor]:
    if split == "first1200":
        return {"train": torch.arange(FIRST, device="cpu"), "test": torch.arange(FIRST, len(names), device="cpu")}
    table = parse_table((resources.files("mamlprobe.data") / "omniglot.csv").read_bytes(), CLASSES)
    of = dict(zip(table["alphabet"] + "/" + table["character"], table["split"], strict=True))
    for name in names:
        if name not in of:
            raise UserError("load_pool", "characters must be the original ones", repr(name), "get the original archive")
    return {
        s: torch.tensor([i for i, n in enumerate(names) if of[n] == s], device="cpu") for s in ("train", "val", "test")
    }


def fetch(root: Path) -> list[Path]:
    """Return the paths of the two official archives, found under root or downloaded, hashes checked, to root/omniglot.

    Raises:
        UserError: a download failed or gave other bytes, of which nothing is kept.
    """
    paths = []
    for name, md5 in MD5.items():
        existing = [place for place in (root / name, root / "omniglot" / name) if os.path.exists(place)]
        if existing:
            paths.append(existing[0])
            continue
        try:
            got = pooch.retrieve(
                f"{HOME}/{name}",
                f"md5:{md5}",
                fname=name,
                path=root / "omniglot",
                downloader=pooch.HTTPDownloader(progressbar=sys.stderr.isatty()),
            )
        except (requests.RequestException, OSError, ValueError) as error:
            must = f"{HOME}/{name} must be reachable and have MD5 {md5}"
            advice = f"download it by hand into {root / 'omniglot'} and go on"
            raise UserError("fetch", must, f"{type(error).__name__}: {error}", advice) from None
        paths.append(Path(got))
    return paths
