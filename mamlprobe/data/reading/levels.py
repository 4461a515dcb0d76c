"""Named normalisations, and normalisations by their numbers: what `Pool.floats` subtracts and divides by."""

import math
from dataclasses import replace

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.pool import Pool

Numbers = tuple[float, ...]


def _of_bytes(*numbers: float) -> Numbers:
    """Return numbers of brightness 0 to 255 as ones of 0 to 1."""
    return tuple(number / 255 for number in numbers)


LEVELS: dict[str, tuple[Numbers, Numbers]] = {
    "none": ((0.0,), (1.0,)),
    "half": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "raw255": ((0.0,), _of_bytes(1)),
    "lee2019": (
        _of_bytes(120.39586422, 115.59361427, 104.54012653),
        _of_bytes(70.68188272, 68.27635443, 72.54505529),
    ),
    "cifar": (
        _of_bytes(129.37731888, 124.10583864, 112.47758569),
        _of_bytes(68.20947949, 65.43124043, 70.45866994),
    ),
    "cifar-rfs": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "floodsung": ((0.92206,), (0.08426,)),
}
"""Normalisation -> mean and std, one number for all channels or one for each.

raw255: brightness 0 to 255 as it is (learn2learn). lee2019: MetaOptNet's of mini- and tieredImageNet. cifar: its of
CIFAR-FS and FC100, and cifar-rfs that of Tian et al. 2020. floodsung: LearningToCompare's of both its data sets.
"""


def check_levels(word: str) -> None:
    """Check a normalisation.

    Raises:
        UserError: an unknown name; numbers that are none.
    """
    _numbers(word)


def levelled(pool: Pool, word: str | None) -> Pool:
    """Return the pool with this normalisation, the usual one for its channels if None; its source says which.

    Raises:
        UserError: as `check_levels`, or one for another number of channels.
    """
    channels = pool.image_shape[0]
    word = word or ("imagenet" if channels == 3 else "none")
    mean, std = _numbers(word)
    if len(mean) not in (1, channels) or ("," in word and len(mean) != channels):
        advice = "take none or half" if word in LEVELS else "give a mean and an std for each channel"
        must = f"images of {word!r} must have {len(mean)} channels"
        raise UserError("load_pool", must, channels, advice)
    spread = channels // len(mean)
    return replace(pool, mean=mean * spread, std=std * spread, source=f"{pool.source}; levels {word}")


def _numbers(word: str) -> tuple[Numbers, Numbers]:
    """Return mean and std of a name, or of numbers: means, then stds."""
    if "," not in word:
        if word not in LEVELS:
            raise unknown("load_pool", "normalisation", word, LEVELS)
        return LEVELS[word]
    try:
        numbers = tuple(float(each) for each in word.split(","))
    except ValueError:
        numbers = ()
    count = len(numbers) // 2
    mean, std = numbers[:count], numbers[count:]
    good = len(numbers) in (2, 6) and all(math.isfinite(each) for each in numbers)
    if not good or not all(0 <= each <= 1 for each in mean) or not all(0 < each <= 1 for each in std):
        must = "numbers of a normalisation must be means in 0..1 and then stds above 0 and up to 1, of R,G,B or of grey"
        raise UserError("load_pool", must, repr(word[:80]), "divide by 255 what is in 0..255: m,m,m,s,s,s or m,s")
    return mean, std
