import re

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool
from mamlprobe.data.reading.class_layout import split_of
from mamlprobe.data.reading.image_folder import read_folder


@pytest.fixture
def pool_of(tmp_path, write_tree, write_zip, image_bytes):
    """The pool of two images in each of these folders, in a folder or in a zip."""

    def make(*folders, zipped=False, more=()):
        names = [f"{folder}/{i}.png" for folder in folders for i in range(2)]
        entries = {name: image_bytes(seed) for seed, name in enumerate([*names, *more])}
        path = tmp_path / ("set.zip" if zipped else "set")
        return load_pool(write_zip(path, entries) if zipped else write_tree(path, entries))

    return make


def classes(pool):
    return {name: [pool.class_names[each] for each in ids.tolist()] for name, ids in pool.splits.items()}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("around", ["", "vehicles/", "data/images/"])
@pytest.mark.parametrize("named", ["train", "val", "valid", "test", "Train", "base", "novel", "validation", "eval"])
def test_a_class_called_as_a_split(pool_of, capsys, named, around, zipped):
    folders = sorted(around + name for name in ("bus", "streetcar", "tractor", named))
    assert classes(pool_of(*folders, zipped=zipped)) == {"test": folders}
    assert capsys.readouterr().err == ""


def test_two_classes_called_as_splits(pool_of):
    assert classes(pool_of("bus", "test", "train")) == {"test": ["bus", "test", "train"]}


def test_a_class_called_as_a_split_with_a_folder_in_it(pool_of):
    """Images of a class may lie one folder further down, as in Tiny ImageNet."""
    folders = ["bus/images", "test/images", "train/images"]
    assert classes(pool_of(*folders)) == {"test": folders}


def test_a_class_called_as_a_split_inside_splits(pool_of):
    found = pool_of("train/bus", "train/train", "test/test", "test/tractor")
    assert classes(found) == {"train": ["bus", "train"], "test": ["test", "tractor"]}


NAMES = [
    ("train", "val", "test"),
    ("base", "val", "novel"),
    ("Train", "Val", "Test"),
    ("TRAIN", "VALID", "TEST"),
    ("training", "validation", "testing"),
    ("meta-train", "meta-val", "meta-test"),
    ("meta_train", "meta_val", "meta_test"),
    ("metatrain", "metaval", "metatest"),
    ("MetaTraining", "MetaValidation", "MetaTesting"),
    ("train_images", "val_images", "test_images"),
    ("trainset", "valset", "testset"),
    ("train", "eval", "test"),
    ("images_background", "dev", "images_evaluation"),
]


@pytest.mark.parametrize("how", ["folder", "zip", "a folder around", "zips"])
@pytest.mark.parametrize("names", NAMES)
def test_other_names_of_splits(pool_of, tmp_path, write_zip, image_bytes, capsys, names, how):
    wanted = {split: [f"{split}_{each}" for each in "ab"] for split in ("train", "val", "test")}
    folders = [f"{name}/{each}" for name, split in zip(names, wanted) for each in wanted[split]]
    if how == "zips":
        (tmp_path / "set").mkdir()
        for name, split in zip(names, wanted):
            entries = {f"{each}/0.png": image_bytes(seed) for seed, each in enumerate(wanted[split])}
            write_zip(tmp_path / "set" / f"{name}.zip", entries)
        pool = load_pool(tmp_path / "set")
    else:
        pool = pool_of(*(("set/" if how == "a folder around" else "") + each for each in folders), zipped=how == "zip")
    assert classes(pool) == wanted
    assert capsys.readouterr().err == ""


def test_two_splits_alone(pool_of):
    assert classes(pool_of("TRAIN/a", "TEST/b")) == {"train": ["a"], "test": ["b"]}
    assert split_of("eval") == split_of("Evaluation") == "eval"
    assert [split_of(word) for word in ("restrain", "values", "contest", "set", "meta", "", "bus")] == [""] * 7


def test_eval_is_the_test_where_there_is_no_other(pool_of):
    assert classes(pool_of("train/a", "eval/b")) == {"train": ["a"], "test": ["b"]}


def test_a_folder_around_that_is_called_as_a_split(pool_of):
    assert classes(pool_of("test/train/a", "test/val/b", "test/test/c")) == {
        "train": ["a"],
        "val": ["b"],
        "test": ["c"],
    }


@pytest.mark.parametrize(
    ("folders", "more", "line"),
    [
        (("train/a", "train/b", "test/c", "other/d"), (), "other (test is test, train is train)"),
        (("base/a", "base/b", "novel/c", "val/d", "extra/e", "figures"), (), "extra, figures (base is train, "),
        (("train/a", "train/b", "test/c"), ("test/sheet.png",), "images right in test (test is test, "),
        (("train/a", "train/b", "val/c"), ("test/0.png",), "test (train is train, val is val)"),
        (
            ("set/train/a", "set/train/b", "set/test/c", "x/y"),
            ("sheet.png",),
            "x, images right in it (set/test is test",
        ),
        (("bus", "tram"), ("sheet.png",), "images right in it"),
        (("train/a", "val/b", "test/c", "figures"), (), "figures (test is test, train is train, val is val)"),
    ],
)
def test_what_is_left_out_is_told_in_a_line(pool_of, tmp_path, capsys, folders, more, line):
    pool = pool_of(*folders, more=more)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"load_pool: of {tmp_path / 'set'} left out {line}"), told
    assert told.removeprefix(f"load_pool: of {tmp_path / 'set'} ") in pool.source
    assert len(pool.class_names) == len(folders) - len({"other/d", "extra/e", "figures", "x/y"}.intersection(folders))


def test_an_empty_split_is_told(pool_of, tmp_path, write_tree, capsys):
    write_tree(tmp_path / "set", {"val/": b""})
    pool_of("train/a", "train/b", "test/c")
    (told,) = capsys.readouterr().err.splitlines()
    assert " left out val (" in told


def test_folders_that_may_be_splits_under_other_names_are_told(pool_of, tmp_path, capsys):
    pool = pool_of("seen/a", "seen/b", "unseen/c")
    assert classes(pool) == {"test": ["seen/a", "seen/b", "unseen/c"]}
    wanted = "no folder is called as a split, so the classes of seen, unseen are all in split test"
    assert capsys.readouterr().err == f"load_pool: of {tmp_path / 'set'} {wanted}\n"


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/a", "train/b", "heldout/c"), "folders of {} must all be splits or all classes, got train beside held"),
        (("train/a", "train/b", "bus", "tram"), "folders of {} must all be splits or all classes, got train beside b"),
        (("train/old", "bus", "tram"), "folders of {} must all be splits or all classes, got train beside bus, tram"),
        (("base/a", "train/b", "test/c"), "split train of {} must be one folder, got base and train"),
        (("val/a", "valid/b"), "split val of {} must be one folder, got val and valid"),
        (("cup/train/good", "cup/test/bad", "nut/train/good"), "splits of {} must lie in one folder, got some in each"),
        (("train", "test"), "splits of {} must hold folders of classes, got images in test, train"),
        (("bus/train", "bus/test", "tram/train", "tram/test"), "splits of {} must hold folders of classes, got images"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(pool_of, tmp_path, folders, message):
    with pytest.raises(UserError) as caught:
        pool_of(*folders)
    assert str(caught.value).startswith(f"load_pool: {message.format(tmp_path / 'set')}"), str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_without_folders(tmp_path, write_tree, image_bytes):
    path = write_tree(tmp_path / "set", {"0.png": image_bytes(), "1.png": image_bytes(1)})
    with pytest.raises(UserError, match=r"must hold folders of images, got images without a folder; lay it out"):
        read_folder(path)


def test_beside_zips_of_splits(tmp_path, write_tree, write_zip, image_bytes, capsys):
    path = write_tree(tmp_path / "set", {"a/0.png": image_bytes(), "b/0.png": image_bytes(1)})
    for seed, name in enumerate(("Train.ZIP", "test.zip", "more.zip")):
        write_zip(path / name, {f"{name[0]}{each}/{each}.png": image_bytes(10 * seed + each) for each in range(2)})
    assert classes(load_pool(path)) == {"train": ["T0", "T1"], "test": ["t0", "t1"]}
    assert capsys.readouterr().err == f"load_pool: of {path} left out a, b, more.zip\n"


def test_a_zip_of_another_split(tmp_path, write_zip, image_bytes):
    (tmp_path / "set").mkdir()
    place = write_zip(tmp_path / "set" / "train.zip", {"train/a/0.png": image_bytes(), "test/b/0.png": image_bytes(1)})
    must = f"load_pool: {place} must hold split train alone, got also test; name the zip as the folder in it"
    with pytest.raises(UserError, match=re.escape(must)):
        read_folder(tmp_path / "set")
