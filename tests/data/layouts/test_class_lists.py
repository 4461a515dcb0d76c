import pytest

from mamlprobe.data.layouts.class_lists import (
    CIFAR_FS,
    CUB,
    CUB_SPLITS,
    FC100,
    MINI,
    TIERED,
    class_list,
    published_for,
    split_lists,
    training_classes,
)


def counts(lists):
    return {split: len(each) for split, each in lists.items()}


def classes(published):
    return {split: count for split, (count, _) in published.items()}


def test_lists_have_the_published_numbers():
    assert counts(split_lists("miniimagenet", "wnid")) == classes(MINI)
    assert counts(split_lists("tieredimagenet", "wnid")) == classes(TIERED)
    assert counts(split_lists("cifar100", "fine", "cifar_fs")) == classes(CIFAR_FS)
    assert counts(split_lists("cifar100", "fine", "fc100")) == classes(FC100)
    birds = {"train": 140, "val": 30, "test": 30}
    wanted = {"closerlook": classes(CUB), "easyfsl": birds, "learn2learn": birds, "feat": classes(CUB)}
    assert {split: counts(split_lists("cub", "class", split)) for split in CUB_SPLITS} == wanted


def test_what_the_lists_are_known_for():
    """Sorted wnids; superclasses that FC100 alone keeps apart; CloserLook's rule; alphabetic numbers of CIFAR-100."""
    for wnids in split_lists("miniimagenet", "wnid").values():
        assert wnids == sorted(wnids)
    table = class_list("cifar100")
    assert table["fine"].tolist() == sorted(table["fine"])
    assert table["fine_id"].tolist() == list(range(100))
    assert (table.groupby("coarse")["fc100"].nunique() == 1).all()
    assert (table.groupby("coarse")["cifar_fs"].nunique() > 1).any()
    rule = ["train" if place % 2 == 0 else "val" if place % 4 == 1 else "test" for place in range(200)]
    assert class_list("cub")["closerlook"].tolist() == rule
    tiered = class_list("tieredimagenet")
    assert (tiered.groupby("category")["split"].nunique() == 1).all()
    assert tiered.groupby("split")["category"].nunique().to_dict() == {"train": 20, "val": 6, "test": 8}


def test_the_numbers_of_the_set_that_classes_are_of():
    assert published_for(["n01532829"]) == MINI
    assert published_for(["n01530575"]) == TIERED
    assert published_for(["brambling", "pomegranate"]) == TIERED
    assert published_for(["200.Common_Yellowthroat"]) == CUB
    assert published_for(["n01532829", "x"]) is None


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [("miniimagenet", 64, "n01532829"), ("tieredimagenet", 351, None), ("cifar-fs", 64, None), ("fc100", 60, None)],
)
def test_training_classes_of_published_sets(name, count, first):
    classes = training_classes(name)
    assert len(set(classes)) == len(classes) == count
    assert first is None or first in classes
    assert training_classes("glyphs") == ()
