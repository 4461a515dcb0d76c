import gzip
import io
import tarfile

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders.arrays import tar_entries
from mamlprobe.borders.arrays.tar_entries import read_tar

WORDS = {"where": "load_pool", "must": "x must be good", "advice": "get it again", "most": 2**20}


def write(path, entries, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def test_files_of_these_names_alone(tmp_path):
    path = write(
        tmp_path / "x.tar.gz", [("a/train", b"one"), ("../meta", b"two"), ("b", b"no"), ("test", "/etc/hosts")]
    )
    assert read_tar(path, ("train", "test", "meta"), **WORDS) == {"train": b"one", "meta": b"two"}
    assert {each.name for each in tmp_path.iterdir()} == {"x.tar.gz"}


def test_damaged_ones(tmp_path, monkeypatch):
    path = write(tmp_path / "x.tar.gz", [("a", bytes(10**6)), ("b", b"x")])
    good = path.read_bytes()
    for bad, got in ((good[:200], "ended before"), (b"text", "Not a gzipped file"), (gzip.compress(b"x" * 999), "")):
        path.write_bytes(bad)
        with pytest.raises(UserError, match=rf"load_pool: x must be good, got .*{got}.*; get it again"):
            read_tar(path, ("a",), **WORDS)
    path.write_bytes(good)
    with pytest.raises(UserError, match="at most 100 bytes"):
        read_tar(path, ("a",), **{**WORDS, "most": 100})
    monkeypatch.setattr(tar_entries, "UNPACKED", 10**5)
    for name in "ab":
        with pytest.raises(UserError, match=r"got more than 97.66 KiB unpacked"):
            read_tar(path, (name,), **WORDS)
    twice = write(tmp_path / "y.tar.gz", [("a/train", b"one"), ("b/train", b"two")])
    with pytest.raises(UserError, match="two files 'train'"):
        read_tar(twice, ("train",), **WORDS)
