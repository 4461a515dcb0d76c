"""The file that a pool is saved in: one safetensors file with its digest."""

import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, atomic_write
from mamlprobe.borders.json_text import parse_json
from mamlprobe.borders.tensor_files import LARGEST_HEADER, read_safetensors
from mamlprobe.data.pool import Pool

FORMAT = 1
"""Number of the layout that `save_pool` writes."""

LARGEST_POOL = 2**35
"""Bytes of a saved pool: tieredImageNet at 84 pixels has half of them."""


def save_pool(pool: Pool, path: str | Path) -> None:
    """Write the pool as one safetensors file, all or nothing; what is not a tensor is JSON in its header.

    Raises:
        UserError: the disk is full, or the folder is not one we may write to.
    """
    tensors = {"images": pool.images, "counts": pool.counts}
    tensors |= {f"split.{name}": ids for name, ids in pool.splits.items()}
    header = {
        "format": FORMAT,
        "name": pool.name,
        "class_names": pool.class_names,
        "splits": list(pool.splits),
        "mean": pool.mean,
        "std": pool.std,
        "source": pool.source,
        "digest": pool.digest(),
    }
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    with access(Path(path)), atomic_write(Path(path)) as aside:
        try:
            save_file(tensors, aside, {"pool": json.dumps(header)})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(*((int(number[1]), os.strerror(int(number[1]))) if number else (str(error),))) from None


def load_saved(path: str | Path) -> Pool:
    """Read the pool that `save_pool` wrote, on the CPU.

    Raises:
        UserError: no such file, or it is damaged, which its digest shows.
    """
    where, advice = "load_saved", "delete it and load again"
    path, must = Path(path), f"{path} must be a whole saved pool"
    tensors, strings = read_safetensors(
        where, path, must=must, advice=advice, absent="save the pool again", most=LARGEST_POOL
    )
    try:
        header = parse_json(strings["pool"].encode(), most=LARGEST_HEADER)
        if header["format"] != FORMAT:
            raise UserError(where, f"{path} must have format {FORMAT}", header["format"], "save the pool again")
        pool = Pool(
            name=header["name"],
            images=tensors["images"],
            counts=tensors["counts"],
            class_names=tuple(header["class_names"]),
            splits={name: tensors[f"split.{name}"] for name in header["splits"]},
            mean=tuple(header["mean"]),
            std=tuple(header["std"]),
            source=header["source"],
        )
        digest = header["digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(where, must, repr(error), advice) from None
    if pool.digest() != digest:
        got = f"digest {pool.digest()} instead of {digest}"
        raise UserError(where, f"{path} must be undamaged", got, advice)
    return pool
