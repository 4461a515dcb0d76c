"""Files of numpy arrays, read without running anything and within limits."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mamlprobe.base.errors import UserError
from mamlprobe.borders.tensor_files import LARGEST_WEIGHTS
from mamlprobe.borders.zip_sizes import check_contents

KINDS = "biuf"
"""Kinds of numpy's numbers that are read."""


def read_npz(where: str, path: Path, *, most: int = LARGEST_WEIGHTS) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz file by name.

    Raises:
        UserError: a damaged file; arrays that unpack to more than `most` bytes; ones of other than plain numbers.
    """
    must, advice = f"{path.name} must be a whole .npz file of numbers", "save it again with numpy.savez"
    try:
        check_contents(path)
        with zipfile.ZipFile(path) as archive:
            claimed = sum(each.file_size for each in archive.infolist())
        if claimed > most:
            raise ValueError(f"arrays of {claimed:,} bytes, where {most:,} are the most")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # whatever the reader makes of a damaged file
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(where, must, text, advice) from None
    odd = next((name for name, each in arrays.items() if each.dtype.kind not in KINDS), None)
    if odd is not None:
        raise UserError(where, must, f"{arrays[odd].dtype} as {odd[:40]!r}", advice)
    return arrays
