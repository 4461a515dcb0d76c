import pickle

import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts.class_lists import split_lists

MINI = {
    ("train", "n01532829"): (0, 3),
    ("train", "n01704323"): (2, 2),
    ("val", "n01855672"): (64, 2),
    ("test", "n01930112"): (80, 3),
    ("test", "n07613480"): (99, 1),
}
"""(split, class) -> its label and number of images."""

PHASES = {"train": "train_phase_train", "val": "val", "test": "test"}


def write(path, small, split, labels, mixed=False, protocol=2):
    """A pickle of data and labels; mixed: images of the classes in turn."""
    classes = small.of(split)
    data = np.concatenate(list(classes.values()))
    numbers = np.concatenate([[labels[name]] * len(each) for name, each in classes.items()])
    places = np.concatenate([np.arange(len(each)) for each in classes.values()])
    order = np.argsort(places, kind="stable") if mixed else slice(None)
    values = {"data": data[order], "labels": numbers[order].tolist()}
    path.write_bytes(pickle.dumps(values, protocol))


@pytest.fixture
def gidaris(tmp_path, small):
    images, folder = small({key: count for key, (_, count) in MINI.items()}), tmp_path / "mini"
    folder.mkdir()
    for split, phase in PHASES.items():
        labels = {name: label for (each, name), (label, _) in MINI.items() if each == split}
        write(folder / f"miniImageNet_category_split_{phase}.pickle", images, split, labels, split == "train")
    return folder, images


def test_mini_imagenet_has_the_wnids_of_its_list(gidaris, same):
    folder, images = gidaris
    pool = same(folder, images)
    assert "other numbers of classes and images than published (train 64 x 600" in pool.source
    for phase in ("val", "test"):
        write(folder / f"miniImageNet_category_split_train_phase_{phase}.pickle", images, "val", {"n01855672": 0})
    pool = same(folder, images)
    assert (
        "left out miniImageNet_category_split_train_phase_test.pickle, "
        "miniImageNet_category_split_train_phase_val.pickle, which hold other images" in pool.source
    )


def test_all_wnids(tmp_path, small):
    names = [name for each in split_lists("miniimagenet", "wnid").values() for name in each]
    for split, first, last in (("train", 0, 64), ("val", 64, 80), ("test", 80, 100)):
        images = small({(split, name): 1 for name in names[first:last]}, (1, 1, 3))
        labels = {name: first + place for place, name in enumerate(names[first:last])}
        write(tmp_path / f"miniImageNet_category_split_{PHASES[split]}.pickle", images, split, labels)
    pool = load_pool(tmp_path, size=1)
    assert list(pool.class_names) == names
    assert {split: len(ids) for split, ids in pool.splits.items()} == {"train": 64, "val": 16, "test": 20}


def test_mini_imagenets_mistakes(gidaris, refused, touch):
    folder, images = gidaris
    path = folder / "miniImageNet_category_split_val.pickle"
    write(path, images, "val", {"n01855672": 80})
    assert "labels of split val must lie in 64..79 of" in refused(folder)
    assert refused(path).endswith("got 80..80; get the file again")
    good = {"data": np.ones((2, 3, 3, 3), np.uint8), "labels": [64, 64]}
    for values, got in (
        (good | {"labels": [64]}, "'labels' must be 2 whole numbers, one an image of"),
        (good | {"labels": [64, 64.0]}, "something else among them"),
        (good | {"labels": [64, 2**40]}, "something else among them"),
        (good | {"labels": np.array([64, 2**40])}, "larger numbers"),
        (good | {"labels": np.array([64, 64.0])}, "float64 numbers"),
        (good | {"labels": "ab"}, "got str"),
        ({"data": good["data"]}, "must hold 'labels', got data"),
        (good | {"labels": touch}, "got a pickle that calls"),
    ):
        path.write_bytes(pickle.dumps(values))
        assert got in refused(folder)
    path.unlink()
    alone = folder / "miniImageNet_category_split_train_phase_val.pickle"
    write(alone, images, "val", {"n01855672": 0})
    assert "must hold the images of a split, train_phase_train, val or test, got miniIm" in refused(alone)


@pytest.mark.parametrize(("start", "column"), [("CIFAR_FS_", "cifar_fs"), ("FC100_", "fc100"), ("", "fc100")])
def test_cifar_has_names_where_labels_are_the_numbers_of_the_list(tmp_path, small, same, start, column):
    names, numbers = (split_lists("cifar100", each, column) for each in ("fine", "fine_id"))
    images = small({(split, name): 2 for split, each in names.items() for name in each}, (2, 2, 3))
    folder = tmp_path / "set"
    folder.mkdir()
    for split in names:
        labels = dict(zip(names[split], numbers[split], strict=True))
        write(folder / f"{start}{split}.pickle", images, split, labels)
    pool = same(folder, images)
    assert {split: len(ids) for split, ids in pool.splits.items()} == {
        split: len(each) for split, each in names.items()
    }


@pytest.mark.parametrize("start", ["CIFAR_FS_", "FC100_", ""])
def test_other_labels_give_classes_their_numbers(tmp_path, small, same, start):
    images = small({("train", "train000"): 2, ("train", "train007"): 1, ("val", "val000"): 2, ("test", "test112"): 1})
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "val", "test"):
        labels = {name: int(name[-3:]) for name in images.of(split)}
        write(folder / f"{start}{split}.pickle", images, split, labels)
    pool = same(folder, images)
    assert "other numbers" in pool.source
    (folder / f"{start}val.pickle").unlink()
    assert list(load_pool(folder).splits) == ["train", "test"]


def test_some_of_the_numbers_of_the_list_do_not_name_classes(tmp_path, small):
    """Since they may be those of another numbering."""
    images = small({("test", "a"): 1, ("test", "b"): 1})
    labels = dict(zip("ab", split_lists("cifar100", "fine_id", "cifar_fs")["test"]))
    write(tmp_path / "CIFAR_FS_test.pickle", images, "test", labels)
    assert load_pool(tmp_path).class_names == tuple(f"test{number:03d}" for number in labels.values())


def test_two_sets_in_one_folder(tmp_path, small, refused):
    images = small({("val", "a"): 1})
    for start in ("CIFAR_FS", "FC100"):
        write(tmp_path / f"{start}_val.pickle", images, "val", {"a": 1})
    assert "must hold one data set, got CIFAR_FS_*.pickle and FC100_*.pickle" in refused(tmp_path)


def test_drawings_without_an_axis_of_colours(tmp_path, small, same):
    images = small({("test", "test001"): 2, ("test", "test003"): 3}, (6, 6))
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "test.pickle", images, "test", {"test001": 1, "test003": 3})
    assert same(folder, images).image_shape == (1, 9, 9)
