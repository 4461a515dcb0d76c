"""One file that a training can resume from: tensors by name and JSON metadata, never a pickle."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import from_dict
from mamlprobe.borders.checked_tensors import checked_tensors, not_finite
from mamlprobe.borders.json_text import parse_json
from mamlprobe.borders.tensor_files import LARGEST_HEADER, read_safetensors
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Params
from mamlprobe.nets.params import map_tensors
from mamlprobe.runs.writing import write

FORMAT = 1
"""Number of the layout that `save_checkpoint` writes."""

_NAME = re.compile(r"u([0-9]{6}|[1-9][0-9]{6,})\.safetensors")

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
    names = (_NAME.fullmatch(path.name) for path in (run / "checkpoints").glob("*"))
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
    tensors = map_tensors(lambda value: value.detach().cpu().contiguous(), named_tensors(checkpoint))
    _finite(tensors, f"checkpoint of update {checkpoint.update}", "lower inner.lr or outer.lr, or set outer.clip")
    header = {
        "format": FORMAT,
        "update": checkpoint.update,
        "digest": digest(tensors),
        "words": checkpoint.metadata,
    }
    write(path, save(tensors, {"checkpoint": json.dumps(header, sort_keys=True)}))


def load_checkpoint(path: Path, like: Theta) -> Checkpoint:
    """Read what `save_checkpoint` wrote, for a net whose tensors have the names, shapes and types of `like`.

    Raises:
        UserError: no such file; a damaged one; another format or architecture; a weight that is not finite.
    """
    must, advice = f"{path} must be whole", "use an earlier one"
    absent = "see the run's checkpoints folder"
    tensors, strings = read_safetensors("checkpoint", path, must=must, advice=advice, absent=absent, follow=False)
    header = _header(path, strings)
    if header.digest != digest(tensors):
        raise UserError("checkpoint", must, "bytes that changed on the disk", advice)
    wanted = named_tensors(Checkpoint(update=0, theta=like))
    state = {name: value for name, value in tensors.items() if name.startswith("optimizer.")}
    theta = checked_tensors(
        "checkpoint",
        {name: value for name, value in tensors.items() if name not in state},
        wanted,
        must=f"{path} must be of the net's architecture",
        what="a checkpoint of another architecture,",
        few=1,
        advice="load it with the settings it was trained with",
    )
    optimizer = {name.partition(".")[2]: value for name, value in state.items()}
    if odd := _not_of(optimizer, like.learned):
        raise UserError("checkpoint", must, f"an optimizer's state of another net, {odd}", advice)
    _finite(tensors, str(path), "use an earlier checkpoint")
    parts: dict[str, Params] = {part: {} for part in PARTS}
    for name, value in theta.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    return Checkpoint(update=header.update, theta=Theta(**parts), optimizer=optimizer, metadata=header.metadata)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What stands beside the tensors."""

    format: int
    update: int
    digest: str
    metadata: dict[str, Any]
    """Called "words" in the file."""


def _header(path: Path, strings: dict[str, str]) -> _Header:
    """Read what stands beside the tensors of this file.

    Raises:
        UserError: nothing, or something else; another format; an update that is not the one in the file's name.
    """
    must, advice = f"{path} must be whole", "use an earlier one"
    try:
        values = parse_json(strings.get("checkpoint", "").encode(), most=LARGEST_HEADER)
    except ValueError as error:
        raise UserError("checkpoint", must, error, advice) from None
    number = values.get("format") if isinstance(values, dict) else None
    if number != FORMAT or isinstance(number, bool):
        got = f"{number} in {path}"
        raise UserError("checkpoint", f"the format must be {FORMAT}", got, "use the version that wrote it")
    if "words" in values:
        values["metadata"] = values.pop("words")
    header = from_dict(_Header, values, str(path))
    named = _NAME.fullmatch(path.name)
    if header.update < 0 or (named is not None and int(named[1]) != header.update):
        raise UserError("checkpoint", must, f"the state after update {header.update}", advice)
    return header


def _not_of(optimizer: Params, learned: Params) -> str | None:
    """Return the name of the first tensor of an optimizer that belongs to nothing that is learned, or has its shape."""
    for name, value in optimizer.items():
        parameter = learned.get(name.rpartition(".")[0])
        if parameter is None or value.shape not in ((), parameter.shape) or not value.is_floating_point():
            return name
    return None


def named_tensors(checkpoint: Checkpoint) -> Params:
    """Return all tensors by their names in the file."""
    parts = {part: getattr(checkpoint.theta, part) for part in PARTS} | {"optimizer": checkpoint.optimizer}
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


def digest(tensors: Params) -> str:
    """Return 16 hex digits of a SHA-256 over names, shapes, dtypes and bytes."""
    sha = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        sha.update(f"{name}{list(value.shape)}{value.dtype}".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def _finite(tensors: Params, where: str, advice: str) -> None:
    """Refuse the first tensor that holds a NaN or an infinity."""
    name = not_finite(tensors)
    if name is not None:
        raise UserError(where, "every number must be finite", f"NaN or infinity in {name}", advice)
