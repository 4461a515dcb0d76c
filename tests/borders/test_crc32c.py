"""The checksum of TensorFlow's files, against the definition bit by bit and published values."""

import numpy as np
import pytest

from mamlprobe.borders import crc32c as module
from mamlprobe.borders.crc32c import crc32c, masked_crc32c


def by_definition(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_values(data, wanted):
    """RFC 3720, B.4."""
    assert crc32c(data) == by_definition(data) == wanted


@pytest.mark.parametrize("part", [700, 2**24])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 511, 512, 513, 700, 701, 702, 703, 1024, 1400, 3001])
def test_lanes_and_parts_are_joined(size, part, monkeypatch):
    monkeypatch.setattr(module, "PART", part)
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == by_definition(data)


def test_the_mask():
    """As LevelDB and TensorFlow define it: rotated right by 15 bits, plus a constant."""
    plain = crc32c(b"foo")
    rotated = int(f"{plain:032b}"[-15:] + f"{plain:032b}"[:-15], 2)
    assert masked_crc32c(b"foo") == (rotated + 0xA282EAD8) % 2**32 != plain
