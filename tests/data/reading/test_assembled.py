"""Arrays become pools as files do; the layouts' own tests compare whole pools."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.archives import opened
from mamlprobe.data.reading.assembled import ArrayClass, FileClass, assembled


def part(images, rows):
    return images, np.array(rows)


def make(classes, **words):
    return assembled(Path("x.pkl"), classes, size=words.pop("size", 3), about="some", **words)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 3, 3, 3)).astype(np.uint8)


def test_order_padding_and_source(images):
    classes = {
        ("test", "a"): ArrayClass(parts=(part(images, [5, 1]),)),
        ("train", "c"): ArrayClass(parts=(part(images, [0]), part(images[::-1], [0, 2]))),
        ("train", "b"): ArrayClass(parts=(part(images, [4]),), inverted=True),
    }
    pool = make(classes, notes=["one", "two"])
    assert pool.class_names == ("b", "c", "a")
    assert {name: ids.tolist() for name, ids in pool.splits.items()} == {"train": [0, 1], "test": [2]}
    assert pool.counts.tolist() == [1, 3, 2]
    assert (pool.images[0, 0].numpy() == 255 - images[4]).all()
    assert not pool.images[0, 1:].any()
    assert (pool.images[1].numpy() == images[[0, 5, 3]]).all()
    assert pool.source == "some, resized to 3 x 3 (bilinear); note: one; note: two"
    assert "no splits given" in make(classes, split=False).source


def test_grey_among_colours_and_files_among_arrays(tmp_path, images):
    (tmp_path / "a").mkdir()
    Image.fromarray(images[0].transpose(1, 2, 0)).save(tmp_path / "a" / "0.png")
    grey = ArrayClass(parts=(part(images[:, :1], [1]),))
    assert make({("test", "g"): grey}).image_shape == (1, 3, 3)
    with opened(tmp_path) as tree:
        file = FileClass(tree=tree, files=["a/0.png"])
        pool = make({("test", "f"): file, ("test", "g"): grey})
        dark = make({("test", "f"): FileClass(tree=tree, files=["a/0.png"], inverted=True)})
    assert (pool.images[0, 0].numpy() == images[0]).all()
    assert (pool.images[1, 0].numpy() == images[1, :1]).all()
    assert (dark.images[0, 0].numpy() == 255 - images[0]).all()


@pytest.mark.parametrize("size", [2, 5])
def test_resized_as_files_are(images, size):
    pool = make({("test", "a"): ArrayClass(parts=(part(images, [3]),))}, size=size)
    wanted = Image.fromarray(images[3].transpose(1, 2, 0)).resize((size, size), Image.Resampling.BILINEAR)
    assert (pool.images[0, 0].numpy() == np.asarray(wanted).transpose(2, 0, 1)).all()


def test_a_class_in_two_splits(images):
    one = ArrayClass(parts=(part(images, [0]),))
    with pytest.raises(UserError, match=r"class 'a' of x.pkl must lie in one split, got two"):
        make({("test", "a"): one, ("val", "a"): one})


def test_images_that_are_all_alike_are_noted(images):
    same = ArrayClass(parts=(part(images, [2, 2]),))
    assert "note: all 2 images come out alike" in make({("test", "a"): same}).source
