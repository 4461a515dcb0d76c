"""Which data sets are listed, and how one is downloaded."""

import errno
import os

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.cli import main
from mamlprobe.commands.subjects import data_sets
from mamlprobe.commands.subjects.data_sets import download, known_pools
from mamlprobe.data.layouts.class_lists import CUB_SPLITS


def test_data_lists_and_describes(images, capsys, monkeypatch):
    monkeypatch.delenv("MAMLPROBE_DATA", raising=False)
    assert main(["data", "--data-root", str(images.parent)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["dataset", "glyphs", "omniglot", "sinusoids", "sinusoids-2pi", "planted-DIAL", "tiny"]
    assert main(["data", "tiny", "--data-root", str(images.parent)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["train", "5", "6", "30", "1", "28", "28"],
        ["val", "3", "6", "18", "1", "28", "28"],
        ["test", "4", "6", "24", "1", "28", "28"],
    ]


def test_what_looks_like_images_is_listed(tmp_path):
    """Zips, and folders that hold folders or zips; not what is hidden, nor what has a reader of its own."""
    for place in ("classes/one", "empty", ".hidden/one", "flat", "glyphs/one", "zipped"):
        (tmp_path / place).mkdir(parents=True)
    for place in ("packed.zip", ".hidden.zip", "notes.txt", "flat/0.png", "zipped/train.zip"):
        (tmp_path / place).write_bytes(b"")
    about = known_pools(str(tmp_path)).set_index("dataset")["about"]
    assert about.index[-4:].tolist() == ["planted-DIAL", "classes", "packed.zip", "zipped"]
    assert about["zipped"] == f"images in {tmp_path / 'zipped'}"
    assert about["glyphs"].startswith("built in: ")


def test_omniglot_is_listed_with_its_place(tmp_path):
    about = known_pools(str(tmp_path)).set_index("dataset")["about"]
    assert about["omniglot"] == "not there; download it with: mamlprobe data omniglot --fetch"
    for part in ("images_background", "images_evaluation.zip"):
        (tmp_path / "omniglot" / part).mkdir(parents=True)
    table = known_pools(str(tmp_path))
    assert table.set_index("dataset")["about"]["omniglot"] == f"in {tmp_path / 'omniglot'}"
    assert table["dataset"].is_unique


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert known_pools(str(tmp_path / "none"))["dataset"].tolist()[-1] == "planted-DIAL"


def test_a_download_says_where_its_files_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(data_sets.FETCHED, "omniglot", lambda folder: [folder / "a.zip", folder / "b.zip"])
    download("omniglot", str(tmp_path))
    assert capsys.readouterr().out == f"file: {tmp_path / 'a.zip'}\nfile: {tmp_path / 'b.zip'}\n"


def test_a_download_that_cannot_be_kept(tmp_path, monkeypatch, capsys):
    def closed(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setitem(data_sets.FETCHED, "omniglot", closed)
    with pytest.raises(UserError) as caught:
        download("omniglot", str(tmp_path))
    must = f"data: {tmp_path} must be a folder open for writing, got Permission denied"
    assert str(caught.value) == f"{must}; choose another with --data-root"
    assert capsys.readouterr().out == ""


def test_files_of_other_projects_are_listed(tmp_path):
    for place in ("cub/images/x", "caches"):
        (tmp_path / place).mkdir(parents=True)
    for place in ("FC100_test.pickle", "caches/mini-imagenet-cache-test.pkl", "caches/notes.txt", "other.pkl"):
        (tmp_path / place).write_bytes(b"")
    about = known_pools(str(tmp_path)).set_index("dataset")["about"]
    names = ["planted-DIAL", "fc100", "cub", *(f"cub-{split}" for split in CUB_SPLITS), "FC100_test.pickle", "caches"]
    assert about.index[-9:].tolist() == names
    assert about["cub"] == f"in {tmp_path / 'cub'}"
    assert about["fc100"] == f"in {tmp_path}"
