"""From an encoded image to bytes: depth, opacity, turn, colour and size, decided alike for a whole data set.

Numbers of 16 and 32 bits are brought to bytes by one scale for all files of the data set, the least that holds them
all (`RANGES`). Where something is transparent, it is laid on one ground for all: white where the ink is dark, black
where it is light; where that hides an image, the other one; where that hides one too, mid grey (`GROUNDS`). The ink of
an image is seen where its distance from the ground, squared and averaged by opacity, is at least that of `SEEN`.
An image that its camera turned (EXIF) is turned back.
"""

import io
import math
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mamlprobe.base.errors import UserError
from mamlprobe.data.archives import Tree, short

BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS
GREY = {"1", "L", "LA", "La", "F"}
ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
WHOLE = (1, 255, 1023, 4095, 16383, 65535)
"""What whole numbers may reach: 1, or 8, 10, 12, 14 or 16 bits."""
REAL = (1, 255)
"""What real numbers may reach."""
GROUNDS = {"white": 255, "black": 0, "grey": 128}
SEEN = 32.0
"""Least distance of ink from its ground, in levels of 255."""

SLACK, FAINT = 1e-3, 8
"""Rounding above 1 that reals in 0..1 may have; what reals in 0..255 reach at least."""

LOW = {"LA;16B": "RGBA"} | {
    f"{bands};16{end}": f"{bands};16{other}"
    for bands in ("RGB", "RGBA")
    for end, other in {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}.items()
}
"""How Pillow reads colours of 16 bits, by their high bytes alone -> how it reads the low ones (LA;16B: both)."""

Numbers = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a data set's files become bytes."""

    whole: int = 65535
    """What whole numbers of more than 8 bits reach."""
    real: int = 255
    """What real numbers reach."""
    ground: str | None = None
    """What lies below transparent parts; None drops the opacity."""
    deep: frozenset[str] = frozenset()
    """Kinds of numbers of more than 8 bits that there are: "whole", "real"."""

    def __str__(self) -> str:
        """What differs from one byte a number, as parts of a sentence that begin with a semicolon."""
        words = [f"; {kind} numbers in 0..{getattr(self, kind)}" for kind in ("whole", "real") if kind in self.deep]
        return "".join(words) + (f"; transparent parts {self.ground}" if self.ground else "")


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What an image's header tells."""

    grey: bool
    deep: bool
    clear: bool
    """Whether something may be transparent."""


def _facts(tree: Tree, name: str) -> _Facts:
    """What the header tells.

    Raises:
        UserError: it is damaged; the message names it.
    """
    with _pillow(tree, name), Image.open(io.BytesIO(tree.read(name))) as image:
        raw = _raw(image)
        return _Facts(
            grey=image.mode in GREY or image.mode.startswith("I") or raw == "LA;16B",
            deep=_deep(image, raw),
            clear=image.mode in ALPHA or "transparency" in image.info,
        )


def look(places: Sequence[tuple[Tree, str]]) -> tuple[int, Look]:
    """Channels of a data set, 1 where every image is grey, and how its files become bytes.

    Raises:
        UserError: an image is damaged, or holds numbers that no scale fits; the message names it.
    """
    known = [(place, _facts(*place)) for place in places]
    found = _scales([place for place, each in known if each.deep])
    found = replace(found, ground=_ground([place for place, each in known if each.clear], found))
    return 1 if all(each.grey for _, each in known) else 3, found


def pixels(
    tree: Tree, name: str, *, channels: int, size: int, resample: Image.Resampling, how: Look | None = None
) -> NDArray[np.uint8]:
    """The image as ``[C, size, size]``, squeezed to a square where it is none.

    Raises:
        UserError: it is damaged; the message names it.
    """
    colour, opacity = _parted(tree, name, how or Look())
    with _pillow(tree, name):
        if opacity is not None and how is not None and how.ground is not None:
            ground = Image.new(colour.mode, colour.size, (GROUNDS[how.ground],) * len(colour.getbands()))
            colour = Image.composite(colour, ground, opacity)
        image = colour.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), resample)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def _parted(tree: Tree, name: str, how: Look) -> tuple[Image.Image, Image.Image | None]:
    """Colour in 8 bits, and opacity in mode L where something may be transparent."""
    with _pillow(tree, name):
        image, raw = _loaded(tree, name)
        clear = image.info.get("transparency")
        if _deep(image, raw):
            colour, opacity = _numbers(tree, name, image, raw)
            reach = how.real if image.mode == "F" else how.whole
            mask = None if opacity is None else Image.fromarray(_bytes(opacity, _least(opacity.max(), WHOLE)))
            return Image.fromarray(_bytes(colour, reach)), mask
        if image.mode in ("L", "RGB") and isinstance(clear, (int, tuple)):
            opaque = _differs(np.asarray(image), clear, {"L;2": 85, "L;4": 17}.get(raw, 1))
            return image, Image.fromarray(_bytes(opaque, 1))
        if image.mode in ALPHA or image.mode == "P" or clear is not None:
            *bands, alpha = image.convert("LA" if image.mode in ("LA", "La") else "RGBA").split()
            return (bands[0] if len(bands) == 1 else Image.merge("RGB", bands)), alpha
        return image, None


def _numbers(tree: Tree, name: str, image: Image.Image, raw: str) -> tuple[Numbers, Numbers | None]:
    """Colours of more than 8 bits as they are in the file, ``[H, W]`` or ``[H, W, 3]``, and opacity ``[H, W]``."""
    numbers: Numbers = np.asarray(image)
    if image.mode != "F":
        numbers = numbers.astype(np.int64)
    if raw in LOW:
        low = np.asarray(_loaded(tree, name, raw=LOW[raw])[0]).astype(np.int64)
        numbers = low[..., ::2] << 8 | low[..., 1::2] if raw == "LA;16B" else numbers << 8 | low
    if numbers.ndim == 3 and numbers.shape[2] in (2, 4):
        return (numbers[..., 0] if numbers.shape[2] == 2 else numbers[..., :3]), numbers[..., -1]
    clear = image.info.get("transparency")
    return numbers, _differs(numbers, clear).astype(np.int64) * 255 if isinstance(clear, (int, tuple)) else None


def _differs(colour: Numbers, clear: int | tuple[int, ...], steps: int = 1) -> NDArray[np.int64]:
    """1 where the colour is not the transparent one, else 0: ``[H, W]``; greys of few bits go in steps."""
    same = colour == np.asarray(clear) * steps
    return 1 - (same.all(axis=2) if same.ndim == 3 else same).astype(np.int64)


def _bytes(numbers: Numbers, reach: int) -> NDArray[np.uint8]:
    """Numbers in 0..reach as bytes: 0..1 times 255, whole ones by their 8 highest bits."""
    if reach == 1:
        numbers = np.rint(numbers * 255.0)
    elif reach > 255:
        numbers = numbers.astype(np.int64) >> (reach.bit_length() - 8)
    return np.rint(numbers).clip(0, 255).astype(np.uint8)


def _least(most: float, reaches: Sequence[int]) -> int:
    """The least of these that the number does not exceed, else the last."""
    return next((reach for reach in reaches if most <= reach), reaches[-1])


def _scales(places: Sequence[tuple[Tree, str]]) -> Look:
    """What numbers of more than 8 bits reach in these files.

    Raises:
        UserError: a number that no scale fits.
    """
    most, reals, whole = {"whole": 0.0, "real": 0.0}, [], True
    for tree, name in places:
        with _pillow(tree, name):
            image, raw = _loaded(tree, name)
            colour, opacity = _numbers(tree, name, image, raw)
        colour = colour if opacity is None else colour[opacity > 0]
        low, high = (float(each) for each in (colour.min(initial=0), colour.max(initial=0)))
        real = image.mode == "F"
        if not math.isfinite(low + high) or low < -SLACK * real or high > WHOLE[-1]:
            _refuse(tree, name, f"{low:g} to {high:g}")
        if real:
            whole = whole and bool((colour == np.rint(colour)).all())
            reals.append((high, tree, name))
        most["real" if real else "whole"] = max(most["real" if real else "whole"], high)
    if reals and not whole and not (most["real"] <= 1 + SLACK or FAINT <= most["real"] < 256):
        high, tree, name = max(reals, key=lambda each: each[0])
        _refuse(tree, name, f"numbers up to {high:g}")
    found = Look(whole=_least(most["whole"], WHOLE), real=_least(most["real"], WHOLE if whole else REAL))
    if not whole and most["real"] <= 1 + SLACK:
        found = replace(found, real=1)
    return replace(found, deep=frozenset(["real"] * bool(reals) + ["whole"] * (len(places) > len(reals))))


def _refuse(tree: Tree, name: str, got: str) -> NoReturn:
    must = f"numbers in {name} of {tree.path} must lie in 0..1, in 0..255, or be whole and lie in 0..65535"
    raise UserError("load_pool", must, got, "scale it and save it anew")


def _ground(places: Sequence[tuple[Tree, str]], how: Look) -> str | None:
    """The ground for transparent parts; None where nothing is transparent."""
    means, squares = [], []
    for tree, name in places:
        colour, opacity = _parted(tree, name, how)
        if opacity is None or opacity.getextrema()[0] == 255:
            continue
        ink, weight = (np.asarray(each, dtype=np.float64) for each in (colour.convert("L"), opacity))
        total = weight.sum()
        means.append((weight * ink).sum() / total if total else math.nan)
        squares.append((weight * ink**2).sum() / total if total else math.nan)
    if not means:
        return None
    mean, square = (np.asarray(each)[~np.isnan(means)] for each in (means, squares))
    if not len(mean):
        return "white"
    least = {each: float(np.sqrt(square - 2 * at * mean + at**2).min()) for each, at in GROUNDS.items()}
    order = [*(("white", "black") if mean.mean() < 128 else ("black", "white")), "grey"]
    return next((each for each in order if least[each] >= SEEN), max(order, key=least.__getitem__))


_BROKEN = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError)


@contextmanager
def _pillow(tree: Tree, name: str) -> Iterator[None]:
    """Inside, Pillow does not warn, and what it says of a damaged file is the user's error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except _BROKEN as error:
        must = f"{name} of {tree.path} must be a whole image"
        raise UserError("load_pool", must, short(error), "get it again or delete it") from None


def _loaded(tree: Tree, name: str, *, raw: str | None = None) -> tuple[Image.Image, str]:
    """The image, turned as its camera says, and the layout its numbers have in the file; read by another one if given.

    It must be called inside `_pillow`.
    """
    image = Image.open(io.BytesIO(tree.read(name)))
    layout = _raw(image)
    if raw is not None:
        tiles: Any = [(*each[:3], raw if isinstance(each[3], str) else (raw, *each[3][1:])) for each in _tiles(image)]
        image.tile = tiles
    image.load()
    with suppress(*_BROKEN, TypeError, KeyError):  # a remark on the turn that cannot be read is none
        ImageOps.exif_transpose(image, in_place=True)
    return image, layout


def _raw(image: Image.Image) -> str:
    """How Pillow reads the numbers of the file, such as ``RGB;16B``; empty where it does not say."""
    words = {each[3] if isinstance(each[3], str) else str((each[3] or ("",))[0]) for each in _tiles(image)}
    return words.pop() if len(words) == 1 else ""


def _tiles(image: Image.Image) -> Sequence[Any]:
    """What Pillow will read: (decoder, place, offset, its words) each."""
    return getattr(image, "tile", ())


def _deep(image: Image.Image, raw: str) -> bool:
    """Whether the file holds numbers of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I") or raw in LOW
