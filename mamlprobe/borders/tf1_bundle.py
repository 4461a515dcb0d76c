"""TensorFlow's checkpoints of variables, ``PREFIX.index`` and ``PREFIX.data-00000-of-00001``, read without TensorFlow.

The index is a table of LevelDB: blocks of sorted keys, each without what it shares with the one before, and a footer.
A value is a protobuf message that says where in the data a tensor lies. Every checksum is verified, and every size is
held to the file's before anything is read.
"""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mamlprobe.base.errors import UserError
from mamlprobe.borders.crc32c import masked_crc32c
from mamlprobe.borders.regular_files import check_file, read_file
from mamlprobe.borders.tensor_files import LARGEST_HEADER, LARGEST_WEIGHTS, TENSORS

MAGIC = bytes.fromhex("57fb808b247547db")
"""The last bytes of an index."""

FOOTER, TRAILER = 48, 5
"""Bytes behind the blocks, and behind each of them: one for its compression and four of a checksum."""

LONGEST, SIDES, SHARDS = 1000, 8, 1000
"""Bytes of a name, numbers of a shape, and files of data."""

KINDS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""TensorFlow's types of numbers that are read."""

DATA = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")

Arrays = dict[str, npt.NDArray[Any]]


def index_of(path: Path) -> Path | None:
    """Return the index of the bundle that a path means: its prefix, its index or a file of its data; else None."""
    data = DATA.fullmatch(path.name)
    if data is not None:
        return path.with_name(f"{data[1]}.index")
    if path.name.endswith(".index"):
        return path
    index = path.with_name(f"{path.name}.index") if path.name else path
    return index if not path.exists() and index.is_file() else None


def read_bundle(where: str, index: Path) -> Arrays:
    """Read the variables of a bundle by name; those that are no plain numbers are left out.

    Raises:
        UserError: no such file; a damaged one, or one beyond the limits; compressed blocks.
    """
    must, advice = f"{index.name} must be the index of a whole TensorFlow checkpoint", "copy its files again"
    content = read_file(where, index, most=LARGEST_HEADER, advice=advice)
    try:
        entries = _entries(content)
        shards, places = _places(entries)
    except (ValueError, IndexError) as error:
        got = "a number that is cut" if isinstance(error, IndexError) else error
        raise UserError(where, must, got, advice) from None
    arrays: Arrays = {}
    for shard in sorted({place[2] for place in places.values()}):
        path = index.with_name(f"{index.name.removesuffix('.index')}.data-{shard:05d}-of-{shards:05d}")
        size = check_file(where, path, most=LARGEST_WEIGHTS, advice=advice, absent="put it beside the index")
        try:
            arrays |= _read(path, size, {name: place for name, place in places.items() if place[2] == shard})
        except (ValueError, OSError) as error:
            text = f"{path.name} must hold what {index.name} says"
            raise UserError(where, text, getattr(error, "strerror", None) or error, advice) from None
    return {name: arrays[name] for name in places}


Place = tuple[str, tuple[int, ...], int, int, int, int]
"""Type, shape, number of the file, first byte, bytes and checksum of a tensor."""


def _read(path: Path, size: int, places: dict[str, Place]) -> Arrays:
    """Read the tensors that lie in one file of this size.

    Raises:
        ValueError: they are longer than it, or other ones; the message is a few words.
    """
    for name, (_, _, _, begin, length, _) in places.items():
        if begin + length > size:
            raise ValueError(f"{name[:80]!r} of {length:,} bytes from {begin:,} in a file of {size:,}")
    if sum(place[4] for place in places.values()) > size:
        raise ValueError(f"tensors of more than {size:,} bytes")
    arrays: Arrays = {}
    with open(path, "rb") as file:
        for name, (kind, shape, _, begin, length, checksum) in places.items():
            file.seek(begin)
            data = file.read(length)
            if len(data) < length or masked_crc32c(data) != checksum:
                raise ValueError(f"{name[:80]!r} with another checksum")
            arrays[name] = np.frombuffer(data, kind).reshape(shape)
    return arrays


def _places(entries: dict[bytes, bytes]) -> tuple[int, dict[str, Place]]:
    """Return the number of data files, and where each tensor of plain numbers lies."""
    head = _message(entries.pop(b"", b""))
    shards = _number(head, 1, 1)
    if not 1 <= shards <= SHARDS or _number(head, 2, 0) != 0:
        raise ValueError("big-endian numbers" if _number(head, 2, 0) else f"{shards:,} files of data")
    places = {}
    for key, value in entries.items():
        name, entry = key.decode("utf-8", "replace"), _message(value)
        if 7 in entry:
            raise ValueError(f"a variable in slices, {name[:80]!r}")
        kind = KINDS.get(_number(entry, 1, 0))
        if kind is None:
            continue
        shape = _shape(entry)
        begin, length, shard = (_number(entry, field, 0) for field in (4, 5, 3))
        if math.prod(shape) * np.dtype(kind).itemsize != length:
            raise ValueError(f"{name[:80]!r} of shape {list(shape)} in {length:,} bytes")
        if shard >= shards:
            raise ValueError(f"{name[:80]!r} in file {shard:,} of {shards:,}")
        places[name] = (kind, shape, shard, begin, length, _number(entry, 6, 0))
    return shards, places


def _shape(entry: "Message") -> tuple[int, ...]:
    dims = [_message(_bytes(dim)) for each in entry.get(2, ()) for dim in _message(_bytes(each)).get(2, ())]
    shape = tuple(_number(dim, 1, 0) for dim in dims)
    if len(shape) > SIDES or any(side > LARGEST_WEIGHTS for side in shape):
        raise ValueError(f"a shape of {len(shape)} numbers up to {max(shape):,}")
    return shape


def _entries(content: bytes) -> dict[bytes, bytes]:
    """Return the entries of a table by key.

    Raises:
        ValueError: it is none, or a damaged one; the message is a few words.
    """
    if len(content) < FOOTER or not content.endswith(MAGIC):
        raise ValueError(f"a file that ends in {content[-8:].hex(' ') or 'nothing'}")
    footer = content[-FOOTER:]
    _, at = _handle(footer, 0)
    root, _ = _handle(footer, at)
    entries: dict[bytes, bytes] = {}
    end = 0
    for _, value in _block(content, root):
        place, _ = _handle(value, 0)
        if place[0] < end:
            raise ValueError(f"blocks that overlap at byte {place[0]:,}")
        end = place[0] + place[1] + TRAILER
        for key, entry in _block(content, place):
            if key in entries or len(entries) > TENSORS:
                raise ValueError(f"a name twice, {key[:80]!r}" if key in entries else f"more than {TENSORS:,} tensors")
            entries[key] = entry
    return entries


def _block(content: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of the block at this place, a first byte and a length."""
    begin, length = place
    if not 4 <= length <= len(content) - FOOTER - TRAILER - begin:
        raise ValueError(f"a block of {length:,} bytes from {begin:,} in {len(content):,}")
    block = content[begin : begin + length]
    compression, checksum = struct.unpack_from("<BI", content, begin + length)
    if masked_crc32c(content[begin : begin + length + 1]) != checksum:
        raise ValueError(f"a block at {begin:,} with another checksum")
    if compression:
        raise ValueError("compressed blocks, which are not read here")
    end = length - 4 * (struct.unpack_from("<I", block, length - 4)[0] + 1)  # places where keys are whole
    key, at = b"", 0
    while at < end:
        (shared, new, size), at = _varints(block, at, 3)
        if shared > len(key) or shared + new > LONGEST or at + new + size > end:
            raise ValueError(f"an entry that is longer than its block, at {begin + at:,}")
        key = key[:shared] + block[at : at + new]
        yield key, block[at + new : at + new + size]
        at += new + size
    if at != end:
        raise ValueError(f"a block at {begin:,} that does not end with its entries")


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return a first byte and a length, and where they end."""
    (begin, length), at = _varints(content, at, 2)
    return (begin, length), at


def _varints(content: bytes, at: int, count: int) -> tuple[list[int], int]:
    numbers = []
    for _ in range(count):
        number, at = _varint(content, at)
        numbers.append(number)
    return numbers, at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a whole number of up to 64 bits, in groups of 7 with the lowest first, and where it ends."""
    number = 0
    for place in range(10):
        byte = content[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError("a number of more than 64 bits")


Message = dict[int, list[int | bytes]]
"""The values of a protobuf message by the number of their field."""


def _message(content: bytes) -> Message:
    """Take a protobuf message apart."""
    fields: Message = {}
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(content, at)
        else:
            length, at = _varint(content, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, len(content) + 1), at)
            if at + length > len(content):
                raise ValueError("an entry that is no message")
            part, at = content[at : at + length], at + length
            value = part if kind == 2 else int.from_bytes(part, "little")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(message: Message, field: int, default: int) -> int:
    value = message.get(field, [default])[-1]
    if not isinstance(value, int):
        raise ValueError("an entry whose numbers are bytes")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("an entry whose parts are numbers")
    return value
