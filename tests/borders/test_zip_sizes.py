"""What a zip claims to hold is compared with limits before it is read."""

import zipfile

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders import zip_sizes
from mamlprobe.borders.zip_sizes import check_contents, check_stored
from mamlprobe.data.reading.archives import opened


def zipped(path, kind=zipfile.ZIP_STORED, count=3):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for number in range(count):
            archive.writestr(f"{number}.txt", b"x" * 100)
    return path


def test_a_table_of_contents_beyond_the_limit(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip")
    check_contents(path)
    monkeypatch.setattr(zip_sizes, "LARGEST_CONTENTS", 100)
    with pytest.raises(ValueError, match=r"a table of contents of 153 bytes, where 100 are the most"):
        check_contents(path)
    with pytest.raises(UserError, match=r"x.zip must be a whole zip, got ValueError"), opened(path):
        pass


def test_what_is_no_zip_is_left_to_whoever_opens_it(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"nothing")
    check_contents(tmp_path / "x.zip")


def test_packed_entries_and_claims_beyond_the_file(tmp_path):
    path = zipped(tmp_path / "x.zip")
    with zipfile.ZipFile(path) as archive:
        check_stored(archive, path.stat().st_size)
        with pytest.raises(ValueError, match="entries of 300 bytes in a file of 299"):
            check_stored(archive, 299)
    with (
        zipfile.ZipFile(zipped(tmp_path / "y.zip", zipfile.ZIP_DEFLATED)) as archive,
        pytest.raises(ValueError, match=r"packed entry '0.txt'"),
    ):
        check_stored(archive, 10**6)
