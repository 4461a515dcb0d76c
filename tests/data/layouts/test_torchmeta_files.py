import json
import sys

import h5py
import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts.characters import known_characters
from tests.data.layouts.conftest import encoded

BYTES = h5py.special_dtype(vlen=np.uint8)
MINI = {("train", "n01532829"): 3, ("train", "n01704323"): 2, ("val", "n01855672"): 2, ("test", "n01930112"): 3}


def add(group, name, images, kind):
    """A dataset of arrays, or of encoded images."""
    if kind == "arrays":
        group[name] = images
        return
    data = group.create_dataset(name, (len(images),), dtype=BYTES)
    for item, image in enumerate(images):
        data[item] = np.frombuffer(encoded(image), np.uint8)


def write(folder, small, kind="arrays"):
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        classes = small.of(split)
        (folder / f"{split}_labels.json").write_text(json.dumps(list(classes)))
        with h5py.File(folder / f"{split}_data.hdf5", "w") as file:
            group = file.create_group("datasets")
            for name, images in classes.items():
                add(group, name, images, kind)
    return folder


@pytest.mark.parametrize("kind", ["arrays", "encoded"])
def test_the_pool_is_that_of_the_same_class_folders(tmp_path, small, same, kind):
    images = small(MINI)
    folder = write(tmp_path / "miniimagenet", images, kind)
    assert "than published (train 64 x 600" in same(folder, images).source
    (folder / "train_labels.json").unlink()
    same(folder, images)
    (folder / "val_data.hdf5").unlink()
    assert list(load_pool(folder).splits) == ["train", "test"]
    assert list(load_pool(folder / "test_data.hdf5").splits) == ["test"]


def test_the_numbers_of_birds(tmp_path, small, same):
    images = small({("train", "001.Black_footed_Albatross"): 2, ("test", "002.Laysan_Albatross"): 1, ("val", "x"): 1})
    folder = write(tmp_path / "cub", images, "encoded")
    assert "note" not in same(folder, images).source
    del images.classes["val", "x"]
    (folder / "val_data.hdf5").unlink()
    assert "than published (train 100, val 50, test 50)" in load_pool(folder).source


FINE = {
    ("fruit_and_vegetables", "apple"): ("train", "train"),
    ("fish", "shark"): ("val", "train"),
    ("fish", "trout"): ("train", "train"),
    ("people", "baby"): ("test", "test"),
}
"""Coarse and fine class -> its split in CIFAR-FS and in FC100."""


@pytest.fixture
def cifar(tmp_path):
    folder, draw = tmp_path / "cifar100", np.random.default_rng(0)
    folder.mkdir()
    images = {pair: draw.integers(0, 256, (2, 6, 6, 3)).astype(np.uint8) for pair in FINE}
    with h5py.File(folder / "data.hdf5", "w") as file:
        for (coarse, fine), several in images.items():
            file[f"{coarse}/{fine}"] = several
    for place, name in enumerate(("cifar-fs", "fc100")):
        (folder / name).mkdir()
        for split in ("train", "val", "test"):
            pairs = [pair for pair, splits in FINE.items() if splits[place] == split]
            labels = pairs if name == "cifar-fs" else sorted({coarse for coarse, _ in pairs})
            if labels:
                (folder / name / f"{split}_labels.json").write_text(json.dumps(labels))
    return folder, images


@pytest.mark.parametrize(("place", "name"), [(0, "cifar-fs"), (1, "fc100")])
def test_cifar_by_its_lists(cifar, small, same, place, name):
    folder, images = cifar
    wanted = small({("test", "x"): 1})
    wanted.classes = {(FINE[pair][place], pair[1]): several for pair, several in images.items()}
    for path in (folder, folder.parent):
        pool = same(path, wanted, {"split": name})
    assert "other numbers of classes" in pool.source


def test_cifars_mistakes(cifar, refused):
    folder, _ = cifar
    assert refused(folder).endswith("must be chosen, got none; state split, one of cifar-fs, fc100")
    path = folder / "cifar-fs" / "val_labels.json"
    for labels, told in (
        ([["fish", "trout"]], "classes must be in one split, once of"),
        ([["fish", "whale"]], "no dataset 'fish/whale'"),
        ([["fish", 3]], "must be a list of classes, each once, got 1 entries, 0 of them right"),
        ({}, "got 0 entries"),
        ([], "got 0 entries"),
    ):
        path.write_text(json.dumps(labels))
        assert told in refused(folder, split="cifar-fs")
    path.write_text("[")
    assert "must be a list of classes" in refused(folder, split="cifar-fs")
    for each in (folder / "fc100").iterdir():
        each.unlink()
    assert "must hold train_labels.json and so on, got none" in refused(folder, split="fc100")
    (folder / "fc100").rmdir()
    assert "must be chosen, got fc100; state split, one of cifar-fs" in refused(folder, split="fc100")


CHARACTERS = [
    "images_background/Alphabet_of_the_Magi/character01",
    "images_background/Alphabet_of_the_Magi/character02",
    "images_background/Bengali/character07",
    "images_evaluation/Angelic/character20",
]


@pytest.mark.parametrize("split", [None, "vinyals", "first1200"])
def test_omniglot(tmp_path, small, same, split, monkeypatch):
    monkeypatch.setattr("mamlprobe.data.layouts.characters.FIRST", 3)
    names = [each.partition("/")[2] for each in CHARACTERS]
    splits = (
        ["train", "train", "train", "test"] if split == "first1200" else [known_characters()[each] for each in names]
    )
    images = small(dict.fromkeys(zip(splits, names), 2), (6, 6))
    folder = tmp_path / "set" / "omniglot"
    folder.mkdir(parents=True)
    with h5py.File(folder / "data.hdf5", "w") as file:
        for place in CHARACTERS:
            file[place] = images.classes[next(key for key in images.classes if key[1] == place.partition("/")[2])]
    for path in (folder, folder.parent):
        pool = same(path, images, {"split": split})
    assert "other numbers of classes" in pool.source
    dark = load_pool(folder, split=split, ink=0)
    assert (dark.images == 255 - load_pool(folder, split=split).images).all()


def test_omniglots_mistakes(tmp_path, refused):
    for name, images, told in (
        ("images_background/Alphabet/character01", np.ones((2, 6, 6), np.uint8), "must be Omniglot's of"),
        ("images_background/Bengali/character07", np.ones((2, 6, 6)), "got [2, 6, 6] float64"),
        ("images_background/Bengali/character07", np.ones((0, 6, 6), np.uint8), "must hold images of"),
        ("other/Bengali/character07", np.ones((2, 6, 6), np.uint8), "images_evaluation must be there of"),
    ):
        with h5py.File(tmp_path / "data.hdf5", "w") as file:
            file[name] = images
        assert told in refused(tmp_path)
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        add(file.create_group("images_background/Bengali"), "character07", np.ones((2, 6, 6), np.uint8), "encoded")
    assert "characters must be arrays of drawings of" in refused(tmp_path)


def test_mistakes_are_one_line(tmp_path, small, refused, monkeypatch):
    folder = write(tmp_path / "set", small(MINI))
    path = folder / "val_data.hdf5"
    for name, told in (
        ("n01532829", "class 'n01532829' of"),
        ("none", "must be a whole HDF5 file of images, got no dataset 'datasets/none'"),
        ("../../x", "got no dataset 'datasets/../../x'"),
    ):
        (folder / "val_labels.json").write_text(json.dumps([name]))
        if name == "n01532829":
            with h5py.File(path, "a") as file:
                file[f"datasets/{name}"] = np.ones((1, 6, 6, 3), np.uint8)
        assert told in refused(folder)
    with h5py.File(path, "w") as file:
        file["datasets/none"] = np.ones((2, 6, 6, 4), np.uint8)
    (folder / "val_labels.json").unlink()
    assert "'datasets/none' must be images [N, H, W, 3] uint8 of" in refused(folder)
    with h5py.File(path, "w") as file:
        file["other"] = np.ones((2, 6, 6, 4), np.uint8)
    assert "no group 'datasets' with classes" in refused(folder)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("datasets/none", (1,), dtype=BYTES)
        data[0] = np.frombuffer(b"no image", np.uint8)
    assert "must be a whole image" in refused(folder)
    path.write_bytes(path.read_bytes()[:700])
    assert "must be a whole HDF5 file of images, got" in refused(folder)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert refused(folder).endswith("got none; pip install mamlprobe[hdf5]")
