"""What lies in the cache folder, and which of it can be made again."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mamlprobe.base.cache import cache_folder
from mamlprobe.base.files import access
from mamlprobe.data.by_name import CACHED
from mamlprobe.native.build import kernels_folder, remove_kernels

OTHERS = "downloads and other files"
"""What nothing here makes, or would have to download again."""

MIB = 2**20


def contents() -> pd.DataFrame:
    """List what is in the cache, a row a data set, one for kernels, one for the rest: ``what files MiB cleared``.

    Raises:
        UserError: the folder cannot be read.
    """
    rows: dict[str, list[int]] = {}
    folder = cache_folder()
    with access(folder / "kernels"):
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            known = CACHED.fullmatch(name)
            what = f"data set {known[1]}" if known else OTHERS
            sizes = list(_sizes(folder / name))
            row = rows.setdefault("kernels" if folder / name == kernels_folder() else what, [0, 0])
            row[0], row[1] = row[0] + len(sizes), row[1] + sum(sizes)
    order = sorted(rows, key=lambda what: (what == OTHERS, what == "kernels", what))
    table = [(what, rows[what][0], f"{rows[what][1] / MIB:.1f}", "no" if what == OTHERS else "yes") for what in order]
    return pd.DataFrame(table, columns=["what", "files", "MiB", "cleared"])


def clear() -> int:
    """Remove the data sets and kernels from the cache, and return the number of their files; links are not followed.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder, count = cache_folder(), 0
    with access(folder / "kernels"):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if CACHED.fullmatch(name) and not stat.S_ISDIR(os.lstat(folder / name).st_mode):
                os.unlink(folder / name)
                count += 1
        count += remove_kernels()
    return count


def _sizes(path: Path) -> Iterator[int]:
    """Yield the size of a file, or of each file below a folder; links are not followed."""
    facts = os.lstat(path)
    if not stat.S_ISDIR(facts.st_mode):
        yield facts.st_size
        return
    for place, _, names in os.walk(path):
        for name in names:
            yield os.lstat(Path(place, name)).st_size
