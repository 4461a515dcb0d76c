"""The file that a pool is saved in: one safetensors file with its digest."""

import json
import os
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import access, atomic_write
from mamlprobe.data.pool import Pool

FORMAT = 1
"""Number of the layout that `save_pool` writes."""


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
    path = Path(path)
    if not path.is_file():
        raise UserError("load_saved", "the file must exist", path, "save the pool again")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["pool"])
            if header["format"] != FORMAT:
                raise UserError(
                    "load_saved", f"{path} must have format {FORMAT}", header["format"], "save the pool again"
                )
            pool = Pool(
                name=header["name"],
                images=file.get_tensor("images"),
                counts=file.get_tensor("counts"),
                class_names=tuple(header["class_names"]),
                splits={name: file.get_tensor(f"split.{name}") for name in header["splits"]},
                mean=tuple(header["mean"]),
                std=tuple(header["std"]),
                source=header["source"],
            )
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError(
            "load_saved", f"{path} must be a whole saved pool", repr(error), "delete it and load again"
        ) from None
    if pool.digest() != header["digest"]:
        got = f"digest {pool.digest()} instead of {header['digest']}"
        raise UserError("load_saved", f"{path} must be undamaged", got, "delete it and load again")
    return pool
