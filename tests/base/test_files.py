import os
import stat

import pytest

from mamlprobe.base import files
from mamlprobe.base.errors import UserError
from mamlprobe.base.files import atomic_write, locked


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("fault", [OSError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_exception_in_the_middle_leaves_what_stood_there_and_nothing_beside_it(tmp_path, fault, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def crash():
        with atomic_write(path) as aside:
            aside.write_bytes(b"half")
            raise fault

    with pytest.raises(fault):
        crash()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == ([] if old is None else [("file", old)])


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupt_at_a_later_step_does_too(tmp_path, monkeypatch, step):
    def interrupted(*words):
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, step, interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as aside:
        aside.write_bytes(b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]


def test_the_whole_file_is_synced_before_it_is_in_its_place(tmp_path, monkeypatch):
    path, synced, sync = tmp_path / "file", [], os.fsync

    def look(number):
        synced.append((os.fstat(number).st_ino, os.fstat(number).st_size, path.exists()))
        sync(number)

    monkeypatch.setattr(files.os, "fsync", look)
    with atomic_write(path) as aside:
        aside.write_bytes(b"new")
    assert synced == [(path.stat().st_ino, 3, False)]


def moved(aside, data):
    """As a library writes that makes a temporary file of its own, which nobody else may read."""
    other = aside.with_name("other")
    other.write_bytes(data)
    other.chmod(0o600)
    other.replace(aside)


def plain(aside, data):
    aside.write_bytes(data)


@pytest.mark.parametrize("write", [plain, moved])
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path, write):
    path, other = tmp_path / "file", tmp_path / "new"
    before = os.umask(0o027)
    try:
        with atomic_write(path) as aside:
            write(aside, b"first")
        other.write_bytes(b"")
    finally:
        os.umask(before)
    assert mode(path) == mode(other) == 0o640
    for kept in (0o600, 0o664, 0o444):
        path.chmod(kept)
        with atomic_write(path) as aside:
            write(aside, b"again")
        assert mode(path) == kept
        assert path.read_bytes() == b"again"


def test_folders_are_made_and_a_file_in_their_place_is_the_systems_error(tmp_path):
    with atomic_write(tmp_path / "deep" / "er" / "file") as aside:
        aside.write_bytes(b"new")
    assert os.listdir(tmp_path / "deep" / "er") == ["file"]
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "deep" / "er" / "file" / "below"):
        pass
    with pytest.raises(NotADirectoryError), atomic_write(tmp_path / "deep" / "er" / "file" / "below" / "it"):
        pass


def test_the_lock_is_let_go_and_cleans_up_after_a_killed_process(tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / ".u000001.safetensors.99999.part").write_bytes(b"half")
        line = f"train: .*run must be free, got held by process {os.getpid()}; wait for it, end it, or change the seed"
        with pytest.raises(UserError, match=line), locked(folder):
            pass
    with locked(folder):
        assert not list(folder.rglob("*.part"))


def test_a_folder_that_is_a_file_cannot_be_held(tmp_path):
    (tmp_path / "file").write_text("")
    line = r"write: .*file must be a folder open for writing, got .*; choose another"
    with pytest.raises(UserError, match=line), locked(tmp_path / "file"):
        pass
