import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.numpy_files import map_npy, read_npz

WORDS = {"where": "load_pool", "must": "x must be good", "advice": "get it again", "most": 2**20}
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


class Touch:
    """A pickle of it makes a file, if it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npy(array, **words):
    into = io.BytesIO()
    np.lib.format.write_array(into, np.asarray(array), **words)
    return into.getvalue()


def header(text):
    data = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data


def test_arrays_are_read(tmp_path):
    path = tmp_path / "x.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, a=IMAGES, b=np.asfortranarray(IMAGES[0]), c=np.array([1.5]), d=np.array(["x"]))
        arrays = read_npz(path, ["a", "b", "d", "none"], **WORDS)
        assert list(arrays) == ["a", "b", "d"]
        np.testing.assert_array_equal(arrays["a"], IMAGES)
        np.testing.assert_array_equal(arrays["b"], IMAGES[0])
    for array in (IMAGES, np.asfortranarray(IMAGES)):
        np.save(tmp_path / "x.npy", array)
        np.testing.assert_array_equal(map_npy(tmp_path / "x.npy", **WORDS), IMAGES)


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"text of length", "the magic string is not correct"),
        (npy(IMAGES)[:-1], "'a' of shape (2, 3, 4) in another number of bytes"),
        (npy(IMAGES) + b"x", "'a' of shape (2, 3, 4) in another number of bytes"),
        (npy(IMAGES, version=(3, 0)), "'a' of version (3, 0)"),
        (npy(np.zeros(1, [("x", "i4")])), "where numbers must stand"),
        (npy(np.zeros(1, "M8[s]")), "where numbers must stand"),
        (
            header("{'descr': '<u1', 'fortran_order': False, 'shape': (1099511627776,)}"),
            "'a' of shape (1099511627776,)",
        ),
        (header("{'descr': '<u1', 'fortran_order': False, 'shape': (-1, -1)}"), "'a' of shape (-1, -1)"),
        (header("__import__('os').system('touch executed')"), "'a' with a damaged header (ValueError)"),
        (header("{" * 60000), "'a' with a damaged header (ValueError)"),
        (header("{" * 60), "'a' with a damaged header ("),
        (header("[" * 5000 + "]" * 4000), "'a' with a damaged header ("),
        (header("\0"), "'a' with a damaged header ("),
    ],
)
def test_damaged_arrays(tmp_path, data, got):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(UserError) as caught:
        read_npz(path, ["a"], **WORDS)
    assert got in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"load_pool: x must be good, got .*; get it again"):
        map_npy(tmp_path / "x.npy", **WORDS)


def test_nothing_is_run(tmp_path):
    values = np.array([Touch(tmp_path / "executed")], dtype=object)
    np.savez(tmp_path / "x.npz", a=values)
    np.save(tmp_path / "x.npy", values)
    for read in (lambda: read_npz(tmp_path / "x.npz", ["a"], **WORDS), lambda: map_npy(tmp_path / "x.npy", **WORDS)):
        with pytest.raises(UserError, match="entries of type object, where numbers must stand"):
            read()
    assert not (tmp_path / "executed").exists()


def test_archives_that_unpack_to_much_more(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(2**27, np.uint8)))
    with pytest.raises(UserError, match="arrays of more than 16 times the file's"):
        read_npz(path, ["a"], **WORDS)
    assert read_npz(path, ["b"], **WORDS) == {}
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="load_pool: x must be good, got "):
        read_npz(path, ["a"], **WORDS)
    with pytest.raises(UserError, match="at most 10 bytes"):
        read_npz(path, ["a"], **{**WORDS, "most": 10})
