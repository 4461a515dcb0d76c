import pickle

import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from tests.data.layouts.conftest import encoded

COUNTS = {
    ("train", "n01530575"): 3,
    ("train", "n01532829"): 2,
    ("val", "n01495701"): 2,
    ("test", "n07768694"): 3,
}
WORDS = {"n01530575": "brambling, Fringilla montifringilla", "n01532829": "house finch", "n07768694": "pomegranate"}


def write(folder, small, kind, words=None, protocol=2):
    """Images in a random order, as PNGs or as arrays of blue, green, red."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        classes = small.of(split)
        images = np.concatenate(list(classes.values()))
        labels = np.concatenate([[place] * len(each) for place, each in enumerate(classes.values())]).astype(np.int32)
        items = np.concatenate([np.arange(len(each)) for each in classes.values()])
        order = np.argsort(items, kind="stable")
        names = [(words or {}).get(name, name) for name in classes]
        values = {"label_specific": labels[order], "label_general": labels[order] * 0, "label_specific_str": names}
        (folder / f"{split}_labels.pkl").write_bytes(pickle.dumps(values, protocol))
        if kind == "png":
            pieces = [np.frombuffer(encoded(images[row]), np.uint8)[:, None] for row in order]
            (folder / f"{split}_images_png.pkl").write_bytes(pickle.dumps(pieces, protocol))
        else:
            np.savez(folder / f"{split}_images.npz", images=images[order][..., ::-1])
    return folder


@pytest.mark.parametrize("kind", ["png", "arrays"])
@pytest.mark.parametrize("words", [None, WORDS])
def test_the_pool_is_that_of_the_same_class_folders(tmp_path, small, same, kind, words):
    images = small(COUNTS)
    folder = write(tmp_path / "tiered", images, kind, words, 2 if words else 4)
    assert "than published (train 351, val 97, test 160): train 2 x 2 to 3" in same(folder, images).source
    for each in folder.glob("train*"):
        each.unlink()
    assert list(load_pool(folder).splits) == ["val", "test"]


def test_png_before_arrays_and_bytes_of_other_copies(tmp_path, small, same):
    images = small({("val", "val000"): 2, ("val", "val001"): 1})
    folder = tmp_path / "tiered"
    folder.mkdir()
    several = np.concatenate(list(images.of("val").values()))
    np.savez(folder / "val_images.npz", images=several * 0)
    (folder / "val_images_png.pkl").write_bytes(pickle.dumps([encoded(each) for each in several]))
    (folder / "val_labels.pkl").write_bytes(pickle.dumps({"labels": [0, 0, 1]}))
    same(folder, images)


def test_classes_of_one_name_stay_two(tmp_path, small):
    images = small({("val", "a"): 1, ("val", "b"): 1, ("train", "c"): 1, ("test", "d"): 1})
    pool = load_pool(write(tmp_path / "tiered", images, "png", {"a": "crane", "b": "crane"}))
    assert pool.class_names == ("c", "crane 0", "crane 1", "d")


@pytest.fixture
def folder(tmp_path, small):
    return write(tmp_path / "tiered", small(COUNTS), "png")


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("labels", {"label_specific": [0]}, "'label_specific' must be 5 whole numbers, one an image of"),
        ("labels", {"other": [0]}, "must hold 'label_specific', got other"),
        ("labels", {"label_specific": [0, 1, 2, 0, 0], "label_specific_str": ["a", "b"]}, "got 2 names for 0..2"),
        ("labels", {"label_specific": [0, 1, -1, 0, 0], "label_specific_str": ["a", "b"]}, "got 2 names for -1..1"),
        ("labels", {"label_specific": [0] * 5, "label_specific_str": 3}, "got something else"),
        ("labels", {"label_specific": [0] * 5, "label_specific_str": [3]}, "got something else"),
        ("images_png", {}, "must hold a list of images, got dict"),
        ("images_png", [], "must hold a list of images, got list"),
        ("images_png", ["text"], "must hold encoded images, got str among them"),
        ("images_png", [np.zeros(3)], "must hold encoded images, got ndarray among them"),
        ("images_png", [b"no image"] * 5, "must be a whole image"),
    ],
)
def test_mistakes_are_one_line(folder, refused, name, values, told):
    (folder / f"train_{name}.pkl").write_bytes(pickle.dumps(values))
    assert told in refused(folder)


def test_damaged_files_and_code(folder, refused, touch):
    for name in ("labels", "images_png"):
        path = folder / f"train_{name}.pkl"
        good = path.read_bytes()
        path.write_bytes(pickle.dumps({"labels": touch}))
        assert "a pickle that calls pathlib" in refused(folder)
        path.write_bytes(good[:-20])
        assert "a pickle that was cut" in refused(folder)
        path.write_bytes(good)
    (folder / "train_labels.pkl").unlink()
    assert "must have its labels beside it, got no train_labels.pkl; get it too" in refused(folder)
    (folder / "train_images_png.pkl").rename(folder / "train_images.npz")
    assert "got no train_labels.pkl" in refused(folder)
    write(folder, small_ones(), "arrays")
    path = folder / "train_images.npz"
    (folder / "train_images_png.pkl").unlink(missing_ok=True)
    path.write_bytes(path.read_bytes()[:-30])
    assert "must be a whole .npz of plain arrays" in refused(path)


def small_ones():
    """Few images, as the fixture makes them."""

    class Few:
        def of(self, split):
            return {split: np.ones((2, 6, 6, 3), np.uint8)}

    return Few()
