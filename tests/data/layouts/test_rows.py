import numpy as np
import pytest

from mamlprobe.data.layouts.rows import counted, labels_of, numbered, parted
from mamlprobe.data.reading.assembled import ArrayClass


def some(count):
    return ArrayClass(parts=((np.zeros((1, 1, 1, 1), np.uint8), np.zeros(count, np.int64)),))


def test_classes_keep_the_order_of_their_rows():
    labels = np.array([7, 3, 7, 3, 3])
    classes = parted(np.zeros((5, 1, 1, 1), np.uint8), labels, "val", numbered("val"))
    assert {key: each.parts[0][1].tolist() for key, each in classes.items()} == {
        ("val", "val003"): [1, 3, 4],
        ("val", "val007"): [0, 2],
    }


@pytest.mark.parametrize("value", [[1, 2], (np.array([1, 2])), np.array([[1], [2]]), np.array([1, 2], np.uint8)])
def test_labels_of_any_kind(value, tmp_path):
    labels = labels_of(value, "labels", tmp_path, 2)
    assert labels.tolist() == [1, 2]
    assert labels.dtype == np.int64


def test_numbers_are_compared():
    published = {"train": (2, 3), "test": (1, None)}
    good = {("train", "a"): some(3), ("train", "b"): some(3), ("test", "c"): some(7)}
    assert counted(good, published) == []
    known = "other numbers of classes and images than published (train 2 x 3, test 1): "
    assert counted({**good, ("test", "c"): some(1), ("test", "d"): some(2)}, published) == [
        f"{known}train 2 x 3, test 2 x 1 to 2"
    ]
    assert counted({("test", "c"): some(7)}, published) == [f"{known}test 1 x 7"]
    assert counted({**good, ("train", "a"): some(2)}, published) == [f"{known}train 2 x 2 to 3, test 1 x 7"]
    assert counted({**good, ("val", "d"): some(2)}, published) == [f"{known}train 2 x 3, val 1 x 2, test 1 x 7"]
