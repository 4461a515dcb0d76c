"""Random numbers without state: the same key gives the same numbers, on every device and after every resume."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mamlprobe.base.keys import key

_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX2 = 0x94D049BB133111EB - (1 << 64)


def generator(*key_parts: int | str) -> torch.Generator:
    """Return a CPU generator seeded by the key, such as ``generator(seed, "init")``."""
    return torch.Generator().manual_seed(key(*key_parts))


def _fold(bits: Tensor, count: int) -> None:
    """Write bits xor (bits >> count, unsigned) into the int64 `bits`."""
    bits ^= (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def random_keys(*key_parts: int | str, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Draw independent uniform 63-bit integers of the stated shape, int64, on the device itself.

    The counter-based generator SplitMix64 (Steele, Lea, Flood 2014): entry i is a bijective mix of key + i * gamma,
    so the numbers are the same on every device and nothing is carried from call to call.
    """
    return key_sets([key_parts], [shape], device=device)[0]


def key_sets(
    names: Sequence[tuple[int | str, ...]], shapes: Sequence[tuple[int, ...]], *, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """Draw `random_keys` for several keys in one pass, each with its shape: the same numbers as one by one."""
    counts = [math.prod(shape) for shape in shapes]
    z = torch.arange(1, sum(counts) + 1, dtype=torch.int64, device=device).mul_(_GAMMA)
    begin = 0
    for key_parts, count, part in zip(names, counts, torch.split(z, counts), strict=True):
        part.add_(_signed(key(*key_parts) - begin * _GAMMA))
        begin += count
    _fold(z, 30)
    z.mul_(_MIX1)
    _fold(z, 27)
    z.mul_(_MIX2)
    _fold(z, 31)
    parts = torch.split((z >> 1).bitwise_and_((1 << 63) - 1), counts)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _signed(value: int) -> int:
    """Return the int64 that is congruent to the value modulo 2^64."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
