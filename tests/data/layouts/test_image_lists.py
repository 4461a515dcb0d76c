import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from tests.data.layouts.conftest import encoded

COUNTS = {
    ("train", "n01532829"): 3,
    ("train", "n01704323"): 2,
    ("val", "n01855672"): 2,
    ("test", "n01930112"): 3,
    ("test", "n07613480"): 1,
}


def lists(small, folder, how, order=None):
    """Write images and lists; returns the folder to load."""
    nested, up, inner = how == "easyfsl", how == "up", how == "split"
    root = folder / "set" if up else folder
    images = folder / "images" if not nested else folder
    place = root / "split" if inner else root
    for each in (images, place):
        each.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        lines = []
        for name, several in small.of(split).items():
            for item, image in enumerate(several):
                file = f"{name}{item:08d}.png"
                target = images / name / file if nested else images / file
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(encoded(image))
                lines.append(f"{name},{file}" if nested else f"{file},{name}")
        if order is not None:
            lines = [lines[each] for each in order.permutation(len(lines))]
        head = "class_name,image_name" if nested else "filename,label"
        (place / f"{split}.csv").write_text("\n".join([head, *lines, ""]))
    return root


@pytest.mark.parametrize("how", ["beside", "up", "split", "easyfsl"])
def test_the_pool_is_that_of_the_same_class_folders(tmp_path, small, same, how):
    images = small(COUNTS)
    folder = lists(images, tmp_path / "mini", how)
    pool = same(folder, images)
    assert "other numbers of classes and images than published (train 64 x 600" in pool.source
    lists(images, tmp_path / "mini", how, np.random.default_rng(0))
    same(folder, images)


def test_class_folders_with_the_images_of_a_list(tmp_path, small, same):
    """As others lay out what the list of Ravi names: images/CLASS/IMAGE."""
    images = small(COUNTS)
    folder = lists(images, tmp_path / "mini", "beside")
    for file in list((folder / "images").iterdir()):
        target = folder / "images" / file.name[:9]
        target.mkdir(exist_ok=True)
        file.rename(target / file.name)
    same(folder, images)


def test_names_of_other_sets_are_not_compared(tmp_path, small, same):
    images = small({("train", "a"): 2, ("test", "b"): 2})
    folder = lists(images, tmp_path / "set", "beside")
    (folder / "val.csv").unlink()
    assert "note" not in same(folder, images).source


def test_a_list_without_its_last_line_end_and_with_more_columns(tmp_path, small):
    images = small({("test", "a"): 2, ("train", "b"): 1, ("val", "c"): 1})
    folder = lists(images, tmp_path / "set", "beside")
    (folder / "test.csv").write_text("id,filename,label\r\n0,a00000000.png,a\r\n1,a00000001.png,a")
    assert load_pool(folder).counts.tolist() == [1, 1, 2]
    (folder / "train.csv").unlink()
    (folder / "val.csv").unlink()
    assert list(load_pool(folder).splits) == ["test"]


def test_other_tables_beside_class_folders_are_none(tmp_path, small):
    images = small(COUNTS)
    wanted = images.pool()
    (images.folder / "train.csv").write_text("epoch,loss\n1,0.5\n")
    assert load_pool(images.folder).digest() == wanted.digest()
    (images.folder / "train.csv").write_text("filename,label\nx.png,a\n")
    assert load_pool(images.folder).digest() == wanted.digest()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("filename,label\nn0153282900000000.png,n1\nnone.png,n1\n", "got 1 that are not, the first 'none.png'"),
        ("filename,label\n../train.csv,n1\n", "got 1 that are not, the first '../train.csv'"),
        ("filename,label\n/etc/hostname,n1\n", "got 1 that are not, the first '/etc/hostname'"),
        ("filename,label\nhostname,/etc\n", "got 1 that are not, the first 'hostname'"),
        ("filename,label\nn0185567200000000.png,n1\n", "must be in one list of"),
        ("filename,label\n" + "n0153282900000000.png,n1\n" * 2, "got also in class 'n1' of train"),
        ("filename,label\n", "must name images, got none"),
        ("filename,label\na,b,c\n", "must be a list of images, got rows with more entries"),
        ("filename,label\nn0153282900000000.png,n01930112\n", "class 'n01930112' of .* must lie in one split"),
        ("filename,label\nn0153282900000000.png,\n", "an empty entry of 'label' in row 1"),
        ("filename,label\n\0,a\n", "a NUL byte"),
    ],
)
def test_mistakes_are_one_line(tmp_path, small, refused, text, told):
    folder = lists(small(COUNTS), tmp_path / "mini", "beside")
    (folder / "train.csv").write_text(text)
    line = refused(folder)
    for part in told.split(".*"):
        assert part in line


def test_damaged_images(tmp_path, small, refused):
    folder = lists(small(COUNTS), tmp_path / "mini", "beside")
    image = folder / "images" / "n0153282900000001.png"
    image.write_bytes(image.read_bytes()[:60])
    assert "n0153282900000001.png of" in refused(folder)
    (folder / "images").rename(folder / "pictures")
    (folder / "images").mkdir()
    assert "must lie in" in refused(folder)
