"""How a figure becomes a file."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.files import atomic_write
from mamlprobe.draw.style import style

_METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    ".svg": {"Date": None, "Creator": None},
}

HEAVY = 30_000
"""A larger picture, in bytes, is reduced to 256 colours, so that a page of many stays small."""
SCREEN, PRINT = 150, 300
"""Dots an inch of a picture on a page, and of one for print."""


def encode(figure: Figure, suffix: str = ".png", *, dpi: int = PRINT) -> bytes:
    """Encode as ``.png`` of `dpi` dots an inch, ``.pdf`` or ``.svg``, undated: from the same table the same bytes.

    Raises:
        UserError: the suffix is not one of the three.
    """
    if suffix not in _METADATA:
        raise unknown("draw.save", "suffix", suffix, _METADATA)
    with style():
        buffer = BytesIO()
        figure.savefig(buffer, format=suffix[1:], metadata=_METADATA[suffix], dpi=dpi)
    return _packed(buffer, dpi) if suffix == ".png" else buffer.getvalue()


def _packed(png: BytesIO, dpi: int) -> bytes:
    """Drop the channels the picture does not use: transparency always, colours if it is grey.

    A picture of more than `HEAVY` bytes is reduced to 256 colours.
    """
    picture = Image.open(png).convert("RGB")
    dots = np.asarray(picture)
    grey = bool((dots == dots[..., :1]).all())
    packed = BytesIO()
    (picture.convert("L") if grey else picture).save(packed, "png", optimize=True, dpi=(dpi, dpi))
    if packed.tell() > HEAVY:
        packed = BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(packed, "png", optimize=True, dpi=(dpi, dpi))
    return packed.getvalue()


def save(figure: Figure, path: str | Path, *, dpi: int = PRINT) -> None:
    """Write the figure in the format of the path's suffix, making folders; readers see the old file or the new one.

    Raises:
        UserError: the suffix is not known, the folder cannot be written, or the disk is full.
    """
    target = Path(path)
    data = encode(figure, target.suffix, dpi=dpi)
    try:
        with atomic_write(target) as aside:
            aside.write_bytes(data)
    except OSError as fault:
        got = fault.strerror or type(fault).__name__
        raise UserError(
            "draw.save", f"{target} must be writable", got, "choose another folder or free some space"
        ) from fault
