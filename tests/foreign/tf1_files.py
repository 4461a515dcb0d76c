"""Writes a TensorFlow 1 bundle by hand: an index that is a LevelDB table, and the data behind it."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mamlprobe.borders.crc32c import masked_crc32c

KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "uint8": 4}


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def number(place: int, value: int) -> bytes:
    return varint(place << 3) + varint(value)


def part(place: int, content: bytes) -> bytes:
    return varint(place << 3 | 2) + varint(len(content)) + content


def entry(kind: int, shape: tuple[int, ...], offset: int, size: int, checksum: int, shard: int = 0) -> bytes:
    dims = b"".join(part(2, number(1, each)) for each in shape)
    place = (number(3, shard) if shard else b"") + (number(4, offset) if offset else b"")
    return number(1, kind) + part(2, dims) + place + number(5, size) + varint(6 << 3 | 5) + struct.pack("<I", checksum)


def block(entries: list[tuple[bytes, bytes]], *, restart: int = 16, compression: int = 0) -> bytes:
    """A block with its trailer; every sixteenth key is whole."""
    out, restarts, last = b"", [], b""
    for place, (key, value) in enumerate(entries):
        shared = 0
        if place % restart == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    out += b"".join(struct.pack("<I", each) for each in restarts or [0]) + struct.pack("<I", len(restarts or [0]))
    out += bytes([compression])
    return out + struct.pack("<I", masked_crc32c(out))


HEADER = number(1, 1) + part(3, number(1, 1))


@dataclass
class Bundle:
    """The parts of a bundle, to be spoiled before it is written."""

    arrays: dict[str, np.ndarray]
    header: bytes = HEADER
    entries: dict[str, bytes] = field(default_factory=dict)
    data: bytes = b""
    compression: int = 0
    blocks: int = 2
    """Blocks that the entries are spread over."""

    def __post_init__(self):
        for name in sorted(self.arrays):
            self.entries[name] = self.entry(name, offset=len(self.data))
            self.data += self.arrays[name].tobytes()

    def entry(self, name: str, **changed) -> bytes:
        value = self.arrays[name]
        size, checksum = value.nbytes, masked_crc32c(value.tobytes())
        facts = {"kind": KINDS[str(value.dtype)], "shape": value.shape, "size": size, "checksum": checksum, "offset": 0}
        return entry(**(facts | changed))

    def index(self) -> bytes:
        entries = [(b"", self.header), *((name.encode(), self.entries[name]) for name in sorted(self.entries))]
        size = -(-len(entries) // self.blocks)
        out, handles = b"", []
        for begin in range(0, len(entries), size):
            some = entries[begin : begin + size]
            made = block(some, compression=self.compression)
            handles.append((some[-1][0] + b"~", varint(len(out)) + varint(len(made) - 5)))
            out += made
        return self.closed(out, handles)

    def closed(self, out: bytes, handles: list[tuple[bytes, bytes]]) -> bytes:
        """The index of these blocks: what lies in it is told behind them."""
        meta, root = block([]), block(handles, restart=1)
        place = varint(len(out)) + varint(len(meta) - 5)
        place += varint(len(out) + len(meta)) + varint(len(root) - 5)
        return out + meta + root + place.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")

    def write(self, prefix: Path) -> Path:
        prefix.with_name(f"{prefix.name}.index").write_bytes(self.index())
        prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(self.data)
        return prefix


def write_bundle(prefix: Path, arrays: dict[str, np.ndarray]) -> Path:
    return Bundle(arrays).write(prefix)
