"""Data sets by name or path, parsed once and cached."""

import hashlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from tqdm.auto import tqdm

from mamlprobe.base.cache import cache_folder
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.files import access
from mamlprobe.data import glyphs, omniglot
from mamlprobe.data.layouts.known import NAMED, place_of, told_apart
from mamlprobe.data.layouts.layout_kind import Asked
from mamlprobe.data.planted import PLANTED
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.archives import stamps
from mamlprobe.data.reading.assembled import NOTE
from mamlprobe.data.reading.image_folder import read_folder
from mamlprobe.data.reading.levels import check_levels, levelled
from mamlprobe.data.saved_pool import load_saved, save_pool
from mamlprobe.data.sinusoids import FORMULAS

READING = 1
"""Version of the parsers; a change makes pools in the cache folder be parsed anew."""

FOLDERS = 2
"""The same for folders and zips of class folders alone."""

LAYOUT = 1
"""The same for the layouts of other projects."""

CACHED = re.compile(r"(.+)-[0-9a-f]{16}\.safetensors", re.DOTALL)
"""Names of pools in the cache folder: the data set's, and a digest of what it was read from and how."""

LARGEST = 4096
"""Pixels of the side of an image."""

ROTATIONS: dict[str, Callable[[Pool], Pool]] = {"none": lambda pool: pool, "classes": Pool.rotated}
"""Value of `rotations` -> what is done to the pool."""


def _glyphs(root: Path, size: int | None, ink: int, split: str | None) -> Pool:
    only("glyphs", "split", split, None)
    size = size or 28
    return _cached("glyphs", [glyphs.table_digest(), size, ink], lambda: glyphs.glyphs(size=size, ink=ink))


def _omniglot(root: Path, size: int | None, ink: int, split: str | None) -> Pool:
    size, split = size or 28, split or "vinyals"
    files = [stamps(path) for path in omniglot.find(root)]
    return _cached(
        "omniglot", [files, size, ink, split], lambda: omniglot.read_omniglot(root, size=size, ink=ink, split=split)
    )


def _at(path: Path, size: int | None, ink: int, split: str | None) -> Pool:
    """Read what lies at a path, by the layout that its files tell, else as class folders."""
    known = told_apart(path)
    if known is None:
        if os.path.isfile(path) and path.suffix.lower() != ".zip" and not zipfile.is_zipfile(path):
            must = f"{path} must be a zip of class folders, or a file of another project under its usual name"
            raise UserError("load_pool", must, repr(path.name), "give it back its name, see docs/howto/data.md")
        only(path.name, "split", split, None)
        only(path.name, "ink", ink, 1)
        pool = _cached(path.stem, [FOLDERS, stamps(path), size], lambda: read_folder(path, size=size))
    else:
        layout, seen = known
        if not layout.ink:
            only(path.name, "ink", ink, 1)
        if not layout.lists:
            only(path.name, "split", split, None)
        elif split is not None and split not in layout.lists:
            raise unknown("load_pool", f"split of {path.name}", split, layout.lists)
        files = [[word, stamps(seen.files[word])] for word in sorted(seen.files)]
        asked = Asked(size=size, ink=ink, split=split)
        options = [LAYOUT, layout.name, files, size, ink, split]
        pool = _cached(path.stem, options, lambda: layout.read(seen, asked))
    for note in pool.source.split(NOTE)[1:]:
        _say(f"load_pool: of {path} {note}")
    return pool


def _named(name: str, root: Path, size: int | None, ink: int, split: str | None) -> Pool:
    """Read a data set of other projects, found by its name."""
    known = NAMED[name]
    if known.split:
        only(name, "split", split, None)
    path, chosen = place_of(name, root)
    return replace(_at(path, size or known.side, ink, chosen or split), name=name)


@cache
def _say(line: str) -> None:
    """Write the line to stderr, once in a process."""
    tqdm.write(line, file=sys.stderr)


READERS: dict[str, Callable[[Path, int | None, int, str | None], Pool]] = {"glyphs": _glyphs, "omniglot": _omniglot}
"""Name -> its reader, which takes root, size, ink and split; any other name is one of `NAMED` or a path."""


def data_folder(root: str | Path | None = None) -> Path:
    """Return the folder of raw files: root, else the environment's MAMLPROBE_DATA, else the cache folder."""
    return Path(root or os.path.expanduser(os.environ.get("MAMLPROBE_DATA", "")) or cache_folder())


@door()
def load_pool(
    name_or_path: str | Path,
    *,
    root: str | Path | None = None,
    size: int | None = None,
    ink: int = 1,
    split: str | None = None,
    rotations: str = "none",
    normalise: str | None = None,
    channels: int | None = None,
) -> Pool:
    """Load a data set by name, or what lies at a path or name in `root`: class folders, or files of other projects.

    Names: "glyphs" (built in), "omniglot"; "miniimagenet", "tieredimagenet", "cifar-fs", "fc100", "cub" or "cub-SPLIT",
    of which the usual files are looked for in `root`. At a path, a folder or a file, the layout is told from the names
    of the files (docs/howto/data.md lists them), else it is a folder or zip of class folders.

    Args:
        root: folder of raw files; else the environment's MAMLPROBE_DATA, else the cache folder.
        size: side of the images in pixels; else 28 for grey and 84 for RGB, and 32 for the names "cifar-fs" and
            "fc100".
        ink: of glyphs and omniglot, 1 for bright strokes on dark, 0 the other way round.
        split: of omniglot, "vinyals" (the default) or "first1200"; of CUB, "closerlook", "easyfsl", "learn2learn" or
            "feat"; of CIFAR-100 at a path, "cifar-fs" or "fc100".
        rotations: "none", or "classes" for each class turned by 90, 180, 270 degrees as classes of their own.
        channels: 3 repeats grey images in three channels, for nets of RGB; else images keep theirs.
        normalise: how `Pool.floats` shifts and scales: "none" (grey's default), "imagenet" (RGB's default), "half",
            "raw255", "lee2019", "cifar", "cifar-rfs", "floodsung"; or numbers of brightness 0 to 1, mean and std of
            each channel: "m,m,m,s,s,s" for RGB, "m,s" for grey.

    Classes are ordered by split (train, val, test), then by name; items by their row in an array, or by file name.

    Pools are saved in the cache folder by name, file stamps and options; `forget` has them read anew. What is left out
    of a folder, and images that look wrong, are reported on stderr and in the pool's `source`.

    Raises:
        UserError: unknown name or word, missing, damaged or inconsistent files, files that want code to be run, an
            option that the data set does not have, or has and that must be stated.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> pool
        Pool('glyphs', images [1791, 20, 1, 14, 14], classes: train 1213, val 185, test 393)
        >>> pool.describe()
           split  classes  items  images  C   H   W
        0  train     1213     20   24260  1  14  14
        1    val      185     20    3700  1  14  14
        2   test      393     20    7860  1  14  14
    """
    if rotations not in ROTATIONS:
        raise unknown("load_pool", "word for rotations", rotations, ROTATIONS)
    if normalise is not None:
        check_levels(normalise)
    if size is not None and not 1 <= size <= LARGEST:
        must = "size must be at least 1" if size < 1 else f"size must be at most {LARGEST}"
        raise UserError("load_pool", must, size, "give the side of the images in pixels")
    if channels not in (None, 1, 3):
        raise UserError("load_pool", "channels must be 1 or 3", channels, "leave it out to keep those of the images")
    folder, name = data_folder(root), str(name_or_path)
    if name in FORMULAS or name in PLANTED:
        advice = "train on them with data.dataset, or take mp.load_source, whose tasks are scored by loss"
        raise UserError(
            "load_pool",
            "a pool must hold images of classes",
            f"the {'curves' if name in FORMULAS else 'teachers'} {name!r}",
            advice,
        )
    if name in READERS:
        pool = READERS[name](folder, size, ink, split)
    elif name in NAMED:
        pool = _named(name, folder, size, ink, split)
    else:
        pool = _at(_find(name, folder), size, ink, split)
    return levelled(_coloured(ROTATIONS[rotations](pool), channels), normalise)


def _coloured(pool: Pool, channels: int | None) -> Pool:
    """Return the pool with so many channels, grey images repeated in three.

    Raises:
        UserError: one channel of images in colour.
    """
    has = pool.image_shape[0]
    if channels in (None, has):
        return pool
    if channels == 1:
        raise UserError("load_pool", f"channels must be {has}, those of {pool.name}", 1, "leave it out")
    images = pool.images.expand(-1, -1, channels, -1, -1).contiguous()
    mean, std = pool.mean * 3, pool.std * 3
    return replace(pool, images=images, mean=mean, std=std, source=f"{pool.source}; grey in three channels")


def _find(name: str, folder: Path) -> Path:
    for place in (folder / name, Path(name)):
        if os.path.exists(place):
            return place
    if "/" in name or os.sep in name or name.endswith(".zip"):
        raise UserError(
            "load_pool", f"{name} must exist", f"nothing there nor under {folder}", "check the path or root"
        )
    near = sorted(each.name for each in folder.iterdir() if each.is_dir()) if os.path.isdir(folder) else []
    kind = f"data set (a name, or a folder or zip of class folders, as given or under {folder})"
    raise unknown("load_pool", kind, name, [*READERS, *(each for each in near if each not in READERS)])


def has_ink(name_or_path: str | Path, root: str | Path | None = None) -> bool:
    """Tell whether a data set has a choice of ink; one that is not at hand may."""
    name = str(name_or_path)
    if name in READERS or name in NAMED:
        return name in READERS
    place = next((each for each in (data_folder(root) / name, Path(name)) if os.path.exists(each)), None)
    known = None if place is None else told_apart(place)
    return place is None or (known is not None and known[0].ink)


def only(name: str, option: str, value: object, default: object) -> None:
    """Refuse an option that this data set does not have."""
    if value != default:
        raise UserError("load_pool", f"{name} has no choice of {option}", repr(value), f"leave {option} out")


def forget(name_or_path: str | Path, root: str | Path | None = None) -> None:
    """Remove what is cached of a data set, in all sizes, so that it is read anew when it is next asked for.

    Raises:
        UserError: a formula, a name that is not known, or a cache folder that is not open for writing.
    """
    name = str(name_or_path)
    if name in FORMULAS or name in PLANTED:
        raise UserError("data", "a data set that is read anew must have files", f"the formula {name!r}", "leave it out")
    folder = data_folder(root)
    path = place_of(name, folder)[0] if name in NAMED else None
    stem = name if name in READERS else (path or _find(name, folder)).stem
    folder = cache_folder()
    with access(folder / stem):
        for each in os.listdir(folder) if os.path.isdir(folder) else ():
            if (known := CACHED.fullmatch(each)) and known[1] == stem:
                os.unlink(folder / each)


def _cached(name: str, options: list[object], make: Callable[[], Pool]) -> Pool:
    """Return the pool cached for these options, or `make` and cache it; a cache that takes nothing is told once."""
    digest = hashlib.sha256(json.dumps([READING, *options]).encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}-{digest}.safetensors"
    try:
        return load_saved(path)
    except (UserError, OSError):
        pool = make()
    try:
        save_pool(pool, path)
    except (UserError, OSError) as error:
        got = error.got if isinstance(error, UserError) else error.strerror or error
        advice = "free space there, or set MAMLPROBE_CACHE to another folder"
        _say(f"load_pool: data are read anew each time: the cache {cache_folder()} takes none, got {got}; {advice}")
    return pool
