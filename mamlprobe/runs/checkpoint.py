"""One file that a training can resume from: tensors by name and JSON metadata, never a pickle."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Params
from mamlprobe.nets.params import map_tensors
from mamlprobe.runs.writing import write

FORMAT = 1
"""Number of the layout that `save_checkpoint` writes."""

PARTS = ("net", "rates", "moments", "extra")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State after `update` updates, on the CPU."""

    update: int
    theta: Theta
    optimizer: Params = field(default_factory=dict)
    """``<parameter>.<quantity>``, such as ``head.weight.exp_avg``."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Plain JSON values stored with the tensors."""


def checkpoint_path(run: Path, update: int) -> Path:
    """Return the path of the run's checkpoint after `update` updates."""
    return run / "checkpoints" / f"u{update:06d}.safetensors"


def checkpoint_updates(run: Path) -> list[int]:
    """List the updates of which the run has a checkpoint, in order."""
    names = (re.fullmatch(r"u(\d+)\.safetensors", path.name) for path in (run / "checkpoints").glob("*"))
    return sorted(int(match[1]) for match in names if match)


def drop_later(run: Path, update: int) -> None:
    """Delete the run's checkpoints of later updates than this, the newest first: what is left is always in order."""
    for later in reversed(checkpoint_updates(run)):
        if later > update:
            checkpoint_path(run, later).unlink()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file, all or nothing.

    Raises:
        UserError: a weight that is not finite, a full disk, a folder without permission to write.
    """
    tensors = map_tensors(lambda value: value.detach().cpu().contiguous(), _named(checkpoint))
    _finite(tensors, f"checkpoint of update {checkpoint.update}", "lower inner.lr or outer.lr, or set outer.clip")
    header = {
        "format": FORMAT,
        "update": checkpoint.update,
        "digest": _digest(tensors),
        "words": checkpoint.metadata,
    }
    write(path, save(tensors, {"checkpoint": json.dumps(header, sort_keys=True)}))


def load_checkpoint(path: Path, like: Theta) -> Checkpoint:
    """Read what `save_checkpoint` wrote, for a net whose tensors have the names and shapes of `like`.

    Raises:
        UserError: no such file; a damaged one; another format or architecture; a weight that is not finite.
    """
    if not path.is_file():
        raise UserError("checkpoint", "the file must exist", path, "see the run's checkpoints folder")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["checkpoint"])
            if header["format"] != FORMAT:
                got = f"{header['format']} in {path}"
                raise UserError("checkpoint", f"the format must be {FORMAT}", got, "use the version that wrote it")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        update, metadata = int(header["update"]), dict(header["words"])
        whole = header["digest"] == _digest(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("checkpoint", f"{path} must be whole", repr(error), "use an earlier one") from None
    if not whole:
        raise UserError("checkpoint", f"{path} must be whole", "bytes that changed on the disk", "use an earlier one")
    parts: dict[str, Params] = {part: {} for part in (*PARTS, "optimizer")}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    _same_architecture(parts, like, path)
    _finite(tensors, str(path), "use an earlier checkpoint")
    order = {part: {name: parts[part][name] for name in getattr(like, part)} for part in PARTS}
    return Checkpoint(update=update, theta=Theta(**order), optimizer=parts["optimizer"], metadata=metadata)


def _named(checkpoint: Checkpoint) -> Params:
    """Return all tensors by their names in the file."""
    parts = {part: getattr(checkpoint.theta, part) for part in PARTS} | {"optimizer": checkpoint.optimizer}
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


def _digest(tensors: Params) -> str:
    """Return 16 hex digits of a SHA-256 over names, shapes, dtypes and bytes."""
    sha = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        sha.update(f"{name}{list(value.shape)}{value.dtype}".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def _finite(tensors: Params, where: str, advice: str) -> None:
    """Refuse the first tensor that holds a NaN or an infinity."""
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(where, "every number must be finite", f"NaN or infinity in {name}", advice)


def _same_architecture(parts: dict[str, Params], like: Theta, path: Path) -> None:
    """Refuse the first name or shape that the net does not have."""
    for got in _mismatches(parts, like):
        advice = "load it with the settings it was trained with"
        raise UserError("checkpoint", f"{path} must be of the net's architecture", got, advice)


def _mismatches(parts: dict[str, Params], like: Theta) -> Iterator[str]:
    for part in PARTS:
        wanted: Params = getattr(like, part)
        for name, value in wanted.items():
            if name not in parts[part]:
                yield f"a checkpoint of another architecture, without {part}.{name}"
            elif (shape := parts[part][name].shape) != value.shape:
                yield (
                    f"a checkpoint of another architecture, {part}.{name} of shape {list(shape)} "
                    f"instead of {list(value.shape)}"
                )
        for name in sorted(parts[part]):
            if name not in wanted:
                yield f"a checkpoint of another architecture, with an unknown {part}.{name}"
