import pickle

import numpy as np
import pytest

from mamlprobe.data import by_name
from mamlprobe.data.by_name import load_pool

COUNTS = {
    ("train", "n01532829"): 3,
    ("train", "n01558993"): 2,
    ("train", "n01704323"): 3,
    ("val", "n01855672"): 2,
    ("test", "n01930112"): 3,
    ("test", "n01981276"): 1,
}


def content(small, split, keys=str):
    classes = small.of(split)
    ends = np.cumsum([0, *(len(each) for each in classes.values())]).tolist()
    rows = {keys(name): list(range(*ends[place : place + 2])) for place, name in enumerate(classes)}
    return {keys("image_data"): np.concatenate(list(classes.values())), keys("class_dict"): rows}


@pytest.fixture
def caches(tmp_path, small):
    """Three caches of few images, and the images."""
    images, folder = small(COUNTS), tmp_path / "caches"
    folder.mkdir()
    for split in ("train", "val", "test"):
        (folder / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content(images, split)))
    return folder, images


def test_the_pool_is_that_of_the_same_class_folders(caches, same):
    folder, images = caches
    pool = same(folder, images)
    assert "other numbers of classes and images than published (train 64 x 600" in pool.source
    (folder / "mini-imagenet-cache-val.pkl").rename(folder / "mini-imagenet-cache-validation.pkl")
    for split in ("train", "test"):
        (folder / f"mini-imagenet-cache-{split}.pkl").write_bytes(
            pickle.dumps(content(images, split, str.encode), protocol=2)
        )
    same(folder, images)


def test_rows_in_any_order(caches, same):
    folder, images = caches
    path = folder / "mini-imagenet-cache-train.pkl"
    values, order = content(images, "train"), np.random.default_rng(0).permutation(8)
    places = np.argsort(order).tolist()
    rows = {name: np.array([places[row] for row in each]) for name, each in reversed(values["class_dict"].items())}
    path.write_bytes(pickle.dumps({"image_data": values["image_data"][order], "class_dict": rows}))
    same(folder, images)


def test_half_a_set_has_the_splits_that_are_there(caches):
    folder, _ = caches
    alone = load_pool(folder / "mini-imagenet-cache-test.pkl")
    (folder / "mini-imagenet-cache-train.pkl").unlink()
    pool = load_pool(folder)
    assert list(alone.splits) == ["test"]
    assert list(pool.splits) == ["val", "test"]
    assert pool.class_names == ("n01855672", "n01930112", "n01981276")
    assert (pool.images[1:] == alone.images).all()


def test_numbers_other_than_published_are_said_and_those_are_not(tmp_path, small, monkeypatch):
    lines, folder = [], tmp_path / "caches"
    monkeypatch.setattr(by_name, "_say", lines.append)
    folder.mkdir()
    images = small({("test", f"n{each:08d}"): 600 for each in range(20)}, (1, 1, 3))
    (folder / "mini-imagenet-cache-test.pkl").write_bytes(pickle.dumps(content(images, "test")))
    pool = load_pool(folder, size=1)
    assert len(lines) == 1
    assert lines[0].removeprefix(f"load_pool: of {folder} ") in pool.source
    assert lines[0].endswith("(train 64 x 600, val 16 x 600, test 20 x 600): test 20 x 600")
    for split, count in (("train", 64), ("val", 16)):
        part = small({(split, f"n{count}{each:06d}"): 600 for each in range(count)}, (1, 1, 3))
        (folder / f"mini-imagenet-cache-{split}.pkl").write_bytes(pickle.dumps(content(part, split)))
    assert "note" not in load_pool(folder, size=1).source


GOOD = {"image_data": np.ones((4, 3, 3, 3), np.uint8), "class_dict": {"a": [0, 1], "b": [2, 3]}}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1], "must hold a dict, got list"),
        ({}, "must hold 'image_data', got nothing"),
        ({"image_data": GOOD["image_data"]}, "must hold 'class_dict', got image_data"),
        (GOOD | {"image_data": [1, 2]}, "'image_data' must be images [N, H, W, 3] uint8 of .*, got list"),
        (GOOD | {"image_data": np.ones((4, 3, 3, 3))}, "got [4, 3, 3, 3] float64"),
        (GOOD | {"image_data": np.ones((4, 3, 3, 4), np.uint8)}, "got [4, 3, 3, 4] uint8"),
        (GOOD | {"image_data": np.ones((0, 3, 3, 3), np.uint8)}, "got [0, 3, 3, 3]"),
        (GOOD | {"image_data": np.ones((4, 1, 4097, 3), np.uint8)}, "got [4, 1, 4097, 3]"),
        (GOOD | {"class_dict": [[0, 1], [2, 3]]}, "got list"),
        (GOOD | {"class_dict": {}}, "'class_dict' must give each class its rows"),
        (GOOD | {"class_dict": {"a": [0, 4]}}, "each once and in 0..3, of .*, got others for 'a'"),
        (GOOD | {"class_dict": {"a": [0, -1]}}, "got others for 'a'"),
        (GOOD | {"class_dict": {"a": [0, 1.0]}}, "got others for 'a'"),
        (GOOD | {"class_dict": {"a": [[0], 1]}}, "got others for 'a'"),
        (GOOD | {"class_dict": {"a": []}}, "got others for 'a'"),
        (GOOD | {"class_dict": {"a": [0, 1], "b": [1, 2]}}, "got a row twice"),
        (GOOD | {"class_dict": {3: [0, 1]}}, "got others for '3'"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, refused, values, line):
    path = tmp_path / "mini-imagenet-cache-train.pkl"
    path.write_bytes(pickle.dumps(values))
    told = refused(path)
    for part in line.split(".*"):
        assert part in told
    assert told.endswith("; get the file again")


def test_damaged_files_and_code(tmp_path, refused, touch, caches):
    folder, _ = caches
    path = folder / "mini-imagenet-cache-train.pkl"
    good = path.read_bytes()
    path.write_bytes(pickle.dumps(GOOD | {"class_dict": touch}))
    assert "must be a whole pickle of arrays, got a pickle that calls pathlib" in refused(folder)
    path.write_bytes(good[: len(good) // 2])
    assert "got a pickle that was cut" in refused(folder)
    path.write_bytes(b"")
    assert "got a pickle that was cut" in refused(path)
    path.write_bytes(good)
    (folder / "mini-imagenet-cache-validation.pkl").write_bytes(good)
    assert "split val of" in refused(folder)
