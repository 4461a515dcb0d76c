"""Which data sets there are, and what one holds."""

import os
from contextlib import suppress
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.by_name import READERS, data_folder
from mamlprobe.data.layouts.known import NAMED, place_of, told_apart
from mamlprobe.data.omniglot import fetch, find
from mamlprobe.data.sinusoids import FORMULAS

FETCHED = {"omniglot": fetch}
"""Name -> the function that downloads it into a folder."""


def known_pools(root: str | None) -> pd.DataFrame:
    """List the data sets that are found by name, one row each: ``dataset about``; the planted ones share a row."""
    folder = data_folder(root)
    rows = [("glyphs", "built in: characters of many scripts, drawn from fonts"), ("omniglot", _omniglot(folder))]
    rows += [(name, f"built in: {each.source}") for name, each in FORMULAS.items()]
    rows.append(("planted-DIAL", "built in: teachers made by a formula, which need another body by a dial from 0 to 1"))
    rows += [(name, f"in {place}") for name in NAMED if (place := _place(name, folder))]
    paths = sorted(folder.iterdir()) if os.path.isdir(folder) and os.access(folder, os.R_OK) else []
    for path in paths:
        name = path.name
        if name not in READERS and name not in NAMED and not name.startswith(".") and _is_data(path):
            rows.append((name, f"images in {path}"))
    return pd.DataFrame(rows, columns=["dataset", "about"])


def download(name: str | None, root: str | None) -> None:
    """Download the data set into the folder of raw files, unless it is in it already.

    Raises:
        UserError: a data set that is not downloaded, or a download that failed.
    """
    if name not in FETCHED:
        raise unknown("data", "data set to download", name, FETCHED)
    try:
        paths = FETCHED[name](data_folder(root))
    except OSError as error:
        must = f"{data_folder(root)} must be a folder open for writing"
        raise UserError("data", must, error.strerror, "choose another with --data-root") from None
    print("\n".join(f"file: {path}" for path in paths))


def _omniglot(folder: Path) -> str:
    try:
        return f"in {find(folder)[0].parent}"
    except UserError:
        return "not there; download it with: mamlprobe data omniglot --fetch"


def _place(name: str, folder: Path) -> Path | None:
    """Return where a data set of other projects lies, if it does."""
    try:
        return place_of(name, folder)[0]
    except UserError:
        return None


def _is_data(path: Path) -> bool:
    """Tell whether it looks like a data set: of a known layout, a zip, or a folder with folders or zips."""
    with suppress(UserError):
        if told_apart(path):
            return True
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        return path.suffix == ".zip"
    return any(each.is_dir() or each.suffix == ".zip" for each in path.iterdir())
