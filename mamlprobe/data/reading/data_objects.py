"""Data set objects of other libraries: whatever has a length and gives an image and a label for each number."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import SIZES, ArrayClass, Bytes, assembled, resized
from mamlprobe.data.reading.class_layout import SPLITS, split_of
from mamlprobe.data.reading.joined_pools import joined, pools_in
from mamlprobe.data.reading.levels import check_levels, levelled

IMAGE_NAMES = ("image", "img", "pixel_values")
LABEL_NAMES = ("label", "labels", "fine_label", "target")
"""Keys of items that are dicts, the first that is there."""

PLAIN = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
"""Modes of images that become bytes in one way -> the mode of these."""

SIDE = 4096
"""Pixels of the side of an image."""

WHERE = "pool_from"

Images = dict[tuple[str, str], list[Bytes]]
"""(split, class) -> its images [C, side, side]; the split is "" where none is said."""

NameOf = Callable[[Any, str], str]
"""(label, whose it is) -> the name of its class."""


@door()
def pool_from(
    data: Any,
    labels: Any = None,
    *,
    splits: dict[str, Any] | None = None,
    name: str = "data",
    size: int | None = None,
    normalise: str | None = None,
) -> Pool:
    """Make a pool of a data set object of torchvision or Hugging Face, of one for each split, of arrays, or of pools.

    Args:
        data: an object with a length N, of which item i is ``(image, label)`` or a dict with "image" and "label" (or
            "img", "fine_label"); or a dict from "train", "val", "test" to such objects; or, with `labels`, the images
            alone. An image is one of Pillow, an array [H, W] or [H, W, 3] uint8, or a tensor [C, H, W], uint8 or real
            in 0..1. Or several pools, for tasks out of several data sets: a list of them, whose splits are joined, or a
            dict from split to a pool or a list, for instance to train on one data set and test on another.
        labels: N whole numbers or names, where the items have none.
        splits: split -> its classes, by name or number; images of all objects in `data` are then joined, and classes
            that are in no split are left out. Without it, all classes are in split "test", or in the split of their
            object.
        size: side of the images in pixels; else 28 for grey and 84 for RGB.
        normalise: as in `load_pool`.

    Names of classes are those in `classes` or in `features`, else the labels. Classes are ordered by split and name.

    Raises:
        UserError: no such object, image or label; a class in two splits or in none that is there; normalised images;
            pools of several sizes or levels.

    Examples:
        >>> import numpy as np
        >>> import mamlprobe as mp
        >>> images = np.random.default_rng(0).integers(0, 256, size=(60, 14, 14), dtype=np.uint8)
        >>> labels = ["ant", "bee", "cat", "dog", "eel", "fox"] * 10
        >>> splits = {"train": ["ant", "bee", "cat"], "test": ["dog", "eel", "fox"]}
        >>> pool = mp.pool_from(images, labels, splits=splits, size=14, name="animals")
        >>> pool
        Pool('animals', images [6, 10, 1, 14, 14], classes: train 3, test 3)
        >>> [pool.class_names[number] for number in pool.class_ids("test")]
        ['dog', 'eel', 'fox']
    """
    if normalise is not None:
        check_levels(normalise)
    if size is not None and not 1 <= size <= SIDE:
        raise UserError(WHERE, f"size must lie in 1..{SIDE}", size, "give the side of the images in pixels")
    several = pools_in(data)
    if several is not None:
        if labels is not None or splits is not None:
            got = "labels" if labels is not None else "splits"
            raise UserError(WHERE, "pools must have classes and splits of their own", got, f"leave {got} out")
        pool = joined(several, name=name, size=size)
        return pool if normalise is None else levelled(pool, normalise)
    parts = _parts(data, labels)
    images = _images(parts, size)
    if splits is None:
        chosen = _by_object(images)
    else:
        chosen = _by_list(images, splits, _names(next(iter(parts.values()))[0]))
    classes = {key: ArrayClass(parts=((np.stack(each), np.arange(len(each))),)) for key, each in chosen.items()}
    lost = sorted({each for _, each in images} - {each for _, each in chosen})
    notes = [f"left out {len(lost)} classes that are in no split, the first {lost[0]}"] if lost else []
    kind = type(data).__name__
    split_at_all = splits is not None or isinstance(data, Mapping)
    pool = assembled(Path(name), classes, size=size, about=f"images of a {kind}", notes=notes, split=split_at_all)
    return levelled(pool, normalise)


def _parts(data: Any, labels: Any) -> dict[str, tuple[Any, Any]]:
    """Return split -> data set object and its labels; the split is "" where none is said."""
    if not isinstance(data, Mapping):
        return {"": (_object(data), labels)}
    if labels is not None:
        raise UserError(WHERE, "labels must be in the items of objects of several splits", "labels", "leave them out")
    parts: dict[str, tuple[Any, Any]] = {}
    for word, each in data.items():
        split = split_of(str(word)).replace("eval", "val")
        if not split or split in parts:
            raise unknown(WHERE, "split of data" if not split else f"split {split} (once)", word, SPLITS)
        parts[split] = (_object(each), None)
    if not parts:
        raise UserError(WHERE, "data must hold a data set object for each split", "none", "give one")
    return parts


def _object(data: Any) -> Any:
    good = hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, (str, bytes))
    length = _length(data) if good else None
    if not length:
        got = "an empty one" if length == 0 else type(data).__name__
        raise UserError(WHERE, "data must be a data set object with a length and items", got, "give one with images")
    return data


def _length(value: Any) -> int | None:
    """Return the number of entries; None of what has none, such as a tensor without axes."""
    try:
        return len(value)
    except TypeError:
        return None


class _Colour(Exception):
    """An image in colour among grey ones."""


def _images(parts: Mapping[str, tuple[Any, Any]], size: int | None) -> Images:
    """Return (split, class) -> images [C, side, side], all of the colours and the side that the set has."""
    try:
        return _collected(parts, size, channels=1)
    except _Colour:
        return _collected(parts, size, channels=3)


def _collected(parts: Mapping[str, tuple[Any, Any]], size: int | None, *, channels: int) -> Images:
    images: Images = {}
    side = size or SIZES[channels]
    for split, (data, labels) in parts.items():
        name_of = _names(data)
        for place, image, label in _items(data, labels):
            pixels = _pixels(image, place)
            if len(pixels) > channels:
                raise _Colour
            small = pixels if pixels.shape[1:] == (side, side) else resized(pixels, side)
            key = (split, name_of(label, f"item {place}"))
            images.setdefault(key, []).append(small.repeat(channels // len(small), 0))
    return images


def _items(data: Any, labels: Any) -> Iterator[tuple[int, Any, Any]]:
    """Yield number, image and label of each item."""
    if labels is None:
        labels = next((each for name in ("targets", "labels") if (each := getattr(data, name, None)) is not None), None)
        inside = True
    else:
        inside = False
        length = None if isinstance(labels, Mapping) else _length(labels)
        if length != len(data):
            got = type(labels).__name__ if length is None else length
            raise UserError(WHERE, f"labels must be {len(data)}, one an image", got, "give one for each")
    for place in range(len(data)):
        item = data[place]
        if not inside:
            yield place, item, labels[place]
        elif isinstance(item, Mapping):
            yield place, _entry(item, IMAGE_NAMES, place), _entry(item, LABEL_NAMES, place)
        elif isinstance(item, (tuple, list)) and len(item) >= 2:
            yield place, item[0], item[1]
        elif labels is not None and _length(labels) == len(data):
            yield place, item, labels[place]
        else:
            _refuse(place, "(image, label) or a dict with these", type(item).__name__)


def _entry(item: Mapping[str, Any], names: tuple[str, ...], place: int) -> Any:
    for name in names:
        if name in item:
            return item[name]
    _refuse(place, f"a dict with {names[0]!r}", ", ".join(map(str, item))[:100] or "nothing")


def _refuse(whose: str | int, must: str, got: object, advice: str = "give images and labels") -> NoReturn:
    whose = whose if isinstance(whose, str) else f"item {whose}"
    raise UserError(WHERE, f"{whose} must be {must}", got, advice)


def _pixels(image: Any, place: int) -> Bytes:
    """Return an image as bytes [C, H, W]."""
    must = "an image of Pillow, an array [H, W] or [H, W, 3] uint8, or a tensor [C, H, W]"
    if isinstance(image, Image.Image):
        if image.mode not in PLAIN or "transparency" in image.info:
            advice = "convert it to L or RGB in a transform"
            _refuse(place, "an image without transparency of 8 bits", f"mode {image.mode}", advice)
        grey = PLAIN[image.mode] == "L"
        pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
        return pixels[None] if grey else pixels.transpose(2, 0, 1)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
        image = image.transpose(1, 2, 0) if image.ndim == 3 else image
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
        _refuse(place, must, f"one of shape {list(getattr(image, 'shape', ()))}" if image is not None else "None")
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[2] not in (1, 3) or max(image.shape[:2]) > SIDE:
        _refuse(place, must, list(image.shape))
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not 0 <= low <= high <= 1 + 1e-6:
            _refuse(place, "of numbers in 0..1", f"{low:g} to {high:g}", "leave normalisation out of the transform")
        image = np.rint(image * 255.0).clip(0, 255).astype(np.uint8)
    if image.dtype != np.uint8:
        _refuse(place, must, image.dtype)
    return np.asarray(image.transpose(2, 0, 1))


def _names(data: Any) -> NameOf:
    """Return the function from a label to the name of its class."""
    inner = getattr(data, "dataset", None)  # of a subset
    features = getattr(data, "features", None)
    names: Any = None
    if isinstance(features, Mapping):
        names = next((n for key in LABEL_NAMES if (n := getattr(features.get(key), "names", None)) is not None), None)
    for each in (data, inner):
        names = names if names is not None else getattr(each, "classes", None)
    known = [str(each) for each in names] if isinstance(names, Sequence) and not isinstance(names, str) else None

    if known is not None and len(set(known)) < len(known):
        known = [f"{each} {place}" for place, each in enumerate(known)]

    def name_of(label: Any, whose: str) -> str:
        if isinstance(label, str):
            return label
        try:
            number = operator.index(label.item() if hasattr(label, "item") else label)
        except (TypeError, ValueError, RuntimeError):
            _refuse(whose, "labelled by a whole number or a name", type(label).__name__)
        if known is None:
            return f"class{number:03d}"
        if not 0 <= number < len(known):
            _refuse(whose, f"labelled by a number in 0..{len(known) - 1}, one of its classes", number)
        return known[number]

    return name_of


def _by_object(images: Images) -> Images:
    """Return (split, class) -> images, by the splits of the objects."""
    names = [name for _, name in images]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        advice = "hold out whole classes: give splits, a dict from split to its classes"
        raise UserError(WHERE, f"class {twice!r} must lie in one split", "several", advice)
    return {(split or "test", name): each for (split, name), each in images.items()}


def _by_list(images: Images, splits: dict[str, Any], name_of: NameOf) -> Images:
    """Return (split, class) -> images, by the splits that are asked for."""
    joined: dict[str, list[Bytes]] = {}
    for (_, name), each in images.items():
        joined.setdefault(name, []).extend(each)
    chosen: Images = {}
    for split, wanted in splits.items():
        if split not in SPLITS:
            raise unknown(WHERE, "split", split, SPLITS)
        if isinstance(wanted, str) or not hasattr(wanted, "__iter__"):
            raise UserError(WHERE, f"splits[{split!r}] must list classes", type(wanted).__name__, "give a list")
        for each in wanted:
            name = name_of(each, f"a class of split {split}")
            if name not in joined:
                raise unknown(WHERE, f"class of split {split}", name, sorted(joined))
            if any(other == name for _, other in chosen):
                raise UserError(WHERE, f"class {name!r} must lie in one split", "two", "hold out whole classes")
            chosen[split, name] = joined[name]
    if not chosen:
        raise UserError(WHERE, "splits must list classes", "none", "give at least one")
    return chosen
