"""Weights in Keras's HDF5 files: ``model_weights/LAYER/.../LAYER/kernel:0`` and the like, without the model's code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mamlprobe.borders.arrays.hdf5_files import Hdf5, opened_hdf5
from mamlprobe.borders.tensor_files import LARGEST_WEIGHTS, TENSORS

GROUP = "model_weights"
"""Where a whole model has its weights; beside them are its settings and its optimizer."""

WEIGHT = re.compile(r"(kernel|bias|gamma|beta|moving_mean|moving_variance)(:\d+)?")
"""The last words of the names that are read."""

DEEPEST = 16
"""Groups within one another."""


def read_keras(where: str, path: Path) -> dict[str, NDArray[Any]]:
    """Read kernels, biases, norms and their moments by their paths in the file; what lies elsewhere is refused.

    Raises:
        UserError: h5py is not there; no such file; a damaged one, one with links, or one beyond the limits.
    """
    must = f"{path.name} must be a whole HDF5 file with weights of Keras"
    with opened_hdf5(path, where=where, must=must, advice="save it again", most=LARGEST_WEIGHTS) as file:
        top = GROUP if GROUP in file.names() else "/"
        arrays = {}
        for number, name in enumerate(_names(file, top, 0)):
            if number > TENSORS:
                raise ValueError(f"more than {TENSORS:,} entries")
            if WEIGHT.fullmatch(name.rpartition("/")[2]):
                value = file.read(name)
                if isinstance(value, list):
                    raise ValueError(f"no numbers in {name[-80:]!r}")
                arrays[name] = value
        return arrays


def _names(file: Hdf5, group: str, depth: int) -> Iterator[str]:
    """Yield what lies in a group and the groups in it, groups without content too."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} groups within one another")
    for each in file.names(group):
        name = f"{group}/{each}".lstrip("/")
        yield name
        yield from _names(file, name, depth + 1)
