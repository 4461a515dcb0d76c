"""Files of tensors: safetensors, and what torch saves, read without running anything and within limits."""

import math
import struct
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.borders.json_text import parse_json
from mamlprobe.borders.pickles import Foreign, check_pickles
from mamlprobe.borders.regular_files import ABSENT, check_file

LARGEST_WEIGHTS = 2**33
"""Bytes of a file of tensors."""

LARGEST_HEADER, TENSORS = 2**24, 2**16
"""Bytes of the header of a safetensors file, and tensors of a file."""

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8}
"""Bytes of a number, by its type in a safetensors file."""

Tensors = dict[str, Tensor]


def read_safetensors(
    where: str,
    path: Path,
    *,
    must: str,
    advice: str,
    absent: str = ABSENT,
    most: int = LARGEST_WEIGHTS,
    follow: bool = True,
) -> tuple[Tensors, dict[str, str]]:
    """Read the tensors of a safetensors file by name, on the CPU, and the strings in its header.

    Raises:
        UserError: no such file; not a regular one; one that is damaged, or beyond the limits; numbers of a type that
            nothing here computes with. `must` is what the message says about the file.
    """
    size = check_file(where, path, most=most, advice=advice, absent=absent, follow=follow)
    try:
        _check_header(path, size)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except Exception as error:  # whatever the reader makes of a damaged file
        raise UserError(where, must, _first_words(error), advice) from None


def _check_header(path: Path, size: int) -> None:
    """Check that the header of a file of this size is one, and that its tensors are as large as it says.

    Raises:
        ValueError: it is none, or they are not; the message is a few words.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        begin = file.read(8)
        length = struct.unpack("<Q", begin)[0] if len(begin) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        header = parse_json(file.read(length), most=LARGEST_HEADER)
    if not isinstance(header, dict) or len(header) > TENSORS:
        raise ValueError(f"a header that is no table of at most {TENSORS:,} tensors")
    for name, entry in header.items():
        if name != "__metadata__":
            _check_entry(name[:40], entry if isinstance(entry, dict) else {}, size)


def _check_entry(name: str, entry: dict[str, Any], size: int) -> None:
    """Check that a tensor of a file of this size is as large as the header says.

    Raises:
        ValueError: it is not.
    """
    kind, shape, span = entry.get("dtype"), _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if not isinstance(kind, str) or shape is None or span is None or len(span) != 2:
        raise ValueError(f"no tensor {name!r}")
    if kind not in SIZES:
        raise ValueError(f"{kind} numbers as {name!r}")
    length = span[1] - span[0]
    if math.prod(shape) * SIZES[kind] != length or span[1] > size:
        raise ValueError(f"{name!r} of shape {shape[:8]} in {length:,} bytes")


def _counts(value: Any) -> list[int] | None:
    """Return the value if it is a list of whole numbers, none negative."""
    return value if isinstance(value, list) and all(type(each) is int and each >= 0 for each in value) else None


def read_saved(where: str, path: Path, *, must: str, code: str, advice: str, help_code: str) -> Any:
    """Read what ``torch.save`` wrote, on the CPU; nothing that its pickle names is called but what makes tensors.

    `must` and `advice` are for a damaged file, `code` and `help_code` for one that is none of plain tensors.

    Raises:
        UserError: no such file; not a regular one; a damaged one; one that needs code to be read.
    """
    size = check_file(where, path, most=LARGEST_WEIGHTS, advice=advice)
    try:
        check_pickles(path, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the age of the pickle
            return torch.load(path, map_location="cpu", weights_only=True)
    except Foreign as error:
        raise UserError(where, code, error, help_code) from None
    except Exception as error:  # whatever the reader makes of a damaged file
        raise UserError(where, must, _first_words(error), advice) from None


def _first_words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0][:200] if lines and not isinstance(error, KeyError) else type(error).__name__
