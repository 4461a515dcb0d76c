import os

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.layouts.layout_kind import named_files, names_in


def test_files_that_match_by_their_splits(tmp_path):
    for name in ("Train.pkl", "validation.pkl", "other.pkl", ".test.pkl"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "novel.pkl").mkdir()
    os.mkfifo(tmp_path / "test.pkl")
    pattern = r"(train|val|validation|test|novel)\.pkl"
    seen = named_files(tmp_path, pattern)
    assert seen.files == {"train": tmp_path / "Train.pkl", "val": tmp_path / "validation.pkl"}
    assert named_files(tmp_path / "Train.pkl", pattern).files == {"train": tmp_path / "Train.pkl"}
    assert named_files(tmp_path / "other.pkl", pattern) is None
    (tmp_path / "val.pkl").write_bytes(b"")
    with pytest.raises(UserError, match=r"split val of .* must be one file, got val.pkl and validation.pkl"):
        named_files(tmp_path, pattern)


def test_names(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    assert names_in(tmp_path) == (tmp_path, ["a", "b"])
    assert names_in(tmp_path / "a") == (tmp_path, ["a"])
