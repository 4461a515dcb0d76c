"""Keras's HDF5 files: weights come back by their paths; links, endless groups and damage are one line."""

import sys

import h5py
import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays import keras_files
from mamlprobe.borders.arrays.keras_files import read_keras

KERNEL = np.arange(36, dtype=np.float32).reshape(3, 3, 1, 4)


def made(path, fill, top="model_weights"):
    with h5py.File(path, "w") as file:
        group = file.create_group(top) if top else file
        group["conv2d/a/conv2d/kernel:0"] = KERNEL
        group.create_group("flatten")
        fill(file)
    return path


@pytest.mark.parametrize("top", ["model_weights", ""])
def test_weights_come_back(top, tmp_path):
    def others(file):
        file["model_weights/x/gamma"] = np.ones(3)
        file["model_weights/x/iterations:0"] = np.int64(3)
        file["model_weights/x/names"] = ["a", "b"]
        if top:
            file["optimizer_weights/conv2d/kernel:0"] = np.zeros(3)

    read = read_keras("here", made(tmp_path / "a.h5", others if top else lambda file: None, top))
    wanted = {f"{top}/conv2d/a/conv2d/kernel:0".lstrip("/"): KERNEL} | (
        {"model_weights/x/gamma": np.ones(3)} if top else {}
    )
    assert read.keys() == wanted.keys()
    assert all(np.array_equal(read[name], value) for name, value in wanted.items())


def soft(file):
    file["model_weights/x/bias:0"] = h5py.SoftLink("/model_weights/conv2d/a/conv2d/kernel:0")


def outside(file):
    file["model_weights/x"] = h5py.ExternalLink("b.h5", "/model_weights")


def circle(file):
    file["model_weights/conv2d/again"] = file["model_weights/conv2d"]


def texts(file):
    file["model_weights/x/bias:0"] = ["a"]


def pieces(file):
    file.create_dataset("model_weights/x/bias:0", (2,), dtype=h5py.special_dtype(vlen=np.uint8))


def endless(file):
    file.create_dataset("model_weights/x/bias:0", (2**40,), dtype="f4", chunks=(2**20,))


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (soft, "link 'bias:0'"),
        (outside, "link 'x'"),
        (circle, "more than 16 groups within one another"),
        (texts, "must be a whole HDF5 file"),
        (pieces, "no numbers in 'model_weights/x/bias:0'"),
        (endless, "datasets of more than 16 times the file"),
    ],
)
def test_what_lies_elsewhere_or_is_no_weight_is_one_line(fill, words, tmp_path):
    made(tmp_path / "b.h5", lambda file: None)
    with pytest.raises(UserError) as info:
        read_keras("here", made(tmp_path / "a.h5", fill))
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def test_entries_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_files, "TENSORS", 3)
    with pytest.raises(UserError, match="more than 3 entries"):
        read_keras("here", made(tmp_path / "a.h5", lambda file: None))


@pytest.mark.parametrize("cut", [0, 20, 600, -300])
def test_damaged_files_are_one_line(cut, tmp_path):
    content = made(tmp_path / "a.h5", lambda file: None).read_bytes()
    (tmp_path / "a.h5").write_bytes(content[:cut])
    with pytest.raises(UserError, match=r"here: a.h5 must be a whole HDF5 file with weights of Keras, got .*; save"):
        read_keras("here", tmp_path / "a.h5")


def test_without_h5py_one_line_says_what_to_install(tmp_path, monkeypatch):
    made(tmp_path / "a.h5", lambda file: None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"h5py must be there .*; pip install mamlprobe\[hdf5\]"):
        read_keras("here", tmp_path / "a.h5")
