"""Files that others wrote: regular ones of a limited size, and nothing that makes a reader wait."""

import os
import socket

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import check_file, read_file

HOW = {"most": 4, "advice": "restore it"}


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"four")
    assert read_file("here", tmp_path / "x", **HOW) == b"four"
    assert check_file("here", tmp_path / "x", **HOW) == 4
    (tmp_path / "link").symlink_to("x")
    assert read_file("here", tmp_path / "link", **HOW) == b"four"


def made(path, kind):
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as here:
            here.bind(str(path))
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a link":
        path.symlink_to("elsewhere")
    return path


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a socket", "a device"])
@pytest.mark.parametrize("take", [check_file, read_file])
def test_what_is_no_file_is_told_and_never_waited_for(tmp_path, monkeypatch, kind, take):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    path = made(tmp_path / "x", kind) if kind != "a socket" else made(type(tmp_path)("x"), kind)
    with pytest.raises(UserError, match=f"x must be a regular file, got {kind}; restore it"):
        take("here", path, **HOW)


def test_links_that_must_not_be_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"1")
    path = made(tmp_path / "x", "a link")
    assert read_file("here", path, **HOW) == b"1"
    for take in (check_file, read_file):
        with pytest.raises(UserError, match="must be a regular file, got a link"):
            take("here", path, **HOW, follow=False)


def test_sizes_and_absence(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    with pytest.raises(UserError, match="x must have at most 4 bytes, got 5 bytes; restore it"):
        read_file("here", tmp_path / "x", **HOW)
    for path in (tmp_path / "none", tmp_path / "x" / "y"):
        with pytest.raises(UserError, match=r"here: the file must exist, got .*; train first"):
            read_file("here", path, **HOW, absent="train first")
    with pytest.raises(UserError, match="must be readable"):
        read_file("here", tmp_path / ("x" * 300), **HOW)
