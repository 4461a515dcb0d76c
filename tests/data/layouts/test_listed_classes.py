import pytest

from mamlprobe.data.by_name import load_pool
from tests.data.layouts.conftest import encoded

COUNTS = {("train", "apple"): 2, ("train", "bear"): 3, ("val", "cup"): 1, ("test", "dog"): 2}


@pytest.fixture
def set_(tmp_path, small):
    images, folder = small(COUNTS), tmp_path / "cifar-fs" / "cifar100"
    lists = folder / "splits" / "bertinetto"
    lists.mkdir(parents=True)
    for (split, name), several in images.classes.items():
        (folder / "data" / name).mkdir(parents=True)
        for item, image in enumerate(several):
            (folder / "data" / name / f"{name}_{item}.png").write_bytes(encoded(image))
        with open(lists / f"{split}.txt", "a") as file:
            file.write(f"{name}\n")
    return folder, images


def test_the_pool_is_that_of_the_same_class_folders(set_, same):
    folder, images = set_
    for path in (folder, folder.parent):
        pool = same(path, images)
    assert "other numbers of classes and images than published (train 64 x 600" in pool.source


def test_what_no_list_names_is_left_out_and_said(set_):
    folder, _ = set_
    (folder / "splits" / "bertinetto" / "train.txt").write_text("bear")
    pool = load_pool(folder)
    assert pool.class_names == ("bear", "cup", "dog")
    assert "left out 1 classes that no list names, the first apple" in pool.source
    for split in ("train", "val"):
        (folder / "splits" / "bertinetto" / f"{split}.txt").unlink()
    assert list(load_pool(folder).splits) == ["test"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apple\ncat\n", "no 'cat'; put it there"),
        ("apple\napple\n", "must name classes, each once, got a class twice"),
        ("\n", "must name classes, each once, got none"),
        ("dog\n", "class 'dog' of"),
        ("../../x\n", "no '../../x'"),
    ],
)
def test_mistakes_are_one_line(set_, refused, text, told):
    folder, _ = set_
    (folder / "splits" / "bertinetto" / "train.txt").write_text(text)
    assert told in refused(folder)
