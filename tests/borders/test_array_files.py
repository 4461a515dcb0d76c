"""Files of numpy arrays: read whole, without objects, within limits."""

import io
import zipfile

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.array_files import read_npz


def test_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b/c": np.int16([1, 2])}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_npz("here", tmp_path / "a.npz")
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], value) and read[name].dtype == value.dtype for name, value in arrays.items())


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**6))
    assert (tmp_path / "a.npz").stat().st_size < 10**5
    with pytest.raises(UserError, match=r"arrays of 8,000,\d+ bytes, where 1,000,000 are the most"):
        read_npz("here", tmp_path / "a.npz", most=10**6)


@pytest.mark.parametrize("value", [np.array([object()]), np.array(["a"]), np.array([1j])])
def test_objects_texts_and_complex_numbers_are_refused(value, tmp_path):
    np.savez(tmp_path / "a.npz", a=value)
    with pytest.raises(UserError, match=r"here: a.npz must be a whole .npz file of numbers"):
        read_npz("here", tmp_path / "a.npz")


@pytest.mark.parametrize("cut", [0, 10, 100, -10])
def test_damaged_files_are_one_line(cut, tmp_path):
    file = io.BytesIO()
    np.savez(file, a=np.zeros(30))
    (tmp_path / "a.npz").write_bytes(file.getvalue()[:cut])
    with pytest.raises(UserError) as info:
        read_npz("here", tmp_path / "a.npz")
    assert "\n" not in str(info.value)


def test_an_entry_that_is_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9,)}")
    with pytest.raises(UserError, match="must be a whole"):
        read_npz("here", tmp_path / "a.npz")
