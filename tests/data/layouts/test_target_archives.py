import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts.class_lists import split_lists


def write(folder, small, labels, splits=("train", "val", "test")):
    folder.mkdir(exist_ok=True)
    for split in splits:
        classes = small.of(split)
        targets = np.concatenate([[labels[name]] * len(each) for name, each in classes.items()])
        np.savez(folder / f"few-shot-{split}.npz", features=np.concatenate(list(classes.values())), targets=targets)
    return folder


def test_numbers_are_names_where_nothing_else_is_known(tmp_path, small, same):
    images = small({("train", "train000"): 3, ("train", "train012"): 2, ("val", "val064"): 1, ("test", "test099"): 2})
    folder = write(tmp_path / "set", images, {name: int(name[-3:]) for _, name in images.classes})
    assert "other numbers of classes and images than published (train 64 x 600" in same(folder, images).source
    (folder / "few-shot-train.npz").unlink()
    assert list(load_pool(folder).splits) == ["val", "test"]
    assert list(load_pool(folder / "few-shot-test.npz").splits) == ["test"]


def test_fc100_has_the_names_of_cifar_100(tmp_path, small, same):
    names, numbers = (split_lists("cifar100", each, "fc100") for each in ("fine", "fine_id"))
    images = small({(split, name): 1 for split, each in names.items() for name in each}, (32, 32, 3))
    labels = {name: number for split in names for name, number in zip(names[split], numbers[split], strict=True)}
    pool = same(write(tmp_path / "set", images, labels), images)
    assert {split: len(ids) for split, ids in pool.splits.items()} == {"train": 60, "val": 20, "test": 20}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"features": np.ones((2, 3, 3, 3), np.uint8)}, "must hold 'targets', got features"),
        ({"features": np.ones((2, 3, 3, 3)), "targets": [0, 1]}, "got [2, 3, 3, 3] float64"),
        ({"features": np.ones((2, 3, 3, 3), np.uint8), "targets": [0]}, "must be 2 whole numbers, one an image of"),
        ({"features": np.ones((2, 3, 3, 3), np.uint8), "targets": [0, 0.5]}, "got float64 numbers"),
    ],
)
def test_mistakes_are_one_line(tmp_path, refused, values, told):
    np.savez(tmp_path / "few-shot-val.npz", **values)
    assert told in refused(tmp_path)


def test_damaged_files_and_code(tmp_path, refused, touch):
    path = tmp_path / "few-shot-val.npz"
    np.savez(path, features=np.array([touch, touch]), targets=np.array([0, 1]))
    assert "must be a whole .npz of plain arrays, got 'features' with entries of type object" in refused(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    assert "File is not a zip file" in refused(tmp_path)
