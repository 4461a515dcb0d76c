"""CRC-32C, the checksum of TensorFlow's files, for many bytes at once.

A CRC is linear over GF(2): bytes are cut into lanes that are summed side by side, and two sums are joined by what so
many zeros behind the first one make of it.
"""

import numpy as np
import numpy.typing as npt

POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed (RFC 3720)."""

LANE, PART = 512, 2**24
"""Bytes of a lane, and of what is summed at once."""

MASK = 0xA282EAD8
"""What TensorFlow adds to a sum that is rotated by 15 bits."""

Words = npt.NDArray[np.uint32]


def _table() -> Words:
    """Return what two bytes make of a sum of zero."""
    sums = np.arange(2**16, dtype=np.uint32)
    for _ in range(16):
        sums = (sums >> np.uint32(1)) ^ np.where(sums & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    return sums


TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of these bytes."""
    state = 0xFFFFFFFF
    for begin in range(0, len(data), PART):
        state = _summed(np.frombuffer(data, np.uint8, min(PART, len(data) - begin), begin), state)
    return state ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of these bytes as TensorFlow writes it into its files."""
    plain = crc32c(data)
    return ((plain >> 15 | plain << 17) + MASK) & 0xFFFFFFFF


def _summed(data: npt.NDArray[np.uint8], state: int) -> int:
    """Return the sum behind these bytes, 1 or more, of one before them."""
    first = np.frombuffer(state.to_bytes(4, "little"), np.uint8)
    lanes = -(-max(len(data), 4) // LANE)
    whole = np.zeros(lanes * LANE, np.uint8)  # zeros in front of a sum of zero change nothing
    if len(data) < 4:
        return _few(data.tobytes(), state)
    whole[-len(data) :] = data
    begin = len(whole) - len(data)
    whole[begin : begin + 4] ^= first  # a sum before four bytes is those bytes changed by it
    sums = np.zeros(lanes, np.uint32)
    for pair in whole.view("<u2").reshape(lanes, -1).T:
        sums = _pushed(sums ^ pair)
    behind = np.uint32(1) << np.arange(32, dtype=np.uint32)  # what each bit becomes, by zeros behind it
    for _ in range(LANE // 2):
        behind = _pushed(behind)
    while len(sums) > 1:
        sums = np.concatenate([np.zeros(len(sums) % 2, np.uint32), sums])
        sums = _applied(behind, sums[::2]) ^ sums[1::2]
        behind = _applied(behind, behind)
    return int(sums[0])


def _few(data: bytes, state: int) -> int:
    for each in data:
        state = int(TABLE[((state ^ each) & 0xFF) << 8]) ^ state >> 8
    return state


def _pushed(sums: Words) -> Words:
    """Return the sums with two zero bytes behind."""
    pushed: Words = TABLE[sums & np.uint32(0xFFFF)] ^ sums >> np.uint32(16)
    return pushed


def _applied(matrix: Words, sums: Words) -> Words:
    """Return the sums with the bits of each replaced by what they become."""
    done = np.zeros_like(sums)
    for bit, word in enumerate(matrix):
        done ^= np.where(sums >> np.uint32(bit) & np.uint32(1), word, np.uint32(0))
    return done
