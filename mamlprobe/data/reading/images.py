"""From an encoded image to bytes: depth, opacity, turn, colour and size, decided alike for a whole data set.

Numbers of 16 and 32 bits are brought to bytes by one scale for all files of the data set, the least that holds them
all (`WHOLE`; numbers that are not whole lie in 0..1 or 0..255). Where something is transparent, it is laid on one
ground for all: white where the ink is dark, black where it is light; where that hides an image, the other one; where
that hides one too, mid grey (`GROUNDS`). The ink of an image is seen where its distance from the ground, squared and
averaged by opacity, is at least that of `SEEN`.
An image that its camera turned (EXIF) is turned back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.archives import Tree
from mamlprobe.data.reading.decoded import Numbers, deep, differs, header, layout_of, loaded, numbers_of, pillow

BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS
GREY = {"1", "L", "LA", "La", "F"}
ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
WHOLE = (1, 255, 1023, 4095, 16383, 65535)
"""What whole numbers may reach: 1, or 8, 10, 12, 14 or 16 bits. Other numbers reach 1 or 255."""
GROUNDS = {"white": 255, "black": 0, "grey": 128}
SEEN = 32.0
"""Least distance of ink from its ground, in levels of 255."""

SLACK, FAINT = 1e-3, 8
"""Rounding above 1 that reals in 0..1 may have; what reals in 0..255 reach at least."""


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
    """Kinds of numbers of more than 8 bits in the files: "whole", "real"."""
    lost: tuple[str, ...] = ()
    """Files whose numbers differ, but all become one byte or two next to each other."""

    def __str__(self) -> str:
        """Describe what differs from one byte a number, as parts of a sentence that begin with a semicolon."""
        parts = [f"; {kind} numbers in 0..{getattr(self, kind)}" for kind in ("whole", "real") if kind in self.deep]
        return "".join(parts) + (f"; transparent parts {self.ground}" if self.ground else "")


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What the header of an image says."""

    grey: bool
    deep: bool
    clear: bool
    """Whether something may be transparent."""


def _facts(tree: Tree, name: str) -> _Facts:
    """Read the header.

    Raises:
        UserError: it is damaged; the message names it.
    """
    with pillow(tree, name), header(tree, name) as image:
        raw = layout_of(image)
        return _Facts(
            grey=image.mode in GREY or image.mode.startswith("I") or raw == "LA;16B",
            deep=deep(image, raw),
            clear=image.mode in ALPHA or "transparency" in image.info,
        )


def look(places: Sequence[tuple[Tree, str]]) -> tuple[int, Look]:
    """Return the channels of a data set, 1 if every image is grey, and how its files become bytes.

    Raises:
        UserError: an image is damaged, or holds numbers that no scale fits; the message names it.
    """
    known = [(place, _facts(*place)) for place in places]
    how = _scales([place for place, each in known if each.deep])
    how = replace(how, ground=_ground([place for place, each in known if each.clear], how))
    return 1 if all(each.grey for _, each in known) else 3, how


def pixels(
    tree: Tree, name: str, *, channels: int, size: int, resample: Image.Resampling, how: Look | None = None
) -> NDArray[np.uint8]:
    """Return the image as ``[C, size, size]``, squeezed to a square if it is none.

    Raises:
        UserError: it is damaged; the message names it.
    """
    colour, opacity = _parted(tree, name, how or Look())
    with pillow(tree, name):
        if opacity is not None and how is not None and how.ground is not None:
            ground = Image.new(colour.mode, colour.size, (GROUNDS[how.ground],) * len(colour.getbands()))
            colour = Image.composite(colour, ground, opacity)
        image = colour.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), resample)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def _parted(tree: Tree, name: str, how: Look) -> tuple[Image.Image, Image.Image | None]:
    """Return colour in 8 bits, and opacity in mode L where something may be transparent."""
    with pillow(tree, name):
        image, raw = loaded(tree, name)
        clear = image.info.get("transparency")
        if deep(image, raw):
            colour, opacity = numbers_of(tree, name, image, raw)
            reach = how.real if image.mode == "F" else how.whole
            mask = None if opacity is None else Image.fromarray(_bytes(opacity, _least(opacity.max(), WHOLE)))
            return Image.fromarray(_bytes(colour, reach)), mask
        if image.mode in ("L", "RGB") and isinstance(clear, (int, tuple)):
            opaque = differs(np.asarray(image), clear, {"L;2": 85, "L;4": 17}.get(raw, 1))
            return image, Image.fromarray(_bytes(opaque, 1))
        if image.mode in ALPHA or image.mode == "P" or clear is not None:
            *bands, alpha = image.convert("LA" if image.mode in ("LA", "La") else "RGBA").split()
            return (bands[0] if len(bands) == 1 else Image.merge("RGB", bands)), alpha
        return image, None


def _bytes(numbers: Numbers, reach: int) -> NDArray[np.uint8]:
    """Bring numbers in 0..reach to bytes: 0..1 times 255, whole ones by their 8 highest bits."""
    if reach == 1:
        numbers = np.rint(numbers * 255.0)
    elif reach > 255:
        numbers = numbers.astype(np.int64) >> (reach.bit_length() - 8)
    return np.rint(numbers).clip(0, 255).astype(np.uint8)


def _least(most: float, reaches: Sequence[int]) -> int:
    """Return the least of these that the number does not exceed, else the last."""
    return next((reach for reach in reaches if most <= reach), reaches[-1])


def _scales(places: Sequence[tuple[Tree, str]]) -> Look:
    """Find what numbers of more than 8 bits reach in these files.

    Raises:
        UserError: a number that no scale fits.
    """
    spans = [_span(*place) for place in places]
    whole = max((each.high for each in spans if not each.real), default=0.0)
    real = max((each.high for each in spans if each.real), default=0.0)
    how = Look(whole=_least(whole, WHOLE), real=_least(real, WHOLE))
    if not all(each.whole for each in spans):
        most = max((each for each in spans if each.real), key=lambda each: each.high)
        how = replace(how, real=1 if real <= 1 + SLACK else 255)
        if 1 + SLACK < real < FAINT or real >= 256:
            _refuse(most, f"numbers up to {real:g}")
        for each in spans:
            if how.real > 1 and not each.whole and each.high <= 1 + SLACK:
                _refuse(each, f"numbers up to {each.high:g}, and up to {real:g} in {most.name}")
    lost = [each.name for each in spans if each.lost(how.real if each.real else how.whole)]
    return replace(how, deep=frozenset("real" if each.real else "whole" for each in spans), lost=tuple(lost))


@dataclass(frozen=True)
class _Span:
    """The least and the largest number that is not transparent, in a file with numbers of more than 8 bits."""

    tree: Tree
    name: str
    low: float
    high: float
    real: bool
    """Whether it can hold numbers that are not whole."""
    whole: bool
    """Whether all are whole."""

    def lost(self, reach: int) -> bool:
        """Tell whether the numbers differ, but not in bytes of this scale."""
        low, high = (int(_bytes(np.asarray(each), reach)) for each in (self.low, self.high))
        return self.high > self.low and high - low <= (reach > 1)


def _span(tree: Tree, name: str) -> _Span:
    with pillow(tree, name):
        image, raw = loaded(tree, name)
        colour, opacity = numbers_of(tree, name, image, raw)
    colour = colour if opacity is None else colour[opacity > 0]
    low, high = (float(each) for each in (colour.min(), colour.max())) if colour.size else (0.0, 0.0)
    span = _Span(tree, name, low, high, image.mode == "F", bool((colour == np.rint(colour)).all()))
    if not math.isfinite(low + high) or low < -SLACK * span.real or high > WHOLE[-1]:
        _refuse(span, f"{low:g} to {high:g}")
    return span


def _refuse(span: _Span, got: str) -> NoReturn:
    must = f"numbers in {span.name} of {span.tree.path} must lie in 0..1, in 0..255, or be whole and lie in 0..65535"
    raise UserError("load_pool", must, got, "scale it and save it anew")


def _ground(places: Sequence[tuple[Tree, str]], how: Look) -> str | None:
    """Choose the ground for transparent parts; None if nothing is transparent."""
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
