"""An encoded image as Pillow reads it: turned as its camera says, its numbers in full where they have 16 or 32 bits.

Pillow keeps the high bytes alone of colours of 16 bits; the low ones come from reading the file as another layout.
"""

import io
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.archives import Tree, short

LOW = {"LA;16B": "RGBA"} | {
    f"{bands};16{end}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA")
    for end, other in {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}.items()
}
"""How Pillow reads colours of 16 bits, by their high bytes alone -> how it reads the low ones (LA;16B: both)."""

PIXELS = 2**25
"""Pixels of an image."""

Numbers = NDArray[Any]

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError)


@contextmanager
def pillow(tree: Tree, name: str) -> Iterator[None]:
    """Silence Pillow's warnings inside, and turn its errors about a damaged file into the user's error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except _BROKEN as error:
        must = f"{name} of {tree.path} must be a whole image"
        raise UserError("load_pool", must, short(error), "get it again or delete it") from None


def header(tree: Tree, name: str) -> ImageFile:
    """Open an image without decoding its pixels. It must be called inside `pillow`.

    Raises:
        UserError: it says to have more than `PIXELS`.
    """
    image = Image.open(io.BytesIO(tree.read(name)))
    width, height = image.size
    if width * height > PIXELS:
        must = f"{name} of {tree.path} must have at most {PIXELS:,} pixels"
        raise UserError("load_pool", must, f"{width} x {height}", "make it smaller or delete it")
    return image


def loaded(tree: Tree, name: str, *, raw: str | None = None) -> tuple[Image.Image, str]:
    """Load an image, turned as its camera says, and the layout of its numbers in the file; `raw` reads it by another.

    It must be called inside `pillow`.
    """
    image = header(tree, name)
    layout = layout_of(image)
    if raw is not None:
        tiles: Any = [(*each[:3], raw if isinstance(each[3], str) else (raw, *each[3][1:])) for each in _tiles(image)]
        image.tile = tiles
    image.load()
    with suppress(*_BROKEN, TypeError, KeyError):  # an orientation tag that cannot be read is ignored
        ImageOps.exif_transpose(image, in_place=True)
    return image, layout


def layout_of(image: Image.Image) -> str:
    """Return how Pillow reads the numbers of the file, such as ``RGB;16B``; empty if it does not say."""
    layouts = {each[3] if isinstance(each[3], str) else str((each[3] or ("",))[0]) for each in _tiles(image)}
    return layouts.pop() if len(layouts) == 1 else ""


def _tiles(image: Image.Image) -> Sequence[Any]:
    """Return what Pillow will read: (decoder, place, offset, arguments) each."""
    return getattr(image, "tile", ())


def deep(image: Image.Image, raw: str) -> bool:
    """Tell whether the file holds numbers of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I") or raw in LOW


def numbers_of(tree: Tree, name: str, image: Image.Image, raw: str) -> tuple[Numbers, Numbers | None]:
    """Return colours of more than 8 bits as in the file, ``[H, W]`` or ``[H, W, 3]``, and opacity ``[H, W]``."""
    numbers: Numbers = np.asarray(image)
    if image.mode != "F":
        numbers = numbers.astype(np.int64)
    if raw in LOW:
        low = np.asarray(loaded(tree, name, raw=LOW[raw])[0]).astype(np.int64)
        numbers = low[..., ::2] << 8 | low[..., 1::2] if raw == "LA;16B" else numbers << 8 | low
    if numbers.ndim == 3 and numbers.shape[2] in (2, 4):
        return (numbers[..., 0] if numbers.shape[2] == 2 else numbers[..., :3]), numbers[..., -1]
    clear = image.info.get("transparency")
    return numbers, differs(numbers, clear).astype(np.int64) * 255 if isinstance(clear, (int, tuple)) else None


def differs(colour: Numbers, clear: int | tuple[int, ...], steps: int = 1) -> NDArray[np.int64]:
    """Return 1 where the colour is not the transparent one, else 0: ``[H, W]``; greys of few bits go in steps."""
    same = colour == np.asarray(clear) * steps
    opaque: NDArray[np.int64] = 1 - (same.all(axis=2) if same.ndim == 3 else same).astype(np.int64)
    return opaque
