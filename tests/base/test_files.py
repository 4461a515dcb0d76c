import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mamlprobe.base import files
from mamlprobe.base.errors import UserError
from mamlprobe.base.files import atomic_write, locked
from mamlprobe.runs.writing import write


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


DEAD, ALIVE = 999_999_999, os.getppid()
"""Numbers of processes: of none, for no system counts so far, and of one that runs."""


@pytest.mark.parametrize("content", [b"mine\n", b"process 12\n"])
def test_a_lock_that_is_a_link_is_refused_and_its_target_stays(tmp_path, content):
    target, folder = tmp_path / "mine", tmp_path / "run"
    target.write_bytes(content)
    folder.mkdir()
    (folder / ".lock").symlink_to(target)
    with pytest.raises(UserError, match=r"write: .*\.lock must be a file itself, got a link; .* or delete it"):
        locked(folder).__enter__()
    assert target.read_bytes() == content


@pytest.mark.parametrize("link", [os.link, shutil.copy])
def test_a_lock_that_holds_something_is_not_written_to(tmp_path, link):
    """Such as the second name of a file that a user has elsewhere."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    link(tmp_path / "mine", tmp_path / "run" / ".lock")
    with locked(tmp_path / "run"):
        line = r"must be free, got held by another process"
        with pytest.raises(UserError, match=line), locked(tmp_path / "run"):
            pass
    assert (tmp_path / "mine").read_bytes() == (tmp_path / "run" / ".lock").read_bytes() == b"mine"


def socket_at(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


OBJECTS = {"a pipe": os.mkfifo, "a folder": os.mkdir, "a socket": socket_at}
"""What lies where a file should, and does not hang."""


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_lock_that_is_no_file_is_told_and_nothing_hangs(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    OBJECTS[kind](".lock")
    with pytest.raises(UserError, match=rf"\.lock must be a file itself, got {kind}; "):
        locked(tmp_path).__enter__()


@pytest.mark.parametrize("name", ["config.json", "env.json", "log.csv", "done", "checkpoints/u000001.safetensors"])
def test_a_runs_file_that_is_a_link_or_a_pipe_is_refused(tmp_path, name):
    target, place = tmp_path / "mine", tmp_path / "run" / name
    place.parent.mkdir(parents=True)
    for make, kind in ((place.symlink_to, "a link"), (lambda _: os.mkfifo(place), "a pipe")):
        make(target)
        with pytest.raises(UserError, match=rf"write: .*{name} must be a file itself, got {kind}; a run's folder is"):
            locked(tmp_path / "run").__enter__()
        place.unlink()
    place.write_bytes(b"")
    with locked(tmp_path / "run"):
        assert not target.exists()


@pytest.mark.parametrize("name", ["checkpoints", "tables"])
def test_a_runs_inner_folder_that_is_a_link_is_refused(tmp_path, name):
    other = tmp_path / "other"
    other.mkdir()
    left = other / f".u000001.safetensors.{DEAD}.part"
    left.write_bytes(b"of another run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(other)
    with pytest.raises(UserError, match=rf"write: .*{name} must be a folder itself, got a link; a run's folder is"):
        locked(tmp_path / "run").__enter__()
    assert left.exists()


def test_a_folder_of_runs_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    with locked(tmp_path / "runs" / "run"):
        assert (tmp_path / "disk" / "run" / ".lock").is_file()


FOREIGN = (".notes.part", ".notes.txt.12.part", "model.part", f".log.csv.{ALIVE}.part", ".log.csv.x.part")
"""Names of files that no killed process of ours has left."""


def test_only_what_a_killed_process_of_ours_left_is_removed(tmp_path):
    folder = tmp_path / "run"
    ours = ("", "config.json"), ("", "log.csv"), ("checkpoints", "u000100.safetensors"), ("tables", "norms.csv")
    for inner, name in ours:
        (folder / inner).mkdir(parents=True, exist_ok=True)
        (folder / inner / f".{name}.{DEAD}.part").write_bytes(b"half")
    (folder / f".env.json.{os.getpid()}.part").write_bytes(b"half, of a process of the same number before this one")
    (folder / "mine").mkdir()
    left = [folder / name for name in FOREIGN] + [folder / "mine" / f".log.csv.{DEAD}.part"]
    for path in left:
        path.write_bytes(b"mine")
    (folder / f".done.{DEAD}.part").mkdir()
    left.append(folder / f".done.{DEAD}.part")
    with locked(folder):
        assert sorted(folder.rglob("*.part")) == sorted(left)


def test_the_next_write_removes_what_a_killed_one_left_beside_it(tmp_path):
    path, other = tmp_path / "table.csv", tmp_path / f".other.csv.{DEAD}.part"
    alive = tmp_path / f".table.csv.{ALIVE}.part"
    for each in (tmp_path / f".table.csv.{DEAD}.part", alive, other):
        each.write_bytes(b"half")
    with atomic_write(path) as aside:
        aside.write_bytes(b"new")
    assert sorted(tmp_path.iterdir()) == sorted([path, alive, other])


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    target, path = tmp_path / "mine", tmp_path / "table.csv"
    target.write_bytes(b"mine")
    path.symlink_to(target)
    with atomic_write(path) as aside:
        aside.write_bytes(b"new")
    assert (target.read_bytes(), path.read_bytes(), path.is_symlink()) == (b"mine", b"new", False)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("kind", OBJECTS)
def test_what_is_no_file_is_not_replaced(tmp_path, monkeypatch, kind, follow):
    """As /dev/null would be by whoever may do that."""
    monkeypatch.chdir(tmp_path)
    path = Path("table.csv")
    OBJECTS[kind]("object" if follow else path)
    if follow:
        path.symlink_to("object")
    before = os.lstat(path)
    with pytest.raises(UserError, match=f"write: table.csv must be a file, got {kind}; choose another place"):
        write(path, b"new")
    assert os.lstat(path).st_ino == before.st_ino
    assert sorted(os.listdir()) == sorted({"table.csv", "object"} if follow else {"table.csv"})


def test_a_part_that_lies_in_the_way_is_no_ones_to_write_through(tmp_path):
    path, target = tmp_path / "file", tmp_path / "mine"
    target.write_bytes(b"mine")
    path.with_name(f".file.{os.getpid()}.part").symlink_to(target)
    with pytest.raises(UserError, match="write: "):
        write(path, b"new")
    assert target.read_bytes() == b"mine"
    assert not path.exists()


def test_a_name_that_is_too_long_is_told(tmp_path):
    with pytest.raises(
        UserError,
        match=r"write: .*/x+ must be a path that can .*, got File name too long; choose another place$",
    ):
        write(tmp_path / ("x" * 400), b"")


def test_two_processes_and_one_that_is_killed(tmp_path):
    """What holds the folder is another process; the system lets go when it is killed, and the note of it is no lock."""
    code = "import sys, time\nfrom pathlib import Path\nfrom mamlprobe.base.files import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(UserError, match=rf"must be free, got held by process {holder.pid}; "),
            locked(tmp_path / "run"),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text() == f"process {os.getpid()}\n"


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refused(opened, *, blocking):
        raise OSError(errno.ENOSYS, "none here")

    monkeypatch.setattr(files, "lock_descriptor", refused)
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").is_file()
