"""Files of tensors: what was written is read, damage is one line, and sizes are compared with the file's first."""

import json
import struct
import tracemalloc

import pytest
import torch
from safetensors.torch import save

from mamlprobe.base.errors import UserError
from mamlprobe.borders.tensor_files import LARGEST_HEADER, read_safetensors, read_saved

STATE = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.int64)}
SAFE = {"must": "it must be whole", "advice": "restore it"}
SAVED = {**SAFE, "code": "it must be plain tensors", "help_code": "save a state dict"}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_header(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(24)


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(save(STATE, {"word": "text"}))
    tensors, strings = read_safetensors("here", tmp_path / "x.safetensors", **SAFE)
    assert same(tensors, STATE)
    assert strings == {"word": "text"}
    for old in (False, True):
        torch.save(STATE, tmp_path / "x.pt", _use_new_zipfile_serialization=not old)
        assert same(read_saved("here", tmp_path / "x.pt", **SAVED), STATE)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a header of 0 bytes in a file of 0"),
        (struct.pack("<Q", 2**62), "a header of 4,611,686,018,427,387,904 bytes in a file of 8"),
        (struct.pack("<Q", LARGEST_HEADER + 1) + bytes(LARGEST_HEADER + 9), "a header of 16,777,217 bytes"),
        (with_header([1]), "a header that is no table"),
        (with_header({"x": 3}), "no tensor 'x'"),
        (with_header({"x": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}), "F8 numbers as 'x'"),
        (with_header({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 24]}}), "in 24 bytes"),
        (with_header({"x": {"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}}), "no tensor 'x'"),
        (with_header({"x": {"dtype": "F32", "shape": [2**10], "data_offsets": [0, 2**12]}}), "in 4,096 bytes"),
    ],
)
def test_a_header_that_cannot_be(tmp_path, content, told):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match=f"here: it must be whole, got .*{told}.*; restore it"):
        read_safetensors("here", path, **SAFE)
    assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_HEADER
    tracemalloc.stop()


@pytest.mark.parametrize("old", [False, True])
def test_every_cut_of_a_saved_file_is_one_line(tmp_path, old):
    path = tmp_path / "x.pt"
    torch.save(STATE, path, _use_new_zipfile_serialization=not old)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as told:
            read_saved("here", path, **SAVED)
        assert "\n" not in str(told.value)


def test_a_pickle_that_needs_code_is_told_as_that(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(
        UserError, match=r"it must be plain tensors, got a pickle that calls torch.nn.*; save a state dict"
    ):
        read_saved("here", tmp_path / "x.pt", **SAVED)
