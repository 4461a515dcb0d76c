import json

import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts.class_lists import CUB_SPLITS, class_list
from tests.data.layouts.conftest import encoded

BIRDS = class_list("cub")["class"].tolist()[:8]
SPLITS = ("train", "val", "test")
OUTSIDE = "/home/somebody/filelists/CUB/CUB_200_2011/images"


def by(column):
    table = class_list("cub").set_index("class")[column]
    return {(table[name], name): 2 + place % 2 for place, name in enumerate(BIRDS)}


def write(folder, small):
    """CUB_200_2011/images of these."""
    for (_, name), images in small.classes.items():
        (folder / "images" / name).mkdir(parents=True)
        for item, image in enumerate(images):
            (folder / "images" / name / f"{name[4:]}_{item:04d}.png").write_bytes(encoded(image))
    (folder / "classes.txt").write_text("1 001.Black_footed_Albatross\n")
    return folder


@pytest.mark.parametrize("split", CUB_SPLITS)
def test_the_four_published_splits(tmp_path, small, same, split):
    images = small(by(split))
    folder = write(tmp_path / "set" / "CUB_200_2011", images)
    for path in (folder, folder.parent, folder / "images"):
        pool = same(path, images, {"split": split})
    wanted = "train 140, val 30, test 30" if split in ("easyfsl", "learn2learn") else "train 100, val 50, test 50"
    assert f"than published ({wanted})" in pool.source
    assert f"split {split} of CUB" in pool.source


@pytest.mark.parametrize("kind", ["closerlook", "easyfsl"])
def test_lists_in_json(tmp_path, small, same, kind):
    images = small(by(kind))
    folder = write(tmp_path / "set" / "CUB_200_2011", images)
    place = folder.parent if kind == "closerlook" else folder
    for split, file in zip(SPLITS, ("base", "val", "novel") if kind == "closerlook" else SPLITS):
        names = list(images.of(split))
        files = [
            (f"{OUTSIDE}/{name}/{each.name}", BIRDS.index(name))
            for name in names
            for each in sorted((folder / "images" / name).iterdir(), reverse=True)
        ]
        values = {"label_names": BIRDS, "image_names": [f for f, _ in files], "image_labels": [n for _, n in files]}
        if kind == "easyfsl":
            values = {"class_names": [n[4:] for n in names], "class_roots": [f"./data/CUB/images/{n}" for n in names]}
        if names:
            (place / f"{file}.json").write_text(json.dumps(values))
    same(place, images)
    images.folder.rename(tmp_path / "other")
    images.classes = {key: images.classes[next(k for k in images.classes if k[1] == key[1])] for key in by("feat")}
    same(place, images, {"split": "feat"})


def test_the_split_must_be_stated(tmp_path, small, refused):
    folder = write(tmp_path / "CUB_200_2011", small(by("feat")))
    assert refused(folder).endswith("got none; state split, one of closerlook, easyfsl, learn2learn, feat")
    assert "must be a known one, got 'closer'; did you mean closerlook" in refused(folder, split="closer")


def test_lists_of_other_images(tmp_path, small, same):
    """CloserLook's of mini-ImageNet, images in one folder."""
    images, folder = small({("train", "n01"): 2, ("val", "n02"): 3}), tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for place, ((split, name), several) in enumerate(images.classes.items()):
        names = [f"{name}_{item}.png" for item in range(len(several))]
        for file, image in zip(names, several):
            (folder / "images" / file).write_bytes(encoded(image))
        values = {"label_names": ["n01", "n02"], "image_names": names, "image_labels": [place] * len(names)}
        (folder / f"{'base' if split == 'train' else split}.json").write_text(json.dumps(values))
    assert "note" not in same(folder, images).source
    (folder / "base.json").unlink()
    assert list(load_pool(folder).splits) == ["val"]


@pytest.fixture
def folder(tmp_path, small):
    return write(tmp_path / "CUB", small(by("feat")))


NAME = f"{BIRDS[0]}/{BIRDS[0][4:]}_0000.png"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"class_names": ["a"], "class_roots": ["x/none"]}, "class folders must be in"),
        ({"class_names": ["a"], "class_roots": []}, "'class_roots' must be a list of text of"),
        ({"class_names": ["a"], "class_roots": [1]}, "'class_roots' must be a list of text of"),
        ({"class_names": ["a"], "class_roots": [BIRDS[0]] * 2}, "classes must be in one split, once of"),
        ({"label_names": ["a"], "image_names": [NAME]}, "'image_labels' must be 1 whole numbers in 0..0 of"),
        ({"label_names": ["a"], "image_names": [NAME], "image_labels": [1]}, "'image_labels' must be 1 whole numbers"),
        ({"label_names": ["a"], "image_names": [NAME], "image_labels": [0, 0]}, "'image_labels' must be 1 whole"),
        ({"label_names": ["a"], "image_names": [NAME], "image_labels": [0.0]}, "'image_labels' must be 1 whole"),
        ({"label_names": ["a"], "image_names": [NAME, NAME], "image_labels": [0, 0]}, "twice; put it there"),
        ({"label_names": ["a"], "image_names": ["../x.png"], "image_labels": [0]}, "is not; put it there"),
        ({"label_names": ["a"], "image_names": [""], "image_labels": [0]}, "is not; put it there"),
        ({"label_names": ["a"]}, "'image_names' must be a list of text of"),
    ],
)
def test_mistakes_are_one_line(folder, refused, values, told):
    (folder / "train.json").write_text(json.dumps(values))
    assert told in refused(folder)


def test_damaged_lists_and_other_folders(folder, refused):
    (folder / "train.json").write_text('{"label_names": [')
    assert "must be a whole list" in refused(folder)
    (folder / "images" / "201.Phoenix").mkdir()
    (folder / "images" / "201.Phoenix" / "x.png").write_bytes(b"")
    assert "must be classes of CUB, got '201.Phoenix'; leave split out" in refused(folder, split="feat")
    (folder / "train.json").unlink()
    assert "has no choice of split" in refused(folder, split="feat")


def test_other_json_beside_class_folders_is_none(tmp_path, small):
    images = small({("train", "a"): 2, ("test", "b"): 2})
    wanted = images.pool()
    (images.folder / "train.json").write_text('{"epochs": 3}')
    assert load_pool(images.folder).digest() == wanted.digest()
