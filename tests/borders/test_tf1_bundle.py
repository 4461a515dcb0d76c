"""TensorFlow 1 checkpoints: read as they were written; each part that is spoiled ends in one line."""

import struct

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.crc32c import masked_crc32c
from mamlprobe.borders.tf1_bundle import index_of, read_bundle
from tests.foreign.tf1_files import HEADER, Bundle, block, number, part, varint, write_bundle

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "model/conv1": RANDOM.normal(size=(3, 3, 2, 4)).astype(np.float32),
    "model/conv1/Adam": RANDOM.normal(size=(3, 3, 2, 4)),
    "model/count": np.array(7, np.int64),
    "model/none": np.zeros((0, 3), np.float32),
    **{f"model/v_{n}": RANDOM.normal(size=n).astype(np.float32) for n in range(1, 40)},
    "z": np.arange(3, dtype=np.int32),
}


def test_arrays_come_back(tmp_path):
    write_bundle(tmp_path / "m", ARRAYS)
    got = read_bundle("here", tmp_path / "m.index")
    assert got.keys() == ARRAYS.keys()
    assert all(np.array_equal(got[name], value) and got[name].dtype == value.dtype for name, value in ARRAYS.items())
    assert got["model/count"].shape == ()


def test_a_bundle_is_named_by_its_prefix_or_any_of_its_files(tmp_path):
    write_bundle(tmp_path / "m.ckpt-3", {"a": ARRAYS["z"]})
    index = tmp_path / "m.ckpt-3.index"
    for name in ("m.ckpt-3", "m.ckpt-3.index", "m.ckpt-3.data-00000-of-00001"):
        assert index_of(tmp_path / name) == index
    assert index_of(tmp_path / "m") is None
    (tmp_path / "m.ckpt-3").touch()  # a file of this very name is meant itself
    assert index_of(tmp_path / "m.ckpt-3") is None


def test_several_files_of_data(tmp_path):
    bundle = Bundle({"a": ARRAYS["z"], "b": ARRAYS["model/conv1"]}, header=number(1, 2))
    bundle.entries["b"] = bundle.entry("b", shard=1)
    (tmp_path / "m.index").write_bytes(bundle.index())
    (tmp_path / "m.data-00000-of-00002").write_bytes(bundle.data)
    with pytest.raises(UserError, match=r"m\.data-00001-of-00002; put it beside the index"):
        read_bundle("here", tmp_path / "m.index")
    (tmp_path / "m.data-00001-of-00002").write_bytes(ARRAYS["model/conv1"].tobytes())
    assert np.array_equal(read_bundle("here", tmp_path / "m.index")["b"], ARRAYS["model/conv1"])


def test_other_types_are_left_out(tmp_path):
    write_bundle(tmp_path / "m", {"a": np.arange(3, dtype=np.uint8), "b": ARRAYS["z"]})
    assert read_bundle("here", tmp_path / "m.index").keys() == {"b"}


def entries(**changed):
    """Spoils where a tensor lies."""

    def spoil(bundle):
        bundle.entries["a"] = bundle.entry("a", **changed)

    return spoil


def whole(name, value):
    def spoil(bundle):
        setattr(bundle, name, value)

    return spoil


def sliced(bundle):
    bundle.entries["a"] += part(7, b"")


def no_message(bundle):
    bundle.entries["a"] = b"\x12\x7f\x01"


def words_for_numbers(bundle):
    bundle.entries["a"] = part(4, b"abc") + bundle.entries["a"]
    bundle.entries["a"] += part(4, b"abc")


def twice(bundle):
    """Every tensor is as long as the file."""
    bundle.entries["b"] = bundle.entry("a")
    bundle.entries["c"] = bundle.entry("a")


def long_name(bundle):
    bundle.entries["a" * 1001] = bundle.entries.pop("a")


def flipped(bundle):
    bundle.data = bytes([bundle.data[0] ^ 1]) + bundle.data[1:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (entries(shape=(3, 3, 2, 5)), "'a' of shape [3, 3, 2, 5] in 288 bytes"),
        (entries(shape=(2**62,)), "a shape of 1 numbers"),
        (entries(shape=(1,) * 9), "a shape of 9 numbers"),
        (entries(size=2**40), "'a' of shape [3, 3, 2, 4] in 1,099,511,627,776 bytes"),
        (entries(shape=(2**30,), size=2**32), "'a' of 4,294,967,296 bytes from 0 in a file of 300"),
        (entries(offset=13), "'a' of 288 bytes from 13 in a file of 300"),
        (entries(checksum=1), "'a' with another checksum"),
        (entries(shard=1), "'a' in file 1 of 1"),
        (flipped, "'a' with another checksum"),
        (sliced, "a variable in slices, 'a'"),
        (no_message, "an entry that is no message"),
        (words_for_numbers, "an entry whose numbers are bytes"),
        (twice, "tensors of more than 300 bytes"),
        (long_name, "an entry that is longer than its block"),
        (whole("header", number(1, 1) + number(2, 1)), "big-endian numbers"),
        (whole("header", number(1, 5000)), "5,000 files of data"),
        (whole("header", b"\xff" * 11), "a number of more than 64 bits"),
        (whole("header", b"\x08"), "a number that is cut"),
        (whole("compression", 1), "compressed blocks, which are not read here"),
        (whole("data", b""), "'a' of 288 bytes from 0 in a file of 0"),
    ],
)
def test_what_is_spoiled_is_one_line(spoil, words, tmp_path):
    bundle = Bundle({"a": ARRAYS["model/conv1"], "b": ARRAYS["z"]})
    spoil(bundle)
    bundle.write(tmp_path / "m")
    with pytest.raises(UserError) as info:
        read_bundle("here", tmp_path / "m.index")
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def keyed(*keys):
    """A block of these entries, with its trailer."""
    return block([(key, HEADER) for key in keys])


def handle(begin, made):
    return varint(begin) + varint(len(made) - 5)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (lambda good: b"", "a file that ends in nothing"),
        (lambda good: good[:-1], "a file that ends in 00 57 fb 80 8b 24 75 47"),
        (lambda good: good[-47:], "a file that ends in"),
        (lambda good: bytes([good[0] ^ 1]) + good[1:], "with another checksum"),
        (lambda good: good[:60] + good[61:], "a block of 26 bytes from 102 in 180"),
        (lambda good: good[:-48] + b"\xff" * 40 + good[-8:], "a number of more than 64 bits"),
        (lambda good: good[:-48] + varint(2**60) * 4 + bytes(4) + good[-8:], "a block of"),
        (lambda good: good[:-48] + bytes(40) + good[-8:], "a block of 0 bytes from 0"),
    ],
)
def test_a_spoiled_index_is_one_line(index, words, tmp_path):
    bundle = Bundle({"a": ARRAYS["model/conv1"], "b": ARRAYS["z"]})
    bundle.write(tmp_path / "m")
    (tmp_path / "m.index").write_bytes(index(bundle.index()))
    with pytest.raises(UserError) as info:
        read_bundle("here", tmp_path / "m.index")
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def test_blocks_are_read_once_and_names_are_there_once(tmp_path):
    """A small index cannot stand for a large table."""
    bundle, one = Bundle({}), keyed(b"")
    again = bundle.closed(one, [(b"a", handle(0, one)), (b"b", handle(0, one))])
    same = bundle.closed(one + one, [(b"a", handle(0, one)), (b"b", handle(len(one), one))])
    for content, words in ((again, "blocks that overlap at byte 0"), (same, "a name twice")):
        (tmp_path / "m.index").write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_bundle("here", tmp_path / "m.index")


def test_an_entry_longer_than_its_block(tmp_path):
    for content in (b"\0\x01\x7fa", b"\x05\x01\0a", b"\0\x01"):
        body = content + struct.pack("<II", 0, 1) + b"\0"
        made = body + struct.pack("<I", masked_crc32c(body))
        (tmp_path / "m.index").write_bytes(Bundle({}).closed(made, [(b"a", handle(0, made))]))
        with pytest.raises(UserError, match="longer than its block"):
            read_bundle("here", tmp_path / "m.index")


@pytest.mark.parametrize("name", ["m.index", "m.data-00000-of-00001"])
def test_a_file_that_is_no_file(name, tmp_path):
    write_bundle(tmp_path / "m", {"a": ARRAYS["z"]})
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} must be a regular file"):
        read_bundle("here", tmp_path / "m.index")
