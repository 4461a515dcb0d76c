"""A library that somebody else could have written, or that is not what was built, is never loaded, and is mended."""

import datetime
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mamlprobe.native import build, load, trust
from tests.native.conftest import ANSWER, forget

STRANGER = 12345
"""A user who is not this one."""

EVIL = """
#include <cstdio>
extern "C" int answer() {{ return 666; }}
__attribute__((constructor)) static void run() {{ std::fclose(std::fopen("{mark}", "w")); }}
"""


def put(library: Path, path: Path) -> None:
    """The library at `path`, with the right digest beside it, as one would who knows how."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    shutil.copy(library, path)
    trust.digest_path(path).write_text(trust.digest_line(path.read_bytes(), path.name))
    for each in (path, trust.digest_path(path)):
        each.chmod(0o600)


def folder_of_mode(mode: int) -> Callable[[Path, Path], None]:
    def plant(path: Path, evil: Path) -> None:
        put(evil, path)
        path.parent.chmod(mode)

    return plant


def folder_of_plants(path: Path, evil: Path) -> None:
    """All that one could put there."""
    put(evil, path)
    lock = path.with_name(".lock")
    lock.unlink()
    lock.symlink_to("/dev/null")
    now = datetime.datetime.now(datetime.UTC).isoformat()
    command = " ".join([str(build.compiler()), *build.flags()])
    build.failure_path(path).write_text(f"{now}\n{command}\ncan be written by others\n")
    path.parent.chmod(0o777)


def file_of_mode(mode: int) -> Callable[[Path, Path], None]:
    def plant(path: Path, evil: Path) -> None:
        put(evil, path)
        path.chmod(mode)

    return plant


def open_digest(path: Path, evil: Path) -> None:
    put(evil, path)
    trust.digest_path(path).chmod(0o666)


def of_a_stranger(path: Path, evil: Path) -> None:
    put(evil, path)
    os.chown(path, STRANGER, STRANGER)


def link(path: Path, evil: Path) -> None:
    put(evil, path)
    path.unlink()
    path.symlink_to(evil)


def linked_folder(path: Path, evil: Path) -> None:
    elsewhere = evil.parent / "elsewhere"
    put(evil, elsewhere / path.name)
    elsewhere.chmod(0o700)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(elsewhere)


def of_another_name(path: Path, evil: Path) -> None:
    put(evil, path)
    trust.digest_path(path).write_text(trust.digest_line(path.read_bytes(), "kernels-0.so"))


def without_digest(path: Path, evil: Path) -> None:
    put(evil, path)
    trust.digest_path(path).unlink()


def other_content(path: Path, evil: Path) -> None:
    path.write_bytes(evil.read_bytes())


def truncated(path: Path, evil: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def garbage(path: Path, evil: Path) -> None:
    path.write_bytes(path.read_bytes()[:64] + b"\x7f" * 20_000)


def zeros(path: Path, evil: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def pipe(path: Path, evil: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


PLANTS = {
    "the group may write the folder": (folder_of_mode(0o770), "can be written by others"),
    "all may write the folder": (folder_of_mode(0o1777), "can be written by others"),
    "all may write the folder, and did": (folder_of_plants, "can be written by others"),
    "the group may write the file": (file_of_mode(0o660), "can be written by others"),
    "all may write the file": (file_of_mode(0o602), "can be written by others"),
    "all may write the digest": (open_digest, "can be written by others"),
    "a file of another user": (of_a_stranger, "belongs to another user"),
    "a link": (link, "is a link"),
    "a folder that is a link": (linked_folder, "is a link"),
    "another library's digest": (of_another_name, "is not what was built"),
    "no digest": (without_digest, "is not there"),
    "other content": (other_content, "is not what was built"),
    "truncated": (truncated, "is not what was built"),
    "garbage": (garbage, "is not what was built"),
    "zeros": (zeros, "is not what was built"),
    "a pipe": (pipe, "is no plain file"),
}


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A library that leaves the file `ran` beside it as soon as it is loaded."""
    source, library = tmp_path / "evil.cpp", tmp_path / "evil.so"
    source.write_text(EVIL.format(mark=tmp_path / "ran"))
    tool = build.compiler()
    assert tool is not None
    subprocess.run([tool, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return library


@pytest.mark.parametrize("name", PLANTS)
def test_what_is_planted_is_refused_and_mended(name, place, evil):
    if name == "a file of another user" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    plant, reason = PLANTS[name]
    assert load.compile_kernels()
    plant(place, evil)
    forget()
    assert load.kernels() is None
    assert reason in load.why_not()
    assert load.compile_kernels()
    kernels = load.kernels()
    assert kernels is not None
    assert kernels.answer() == ANSWER
    assert load.why_not() == ""
    assert not (evil.parent / "ran").exists()
    assert stat.S_IMODE(place.parent.lstat().st_mode) == 0o700
    assert not place.parent.is_symlink()
    assert not place.is_symlink()


def test_the_evil_library_would_run(place, evil):
    """It is loaded where everything about it is right."""
    put(evil, place)
    place.parent.chmod(0o700)
    kernels = load.kernels()
    assert kernels is not None
    assert kernels.answer() == 666
    assert (evil.parent / "ran").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_is_left_alone(place, evil):
    put(evil, place)
    os.chown(place.parent, STRANGER, STRANGER)
    assert load.kernels() is None
    assert not load.compile_kernels()
    assert "belongs to another user" in load.why_not()
    assert not (evil.parent / "ran").exists()
    assert place.parent.stat().st_uid == STRANGER


def test_nobody_else_can_write_what_is_built(place):
    before = os.umask(0)
    try:
        assert load.compile_kernels()
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    for each in place.parent.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each
    assert load.kernels() is not None


def test_the_file_that_was_checked_is_the_one_that_is_loaded(place, evil, monkeypatch):
    """What is put in its place after the check is not looked at."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("the system cannot load an opened file")
    build.build(place)
    checked = trust.open_library

    def swap(path):
        opened = checked(path)
        put(evil, path)
        return opened

    monkeypatch.setattr(trust, "open_library", swap)
    assert trust.load_library(place).answer() == ANSWER


def test_two_libraries_are_not_taken_for_one_another(place):
    assert load.compile_kernels()
    first = load.kernels()
    build.SOURCES[0].write_text('extern "C" int answer() { return 43; }\n')
    forget()
    assert load.compile_kernels()
    second = load.kernels()
    assert (first.answer(), second.answer()) == (ANSWER, 43)


@pytest.mark.parametrize("cache", ["a file", "a name too long", "a loop"])
def test_a_cache_that_cannot_be_looked_into_is_one_without_kernels(cache, place, monkeypatch, tmp_path):
    """A net then computes with torch's own operations, and `mamlprobe doctor` says why."""
    folder = tmp_path / ("x" * 400 if cache == "a name too long" else "other")
    if cache == "a file":
        folder.write_text("")
    if cache == "a loop":
        folder.symlink_to(folder)
    monkeypatch.setenv("MAMLPROBE_CACHE", str(folder))
    forget()
    assert load.kernels() is None
    assert "cannot be opened" in load.why_not()
    assert not load.compile_kernels()
