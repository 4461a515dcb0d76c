"""Folders and zips as trees of files: both read alike, within limits that are checked before anything is unpacked."""

import zipfile

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading import archives
from mamlprobe.data.reading.archives import opened, stamps

FILES = {"b/2.png": b"two", "a/1.PNG": b"one", "a/notes.txt": b"text"}


@pytest.fixture(params=["folder", "zip"])
def path(request, tmp_path):
    """The same files in a folder and in a zip."""
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
        return tmp_path / "set.zip"
    for name, content in FILES.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    return tmp_path / "set"


def test_files_are_sorted_and_read(path):
    with opened(path) as tree:
        assert tree.files == tuple(sorted(FILES))
        assert tree.images() == ["a/1.PNG", "b/2.png"]
        assert {name: tree.read(name) for name in tree.files} == FILES


def test_a_file_beyond_the_limit_is_not_read(path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_IMAGE", 3)
    with opened(path) as tree:
        assert tree.read("a/1.PNG") == b"one"
        with pytest.raises(
            UserError, match=r"load_pool: a/notes.txt of .* must have at most 3 bytes, got 4 bytes; make"
        ):
            tree.read("a/notes.txt")


def test_a_bomb_is_refused_by_what_it_says_of_itself(tmp_path, monkeypatch):
    with (
        zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/x.png", "w") as entry,
    ):
        for _ in range(257):
            entry.write(bytes(2**20))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *given: pytest.fail("it was unpacked"))
    with opened(tmp_path / "set.zip") as tree, pytest.raises(UserError, match="at most 256 MiB, got 257 MiB"):
        tree.read("a/x.png")


def test_stamps_change_with_a_file(path):
    before = stamps(path)
    assert before == stamps(path)
    each = path if path.is_file() else path / "a" / "1.PNG"
    each.write_bytes(each.read_bytes() + b"0")
    assert stamps(path) != before
