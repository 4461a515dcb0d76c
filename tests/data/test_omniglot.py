import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
import torch
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data import omniglot
from mamlprobe.data.by_name import load_pool
from mamlprobe.data.omniglot import fetch, read_omniglot

CHARACTERS = {
    "images_background": ["Hebrew/character01", "Greek/character02", "Greek/character01"],
    "images_evaluation": ["Angelic/character01", "Gurmukhi/character42"],
}
NAMES = ["Greek/character01", "Greek/character02", "Hebrew/character01", "Angelic/character01", "Gurmukhi/character42"]


def drawing(place, item):
    """105 x 105, 1 bit: paper but for a square of ink that tells character and drawing."""
    pixels = np.ones((105, 105), dtype=bool)
    pixels[15 * place + 4 : 15 * place + 11, 15 * item + 2 : 15 * item + 11] = False
    into = io.BytesIO()
    Image.fromarray(pixels).save(into, "PNG")
    return into.getvalue()


@pytest.fixture
def archives(monkeypatch):
    """Part -> entries of a small Omniglot of 3 + 2 characters with 4 drawings."""
    monkeypatch.setattr(omniglot, "PARTS", {"images_background": 3, "images_evaluation": 2})
    monkeypatch.setattr(omniglot, "DRAWINGS", 4)
    monkeypatch.setattr(omniglot, "FIRST", 4)
    return {
        part: {f"{part}/": b"", f"{part}/{names[0]}/": b""}
        | {
            f"{part}/{name}/{NAMES.index(name):04d}_{item + 1:02d}.png": drawing(NAMES.index(name), item)
            for name in names
            for item in range(4)
        }
        for part, names in CHARACTERS.items()
    }


@pytest.fixture
def root(archives, tmp_path, write_zip):
    """A folder with omniglot/images_background.zip and the other."""
    (tmp_path / "data" / "omniglot").mkdir(parents=True)
    for part, entries in archives.items():
        write_zip(tmp_path / "data" / "omniglot" / f"{part}.zip", entries)
    return tmp_path / "data"


def lanczos():
    """Weights ``[28, 105]`` of the windowed sinc, 3 lobes a side, stretched to the pixels of the small image."""
    away = ((np.arange(105) + 0.5)[None] - (np.arange(28) + 0.5)[:, None] * 3.75) / 3.75
    weights = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def test_order_pixels_and_ink(root):
    pool = read_omniglot(root)
    assert pool.class_names == tuple(NAMES)
    assert pool.images.shape == (5, 4, 1, 28, 28)
    for place in range(5):
        for item in range(4):
            paper = np.ones((105, 105))
            paper[15 * place + 4 : 15 * place + 11, 15 * item + 2 : 15 * item + 11] = 0
            narrowed = (paper @ lanczos().T).clip(0, 1)  # bytes between the two passes cannot overshoot
            expected = 255 * (1 - (lanczos() @ narrowed).clip(0, 1))
            assert np.abs(pool.images[place, item, 0].numpy() - expected).max() < 2
    assert torch.equal(read_omniglot(root, ink=0).images, 255 - pool.images)
    assert "resized to 28 x 28 (Lanczos), ink 1, split vinyals" in pool.source
    assert read_omniglot(root, size=105).images.unique().tolist() == [0, 255]


def test_every_option_is_kept_apart(root):
    options = [{}, {"ink": 0}, {"size": 14}, {"split": "first1200"}]
    for _ in range(2):
        assert len({load_pool("omniglot", root=root, **each).digest() for each in options}) == 4


def test_folders_read_as_zips(root, archives, tmp_path, write_tree):
    for part, entries in archives.items():
        write_tree(tmp_path / "plain", entries | {f"{part}/.DS_Store": b""})
    assert read_omniglot(tmp_path / "plain").digest() == read_omniglot(root / "omniglot").digest()


def test_splits(root):
    vinyals = read_omniglot(root).splits
    table = pd.read_csv(Path(omniglot.__file__).with_name("omniglot.csv"))
    of = {(row.alphabet, row.character): row.split for row in table.itertuples()}
    for name, ids in vinyals.items():
        assert {of[tuple(NAMES[each].split("/"))] for each in ids.tolist()} == {name}
    assert sum(map(len, vinyals.values())) == 5
    first = read_omniglot(root, split="first1200").splits
    assert {name: ids.tolist() for name, ids in first.items()} == {"train": [0, 1, 2, 3], "test": [4]}


def test_the_packaged_list():
    table = pd.read_csv(Path(omniglot.__file__).with_name("omniglot.csv"))
    assert table.groupby("split").size().to_dict() == {"train": 1028, "val": 172, "test": 423}
    assert table["alphabet"].nunique() == 50
    assert not table.duplicated(["alphabet", "character"]).any()
    words = [f"{row.alphabet}/{row.character} {row.split}" for row in table.itertuples()]
    assert hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:16] == LIST


def refused(message, root, **options):
    with pytest.raises(UserError) as caught:
        read_omniglot(root, **options)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_errors_of_words(root):
    refused(
        "load_pool: the split of omniglot must be a known one, got 'vinyal'; did you mean vinyals.*",
        root,
        split="vinyal",
    )
    refused("load_pool: ink must be 0 or 1, got 2; take 1 for bright strokes", root, ink=2)


def test_missing_files(tmp_path):
    here, there = re.escape(str(tmp_path)), re.escape(str(tmp_path / "omniglot"))
    message = (
        f"load_pool: {here} or {there} must hold images_background.zip or the folder images_background, got neither; "
    )
    refused(message + "give the right root or download with: mamlprobe data omniglot --fetch", tmp_path)


@pytest.mark.parametrize("lost", ["drawing", "character"])
def test_incomplete_sets_are_counted(root, archives, write_zip, lost):
    entries = archives["images_background"]
    kept = {name: data for name, data in entries.items() if not name.startswith("images_background/Hebrew")}
    if lost == "drawing":
        kept = {name: data for name, data in entries.items() if not name.endswith("0001_03.png")}
    path = write_zip(root / "omniglot" / "images_background.zip", kept)
    got = {
        "drawing": r"3 characters, of them 1 incomplete \(first Greek/character02 with 3\)",
        "character": "2 characters",
    }
    must = f"load_pool: {re.escape(str(path))} must hold 3 characters x 4 drawings, got {got[lost]}"
    refused(must + "; get the original archive", root)


def test_other_characters_have_no_split(root, archives, write_zip):
    entries = {name.replace("Hebrew", "Klingon"): data for name, data in archives["images_background"].items()}
    write_zip(root / "omniglot" / "images_background.zip", entries)
    message = "load_pool: characters must be the original ones, got 'Klingon/character01'; get the original archive"
    refused(message, root)
    assert len(read_omniglot(root, split="first1200").class_names) == 5


@pytest.fixture
def served(root, monkeypatch):
    """The small archives behind the official address; what a download does without a network."""

    class Downloader:
        def __init__(self, progressbar):
            assert progressbar in (True, False)

        def __call__(self, url, output_file, pooch):
            home, name = url.rsplit("/", 1)
            place = root / "omniglot" / name
            assert home == omniglot.HOME
            if not place.exists():
                Path(output_file).write_bytes(b"half of it")
                raise requests.ConnectionError("no\nnetwork")
            Path(output_file).write_bytes(place.read_bytes())

    monkeypatch.setattr("pooch.HTTPDownloader", Downloader)
    hashes = {each.name: hashlib.md5(each.read_bytes()).hexdigest() for each in (root / "omniglot").iterdir()}
    monkeypatch.setattr(omniglot, "MD5", hashes)
    return root / "omniglot"


def files(folder):
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


def test_fetch(served, root, tmp_path):
    paths = fetch(tmp_path / "new")
    assert files(tmp_path / "new") == ["images_background.zip", "images_evaluation.zip"]
    assert {path.parent for path in paths} == {tmp_path / "new" / "omniglot"}
    assert read_omniglot(tmp_path / "new").digest() == read_omniglot(root).digest()


def test_fetch_leaves_files_that_are_there(served, root, monkeypatch):
    monkeypatch.setattr(omniglot, "MD5", dict.fromkeys(omniglot.MD5, "0" * 32))
    assert sorted(fetch(root)) == sorted(served.iterdir())


def test_fetch_keeps_nothing_of_other_bytes(served, tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "MD5", dict.fromkeys(omniglot.MD5, "0" * 32))
    with pytest.raises(
        UserError, match=r"fetch: http.*zip must be reachable and have MD5 0{32}, got ValueError: MD5 hash of"
    ):
        fetch(tmp_path / "new")
    assert files(tmp_path / "new") == []


def test_fetch_says_what_to_do_without_network(tmp_path, served):
    (served / "images_background.zip").unlink()
    (served / "images_evaluation.zip").unlink()
    with pytest.raises(UserError) as caught:
        fetch(tmp_path / "new")
    assert "got ConnectionError: no network; " in str(caught.value)
    assert str(caught.value).endswith(f"; download it by hand into {tmp_path / 'new' / 'omniglot'} and go on")
    assert "\n" not in str(caught.value)
    assert files(tmp_path / "new") == []


REAL = Path(os.environ.get("MAMLPROBE_DATA", "/nowhere")) / "omniglot"


@pytest.mark.skipif(not REAL.exists(), reason="MAMLPROBE_DATA names no folder that holds omniglot")
def test_the_real_data():
    pool = load_pool("omniglot")
    assert pool.images.shape == (1623, 20, 1, 28, 28)
    assert {name: len(ids) for name, ids in pool.splits.items()} == {"train": 1028, "val": 172, "test": 423}
    assert 0.07 < pool.images.float().mean() / 255 < 0.10
    first = load_pool("omniglot", split="first1200", ink=0)
    assert {name: len(ids) for name, ids in first.splits.items()} == {"train": 1200, "test": 423}
    assert torch.equal(255 - first.images, pool.images)


LIST = "08adbac532ae6cfa"
