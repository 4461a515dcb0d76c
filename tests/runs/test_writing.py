import errno
import os
import resource

import pytest

from mamlprobe.base import files
from mamlprobe.base.errors import UserError
from mamlprobe.runs.writing import write


def failing(number):
    def fail(*words):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, number):
    path = tmp_path / "file"
    write(path, b"old")
    monkeypatch.setattr(files.os, step, failing(number))
    with pytest.raises(UserError) as caught:
        write(path, b"new")
    assert str(caught.value) == (
        f"write: there must be room for {path}, got {os.strerror(number)}; free space and start again: a run goes on "
        "from its last checkpoint, which is whole"
    )
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_limit_on_file_size_that_the_system_enforces(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"there must be room for .*, got File too large"):
            write(path, b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_not_ours(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    line = r"write: .*file must be a folder open for writing, got .*; choose another"
    with pytest.raises(UserError, match=line):
        write(tmp_path / "file" / "below", b"")
    monkeypatch.setattr(files, "open", failing(errno.EACCES), raising=False)
    with pytest.raises(UserError, match=r"write: .*deep must be a folder open for writing, got Permission denied"):
        write(tmp_path / "deep" / "file", b"")


def test_other_faults_are_not_the_users(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as caught:
        write(tmp_path / "file", b"")
    assert not isinstance(caught.value, UserError)
