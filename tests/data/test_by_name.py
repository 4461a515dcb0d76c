import errno
import os
import re
import resource
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from mamlprobe.base import files
from mamlprobe.base.cache import cache_folder
from mamlprobe.base.errors import UserError
from mamlprobe.data import by_name as load
from mamlprobe.data import glyphs
from mamlprobe.data.by_name import data_folder, has_ink, load_pool
from mamlprobe.data.sources import load_source


@pytest.fixture
def root(tmp_path, write_tree, image_bytes):
    """A folder that holds birds/ (grey, 8 x 6 pixels) and trees/ (RGB)."""
    for name, mode in (("birds", "L"), ("trees", "RGB")):
        entries = {
            f"train/{each}/{item}.png": image_bytes(item, mode=mode, size=(8, 6)) for each in "ab" for item in range(3)
        }
        write_tree(tmp_path / "data" / name, entries)
    return tmp_path / "data"


@pytest.fixture
def few_glyphs(monkeypatch):
    """Two characters of each split instead of all."""
    whole = glyphs.class_table()
    table = whole.groupby("split", sort=False).head(2).reset_index(drop=True)
    monkeypatch.setattr(glyphs, "class_table", lambda: table)


def test_glyphs_are_drawn_once(few_glyphs, own_cache, monkeypatch):
    first = load_pool("glyphs")
    assert len(first.class_names) == 6
    assert [each.name[:7] for each in own_cache.iterdir()] == ["glyphs-"]
    monkeypatch.setattr(glyphs, "draw", None)
    assert load_pool("glyphs").digest() == first.digest()
    with pytest.raises(TypeError):
        load_pool("glyphs", ink=0)


def test_a_damaged_cache_is_drawn_again(few_glyphs, own_cache):
    first = load_pool("glyphs")
    (kept,) = own_cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:500])
    assert load_pool("glyphs").digest() == first.digest()
    assert kept.stat().st_size > 500


def test_a_cache_that_cannot_be_written_is_no_cache(few_glyphs, own_cache):
    own_cache.write_text("a file where the folder should be")
    assert len(load_pool("glyphs").class_names) == 6
    assert own_cache.read_text().startswith("a file")


def test_a_new_way_of_drawing_is_another_file(few_glyphs, own_cache, monkeypatch):
    load_pool("glyphs")
    monkeypatch.setattr(glyphs, "VERSION", 99)
    load_pool("glyphs")
    assert len(list(own_cache.iterdir())) == 2


def test_by_path_and_by_name_under_root(root, monkeypatch):
    digest = load_pool(root / "birds").digest()
    assert load_pool(str(root / "birds")).digest() == load_pool("birds", root=root).digest() == digest
    monkeypatch.setenv("MAMLPROBE_DATA", str(root))
    assert load_pool("birds").digest() == digest
    monkeypatch.chdir(root.parent)
    monkeypatch.delenv("MAMLPROBE_DATA")
    assert load_pool("data/birds").digest() == digest


def test_parsed_once_until_a_file_changes(root, own_cache, monkeypatch, image_bytes):
    calls = []
    read = load.read_folder
    monkeypatch.setattr(load, "read_folder", lambda path, size: calls.append(size) or read(path, size=size))
    before = load_pool("birds", root=root)
    assert load_pool("birds", root=root).digest() == before.digest()
    assert load_pool("birds", root=root, normalise="half", rotations="classes").mean == (0.5,)
    assert calls == [None]
    load_pool("birds", root=root, size=10)
    assert calls == [None, 10]
    (root / "birds" / "train" / "a" / "0.png").write_bytes(image_bytes(99))
    assert load_pool("birds", root=root).digest() != before.digest()
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("name", "word", "mean", "std"),
    [
        ("birds", None, (0.0,), (1.0,)),
        ("birds", "half", (0.5,), (0.5,)),
        ("trees", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("trees", "none", (0.0,) * 3, (1.0,) * 3),
        ("trees", "half", (0.5,) * 3, (0.5,) * 3),
    ],
)
def test_levels(root, name, word, mean, std):
    pool = load_pool(name, root=root, normalise=word)
    assert (pool.mean, pool.std) == (mean, std)
    assert "; levels " in pool.source


def test_sizes_and_rotations(root):
    assert load_pool("birds", root=root).image_shape == (1, 28, 28)
    assert load_pool("trees", root=root).image_shape == (3, 84, 84)
    assert load_pool("trees", root=root, size=5).image_shape == (3, 5, 5)
    assert len(load_pool("birds", root=root, rotations="classes").class_names) == 8


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "glyps",
            {},
            r"load_pool: the data set \(a name, or a folder or zip of class folders, as given or under .*data\) "
            r"must be a known one, got 'glyps'; did you mean glyphs\?",
        ),
        ("treees", {}, r".*, got 'treees'; did you mean trees\?"),
        ("no/birds", {}, "load_pool: no/birds must exist, got nothing there nor under .*data; check the path or root"),
        ("no.zip", {}, "load_pool: no.zip must exist, got nothing there nor under .*data; check the path or root"),
        ("birds", {"rotations": "class"}, "load_pool: the word for rotations must be a known one, got 'class'; .*es"),
        (
            "birds",
            {"normalise": "imagnet"},
            "load_pool: the normalisation must be a known one, got 'imagnet'; .*imagenet",
        ),
        ("birds", {"normalise": "imagenet"}, "load_pool: images of 'imagenet' must have 3 channels, got 1; take none"),
        (
            "birds",
            {"size": 0},
            "load_pool: size must be at least 1, got 0; give the side of the images in pixels",
        ),
        ("birds", {"split": "vinyals"}, "load_pool: birds has no choice of split, got 'vinyals'; leave split out"),
        ("birds", {"ink": 0}, "load_pool: birds has no choice of ink, got 0; leave ink out"),
        ("glyphs", {"split": "vinyals"}, "load_pool: glyphs has no choice of split, got 'vinyals'; leave split out"),
    ],
)
def test_errors(root, name, options, message):
    with pytest.raises(UserError) as caught:
        load_pool(name, root=root, **options)
    assert re.match(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_grey_images_in_three_channels(root):
    grey = load_pool("glyphs", size=10)
    wide = load_pool("glyphs", size=10, channels=3, normalise="imagenet")
    assert wide.image_shape == (3, 10, 10)
    assert all(torch.equal(wide.images[:, :, each], grey.images[:, :, 0]) for each in range(3))
    assert wide.mean == (0.485, 0.456, 0.406)
    assert wide.source.endswith("grey in three channels; levels imagenet")
    assert load_pool("glyphs", size=10, channels=1).digest() == grey.digest()
    rgb = load_pool("trees", root=root)
    assert load_pool("trees", root=root, channels=3).digest() == rgb.digest()
    with pytest.raises(UserError, match="channels must be 3, those of trees, got 1; leave it out"):
        load_pool("trees", root=root, channels=1)
    with pytest.raises(UserError, match="channels must be 1 or 3, got 2"):
        load_pool("glyphs", channels=2)
    with pytest.raises(UserError, match="sinusoids has no choice of channels"):
        load_source("sinusoids", channels=3)


def test_which_data_sets_have_a_choice_of_ink(root, tmp_path):
    given = {"glyphs": True, "omniglot": True, "miniimagenet": False, str(root / "nowhere"): True}
    assert {name: has_ink(name) for name in given} == given
    folder = tmp_path / "some" / "train" / "a"
    folder.mkdir(parents=True)
    assert not has_ink("some", root=tmp_path)
    (tmp_path / "copy").mkdir()
    np.save(tmp_path / "copy" / "omniglot.npy", np.zeros((2, 20, 1, 4, 4), np.float32))
    assert has_ink("copy", root=tmp_path)


def test_a_file_under_another_name(root):
    (root / "mini.pkl").write_bytes(b"\x80\x04N.")
    told = (
        r"load_pool: .*mini.pkl must be a zip of class folders, or a file of another project under its usual name, got "
    )
    with pytest.raises(UserError, match=told + r"'mini.pkl'; give it back its name, see docs/howto/data.md"):
        load_pool("mini.pkl", root=root)


def test_data_folder(monkeypatch, own_cache):
    monkeypatch.setenv("MAMLPROBE_DATA", "/somewhere")
    assert data_folder("here") == Path("here")
    assert data_folder() == Path("/somewhere")
    monkeypatch.delenv("MAMLPROBE_DATA")
    assert data_folder() == own_cache


REAL = Path(os.environ.get("MAMLPROBE_DATA", "/nowhere")) / "tinyimagenet-fs"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="MAMLPROBE_DATA names no folder that holds tinyimagenet-fs")
def test_the_real_zips():
    pool = load_pool("tinyimagenet-fs", size=32)
    assert {name: len(ids) for name, ids in pool.splits.items()} == {"train": 64, "val": 16, "test": 20}
    assert pool.images.shape == (100, 120, 3, 32, 32)
    assert (pool.counts == 120).all()
    assert torch.allclose(pool.floats(pool.images[:5]).mean(), torch.tensor(0.0), atol=0.3)


@pytest.fixture
def told(monkeypatch):
    """What is said, each line once in a process."""
    lines = []
    monkeypatch.setattr(load, "_say", cache(lines.append))
    return lines


@pytest.mark.parametrize("how", ["a file", "a link to nowhere", "a pipe", "too small", "no right"])
def test_a_cache_that_takes_nothing_is_told_once(how, root, own_cache, told, monkeypatch):
    number = {"too small": errno.EFBIG, "no right": errno.EACCES}.get(how)
    if how == "a file":
        own_cache.write_text("")
    elif how == "a link to nowhere":
        own_cache.symlink_to(own_cache.parent / "nowhere" / "else")
    elif how == "a pipe":
        os.mkfifo(own_cache)
    else:

        def refused(*words):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(files.os, "replace", refused)
    for _ in range(2):
        assert load_pool("birds", root=root).describe()["classes"].tolist() == [2]
    assert len(told) == 1
    start = f"load_pool: data are read anew each time: the cache {own_cache} takes none, got "
    assert told[0].startswith(start + (os.strerror(number) if number else ""))
    assert told[0].endswith("; free space there, or set MAMLPROBE_CACHE to another folder")
    assert not own_cache.is_dir() or not list(own_cache.iterdir())


def test_a_limit_on_the_size_of_files_is_no_end_of_loading(root, own_cache, told):
    """Which the system enforces, under the feet of the library that writes the pool."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        pool = load_pool("birds", root=root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told == [
        f"load_pool: data are read anew each time: the cache {own_cache} takes none, got File too large; free space "
        "there, or set MAMLPROBE_CACHE to another folder"
    ]
    assert list(own_cache.iterdir()) == []
    assert load_pool("birds", root=root).digest() == pool.digest()
    assert len(list(own_cache.iterdir())) == 1


def test_what_is_forgotten_is_read_anew(root, own_cache, image_bytes):
    """In all sizes; what differs in neither size nor time is not seen otherwise."""
    before = [load_pool("birds", root=root, size=size).digest() for size in (None, 9)]
    other = load_pool("trees", root=root).digest()
    picture = root / "birds" / "train" / "a" / "0.png"
    facts = picture.stat()
    picture.write_bytes((root / "birds" / "train" / "a" / "1.png").read_bytes())
    os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert picture.stat().st_size == facts.st_size
    assert [load_pool("birds", root=root, size=size).digest() for size in (None, 9)] == before
    load.forget("birds", root)
    (left,) = own_cache.iterdir()
    assert left.name.startswith("trees-")
    after = [load_pool("birds", root=root, size=size).digest() for size in (None, 9)]
    assert all(one != two for one, two in zip(before, after, strict=True))
    assert load_pool("trees", root=root).digest() == other


def test_only_the_pools_of_that_name_are_forgotten(root, own_cache):
    load_pool("birds", root=root)
    (kept,) = own_cache.iterdir()
    mine = [
        "birds-1.safetensors",
        "birds",
        "birds-0123456789abcdeg.safetensors",
        "mybirds-0123456789abcdef.safetensors",
    ]
    for name in mine:
        (own_cache / name).write_bytes(b"mine")
    target = own_cache.parent / "target"
    target.write_bytes(b"mine")
    (own_cache / "birds-0123456789abcdef.safetensors").symlink_to(target)
    load.forget(root / "birds")
    assert sorted(each.name for each in own_cache.iterdir()) == sorted(mine)
    assert target.read_bytes() == b"mine"
    assert kept.name not in mine
    load.forget("glyphs")
    with pytest.raises(UserError, match=r"data: a data set that is read anew must have files, got the formula 'sinus"):
        load.forget("sinusoids")
    with pytest.raises(UserError, match=r"must be a known one, got 'birdz'; did you mean birds"):
        load.forget("birdz", root)


def test_a_home_in_the_environment_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MAMLPROBE_CACHE", "~/cache")
    monkeypatch.setenv("MAMLPROBE_DATA", "~/data")
    assert (cache_folder(), data_folder()) == (tmp_path / "cache", tmp_path / "data")
