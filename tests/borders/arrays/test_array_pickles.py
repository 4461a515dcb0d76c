"""Pickles of arrays give what Python's own reader gives, and call nothing, whoever wrote them."""

import io
import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays import array_pickles
from mamlprobe.borders.arrays.array_pickles import parse_pickle, read_pickle
from mamlprobe.borders.arrays.pickled_values import text_of
from mamlprobe.borders.pickles import Foreign


class Touch:
    """A pickle of it makes a file, if it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def parse(data):
    return parse_pickle(io.BytesIO(data), len(data))


def peak(data):
    """The most bytes that are taken while it is parsed."""
    tracemalloc.start()
    try:
        with suppress(ValueError):
            parse(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


IMAGES = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
VALUES = {
    "images": IMAGES,
    "columns": np.asfortranarray(IMAGES[0, :, :, 0]),
    "labels": [0, 1, 255, 256, 70000, -1, 2**40, True, None, 0.5],
    "classes": OrderedDict([("n01", [0, 2]), ("n02", [1])]),
    "numbers": np.array([1, 2, -3]),
    "big": np.array([1.5, 2.5], dtype=">f4"),
    "one": np.float32(0.25),
    "words": np.array(["a", "bcd"]),
    "objects": np.array(["x", None], dtype=object),
    "png": [np.frombuffer(b"\x89PNG\xff", np.uint8), b"\x89\xff"],
    "text": ["häuser", "a'\n\\", "x" * 300],
    "empty": [[], {}, b"", "", np.zeros((0, 3), np.uint8)],
    7: bytes(range(256)) * 2,
}


@pytest.mark.parametrize("protocol", range(6))
def test_what_numpy_and_python_write_is_read(protocol):
    read = parse(pickle.dumps(VALUES, protocol))
    assert read.keys() == VALUES.keys()
    for name in ("images", "columns", "numbers", "big", "words"):
        np.testing.assert_array_equal(read[name], VALUES[name])
        assert read[name].dtype == VALUES[name].dtype
    np.testing.assert_array_equal(read["png"][0], VALUES["png"][0])
    assert read["png"][1] == VALUES["png"][1]
    for name in ("labels", "one", "text", "classes"):
        assert read[name] == VALUES[name]
    assert read["objects"] == ["x", None]
    assert read["empty"][4].shape == (0, 3)
    assert read["empty"][:4] == [[], {}, b"", ""]
    assert read[7] == VALUES[7]


PYTHON_2 = {  # written by Python 2.7 and numpy 1.16: text is bytes, the array's bytes too
    2: b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05U"
    b"\x01bq\x06\x87q\x07Rq\x08(K\x01K\x02K\x03\x86q\tcnumpy\ndtype\nq\nU\x02u1q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U"
    b"\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x06\x00\x01\x80\xff\x0a'q\x10tq\x11bU"
    b"\x06labelsq\x12]q\x13(K\x00K\x01eu.",
    0: b"(dp0\nS'data'\np1\n"
    b"cnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
    b"(I1\n(I2\nI3\ntp8\ncnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
    b"S\"\\x00\\x01\\x80\\xff\\n'\"\np15\ntp16\nbsS'labels'\np17\n(lp18\nI0\naI1\nas.",
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_what_python_2_wrote_is_read(protocol):
    data = PYTHON_2[protocol]
    read, known = parse(data), pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(read["data"], known["data"])
    np.testing.assert_array_equal(read["data"].ravel(), [0, 1, 128, 255, 10, 39])
    assert read["labels"] == known["labels"] == [0, 1]


def test_arrays_are_views_of_what_was_read():
    data = pickle.dumps({"a": np.zeros(2**24, np.uint8)}, 4)
    assert peak(data) < 1.2 * 2**24


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_called(tmp_path, protocol):
    canary = tmp_path / "executed"
    for value in (Touch(canary), {"data": IMAGES, "more": Touch(canary)}, [Path("x")], 1j, Touch):
        with pytest.raises(Foreign, match=r"a pickle (that calls |with the operation )\S+"):
            parse(pickle.dumps(value, protocol))
    assert not canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch executed'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch executed'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n(S'touch executed'\nt\x81.",  # NEWOBJ
        b"cnumpy\ndtype\n(Vu1\ntRcos\nsystem\nb.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"\x82\x01.",  # EXT1
        b"Pname\n.",
    ],
)
def test_other_ways_to_call_are_refused(data):
    with pytest.raises(Foreign):
        parse(data)


def state(shape=(2,), raw=b"ab", code="u1", order="|"):
    """A pickle of an array with these parts."""
    kind = pickle.dumps(code, 2)[2:-1]
    begin = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
    parts = b"(K\x03" + pickle.dumps(order, 2)[2:-1] + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    end = pickle.dumps(raw, 4)[11:-1] if isinstance(raw, bytes) else pickle.dumps(raw, 2)[2:-1]
    return begin + pickle.dumps(shape, 2)[2:-1] + b"cnumpy\ndtype\n" + kind + b"\x89\x88\x87R" + parts + end + b"tb."


def test_a_right_state_is_read():
    assert parse(state(raw=pickle.loads(pickle.dumps("ab"))).replace(b"\x80\x02", b"\x80\x02")).tolist() == [97, 98]


@pytest.mark.parametrize(
    "data",
    [
        state(shape=(2**40,), raw="ab"),
        state(shape=(3,), raw="ab"),
        state(shape=(-1, -2), raw="ab"),
        state(shape=(2.0,), raw="ab"),
        state(shape=[2], raw="ab"),
        state(code="V900000000", raw="ab"),
        state(code="O", raw="ab"),
        state(code="M8", raw="ab"),
        state(order="x", raw="ab"),
        state(raw=7),
        b"",
        b".",
        b"N",
        b"text",
        b"\x80\x09N.",
        b"\x8e" + struct.pack("<Q", 2**50) + b".",
        b"\x96" + struct.pack("<Q", 2**63) + b".",
        b"T\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"I" + b"9" * 10**6 + b"\n.",
        b"r\xff\xff\xff\xff.",
        b"Nr\xff\xff\xff\xff.",
        b"Np-3\n.",
        b"h\x07.",
        b"(" * 10**5,
        b"]" * 10**5 + b".",
        b"N" * (2**20 + 2) + b".",
        b"}" + b"N\x85" * 10**5 + b"Ns.",
        b"}N\x85Ns.",
        b"]q\x00h\x00a.",
        b"}(" + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(5000)) + b"u.",
        b"cnumpy\ndtype\n.",
        b"cnumpy\nndarray\n.",
        b"cnumpy\nndarray\n(I1000000000000\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1\ntS'b'\ntR.",
        b"N}b.",
        b"(a.",
        b"(0.",
        b"V\\ud8\n.",
        b"X\x01\x00\x00\x00\xff.",
    ],
)
def test_what_is_damaged_or_hostile_is_told_in_a_few_words(data):
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        parse(data)
    assert time.perf_counter() - begin < 5
    if len(data) < 10**5:  # it takes time
        assert peak(data) < 2**26


def test_whatever_is_cut_or_changed_ends_in_a_few_words():
    draw = np.random.default_rng(0)
    for protocol in range(6):
        good = pickle.dumps(VALUES, protocol)
        for _ in range(150):
            bad = bytearray(good[: draw.integers(1, len(good))] if draw.random() < 0.3 else good)
            for place in draw.integers(0, len(bad), draw.integers(1, 4)):
                bad[place] = draw.integers(256)
            try:
                parse(bytes(bad))
            except ValueError as error:
                assert len(str(error)) < 300  # noqa: PT017


def test_lists_that_are_referred_to_many_times_are_gone_through_once():
    parts = (b"](" + bytes([104, n]) * 99 + b"e" + bytes([113, n + 1]) for n in range(7))
    data = b"]q\x00" + b"".join(parts) + b"."
    assert peak(data) < 2**20
    assert parse(data)[98][98][98][98][98][98][98] == []
    with pytest.raises(ValueError, match="more than 8 levels of nesting"):
        parse(b"]" * 10 + b"aaaaaaaaa.")


def test_too_many_operations(monkeypatch):
    data = pickle.dumps(list(range(100)))
    assert parse(data) == list(range(100))
    monkeypatch.setattr(array_pickles, "OPERATIONS", 50)
    with pytest.raises(ValueError, match="more than 50 operations"):
        parse(data)


def test_files(tmp_path):
    path, words = tmp_path / "x.pkl", {"where": "load_pool", "must": "x must be good", "advice": "get it again"}
    path.write_bytes(pickle.dumps({b"labels": [1]}))
    assert read_pickle(path, most=100, **words) == {"labels": [1]}
    with pytest.raises(UserError, match=r"load_pool: .*x.pkl must have at most 10 bytes, got \d+ bytes; get it again"):
        read_pickle(path, most=10, **words)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="load_pool: x must be good, got a pickle that was cut; get it again"):
        read_pickle(path, most=100, **words)
    path.write_bytes(pickle.dumps(Touch(tmp_path / "executed")))
    with pytest.raises(UserError, match=r"got a pickle that calls .*; do not trust this file"):
        read_pickle(path, most=1000, **words)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(UserError, match="must exist"):
        read_pickle(tmp_path / "none", most=10, **words)


def test_text():
    assert text_of(b"a\xff") == "aÿ"
    assert text_of(np.str_("a")) == "a"
    with pytest.raises(ValueError, match="int where text must stand"):
        text_of(1)
