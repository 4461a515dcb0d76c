import pickle
import tarfile

import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts.class_lists import class_list

FINE = class_list("cifar100").sort_values("fine_id")["fine"].tolist()
COUNTS = {name: 2 + place % 2 for place, name in enumerate(FINE)}


def key(name):
    return name.encode()


@pytest.fixture
def cifar(tmp_path, small):
    """cifar-100-python with 2 or 3 images a class, the last of each in test, and a function of a split: the images."""

    def images(column):
        table = class_list("cifar100").set_index("fine")
        return small({(table[column][name], name): count for name, count in COUNTS.items()}, (32, 32, 3))

    first = images("cifar_fs").classes
    draw, parts = np.random.default_rng(0), {"train": [], "test": []}
    for (_, name), each in first.items():
        for item, image in enumerate(each):
            parts["test" if item == len(each) - 1 else "train"].append((image, FINE.index(name)))
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for split, rows in parts.items():
        order = np.argsort(
            draw.permutation(len(rows)) + np.array([1000 * is_later(rows, at) for at in range(len(rows))])
        )
        data = np.stack([rows[at][0].transpose(2, 0, 1).ravel() for at in order])
        values = {b"data": data, b"fine_labels": [rows[at][1] for at in order], b"filenames": [b"x"] * len(rows)}
        (folder / split).write_bytes(pickle.dumps(values, protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [each.encode() for each in FINE]}, protocol=2))
    return folder, images


def is_later(rows, at):
    """How many rows of its class come before a row."""
    return sum(label == rows[at][1] for _, label in rows[:at])


@pytest.mark.parametrize(("split", "column"), [("cifar-fs", "cifar_fs"), ("fc100", "fc100")])
def test_the_pool_is_that_of_the_same_class_folders(cifar, same, split, column):
    folder, images = cifar
    by_class = {name: each for (_, name), each in images("cifar_fs").classes.items()}
    wanted = images(column)
    wanted.classes = {key: by_class[key[1]] for key in wanted.classes}
    for path in (folder, folder.parent):
        pool = same(path, wanted, {"split": split})
    published = "train 64 x 600" if split == "cifar-fs" else "train 60 x 600"
    assert f"than published ({published}" in pool.source
    with tarfile.open(folder.parent / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-100-python")
    same(folder.parent / "cifar-100-python.tar.gz", wanted, {"split": split})


def test_half_a_set(cifar):
    folder, _ = cifar
    (folder / "train").unlink()
    pool = load_pool(folder, split="fc100")
    assert pool.counts.tolist() == [1] * 100
    assert "note: only test of CIFAR-100 is there" in pool.source


def test_the_split_must_be_stated(cifar, refused):
    folder, _ = cifar
    assert refused(folder).endswith("must be chosen, got none; state split, one of cifar-fs, fc100")
    assert "must be a known one, got 'cifarfs'; did you mean cifar-fs" in refused(folder, split="cifarfs")


GOOD = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (GOOD | {"data": np.zeros((2, 3071), np.uint8)}, "'data' must be images [N, 3072] uint8 of"),
        (GOOD | {"data": np.zeros((2, 3072))}, "got [2, 3072] float64"),
        (GOOD | {"data": 1}, "got int"),
        (GOOD | {"fine_labels": [0, 100]}, "'fine_labels' must lie in 0..99 of"),
        (GOOD | {"fine_labels": [0, -1]}, "got -1..0"),
        (GOOD | {"fine_labels": [0]}, "must be 2 whole numbers"),
        ({"data": GOOD["data"], "labels": [0, 1]}, "must hold 'fine_labels', got data, labels"),
        ([1], "must hold a dict, got list"),
    ],
)
def test_mistakes_are_one_line(cifar, refused, values, told):
    folder, _ = cifar
    (folder / "train").write_bytes(pickle.dumps(values))
    assert told in refused(folder, split="fc100")


def test_other_names_damage_and_code(cifar, refused, touch, tmp_path):
    folder, _ = cifar
    meta, train = folder / "meta", folder / "train"
    for names, got in ((FINE[1:], "99 names"), (["aple", *FINE[1:]], "aple"), (3, "something else")):
        meta.write_bytes(pickle.dumps({"fine_label_names": names}))
        assert f"must be CIFAR-100's of {meta}, got {got}" in refused(folder, split="fc100")
    meta.unlink()
    good = train.read_bytes()
    for content, got in (
        (good[:1000], "that was cut"),
        (pickle.dumps(touch), "calls pathlib"),
        (pickle.dumps([1]), "got list"),
    ):
        train.write_bytes(content)
        assert got in refused(folder, split="fc100")
        with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-100-python")
        assert got in refused(tmp_path / "cifar-100-python.tar.gz", split="fc100")
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "must be a whole .tar.gz, got" in refused(path, split="fc100")
    with tarfile.open(path, "w:gz"):
        pass
    assert "must hold train and test of CIFAR-100, got neither" in refused(path, split="fc100")
