import sys

import h5py
import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays.hdf5_files import opened_hdf5

WORDS = {"where": "load_pool", "must": "x must be good", "advice": "get it again", "most": 2**30}
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
BYTES = h5py.special_dtype(vlen=np.uint8)


def read(path, name="a"):
    with opened_hdf5(path, **WORDS) as file:
        return file.read(name)


def test_arrays_and_bytes_are_read(tmp_path):
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file["b/c/a"] = IMAGES
        file.create_dataset("a", data=IMAGES, compression="gzip", shuffle=True)
        pieces = file.create_dataset("pieces", (2,), dtype=BYTES)
        pieces[0], pieces[1] = np.frombuffer(b"abc", np.uint8), np.frombuffer(b"\0x", np.uint8)
    with opened_hdf5(path, **WORDS) as file:
        assert file.names() == ["a", "b", "pieces"]
        assert (file.names("b"), file.names("none"), file.names("a")) == (["c"], [], [])
        np.testing.assert_array_equal(file.read("a"), IMAGES)
        np.testing.assert_array_equal(file.read("b/c/a"), IMAGES)
        assert file.read("pieces") == [b"abc", b"\0x"]


def external(file):
    file["a"] = h5py.ExternalLink("/etc/x.hdf5", "/a")


def soft(file):
    file["b"] = IMAGES
    file["a"] = h5py.SoftLink("/b")


def elsewhere(file):
    file.create_dataset("a", (4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((2,), "u1")
    layout[:] = h5py.VirtualSource("/etc/x.hdf5", "a", (2,))
    file.create_virtual_dataset("a", layout)


def endless(file):
    file.create_dataset("a", (2**40,), dtype="u1", chunks=(2**20,))


def packed(file):
    file.create_dataset("a", (2**27,), dtype="u1", chunks=(2**20,))


def objects(file):
    file.create_dataset("a", data=["x", "y"], dtype=h5py.string_dtype())


def references(file):
    file.create_dataset("a", (2,), dtype=h5py.ref_dtype)


def wide(file):
    file.create_dataset("a", (2, 2), dtype=BYTES)


def reals(file):
    file.create_dataset("a", (2,), dtype=h5py.special_dtype(vlen=np.float64))


def text(file):
    file["a"] = np.array([b"x"])


def group(file):
    file["a/b"] = IMAGES


@pytest.mark.parametrize(
    "how",
    [
        external,
        soft,
        elsewhere,
        virtual,
        endless,
        packed,
        objects,
        references,
        wide,
        reals,
        text,
        group,
        lambda file: None,
    ],
)
def test_what_lies_elsewhere_or_is_something_else_is_refused(tmp_path, how):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        how(file)
    with pytest.raises(UserError, match=r"load_pool: x must be good, got .{5,120}; get it again"):
        read(tmp_path / "x.hdf5")


def test_damaged_files(tmp_path):
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=IMAGES, compression="gzip")
    good = path.read_bytes()
    for bad in (b"text", b"", good[: len(good) // 2], good.replace(b"\x78\x5e", b"\0\0").replace(b"\x78\x9c", b"\0\0")):
        path.write_bytes(bad)
        with pytest.raises(UserError, match=r"load_pool: x must be good, got .*; get it again"):
            read(path)


def test_without_h5py_one_line_says_what_to_type(tmp_path, monkeypatch):
    (tmp_path / "x.hdf5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    told = r"load_pool: h5py must be there to read .*x.hdf5, got none; pip install mamlprobe\[hdf5\]"
    with pytest.raises(UserError, match=told):
        read(tmp_path / "x.hdf5")
