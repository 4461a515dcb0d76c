import io
import re

import numpy as np
import pytest
from PIL import Image

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading.image_folder import read_folder


@pytest.fixture
def entries(image_bytes):
    """SPLIT/CLASS/IMAGE -> bytes: grey, 3 + 1 + 2 classes of 2 to 4 images."""
    classes = {"train/a": 2, "train/b": 3, "train/c": 4, "val/d": 2, "test/e": 2, "test/f": 3}
    return {
        f"{name}/{item}.png": image_bytes(100 * place + item)
        for place, (name, count) in enumerate(classes.items())
        for item in range(count)
    }


def classes(pool):
    return {name: [pool.class_names[each] for each in ids.tolist()] for name, ids in pool.splits.items()}


EXPECTED = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}


def test_all_layouts_give_the_same_pool(entries, tmp_path, write_tree, write_zip):
    """Folders; one zip; one zip with a folder around; zips of the splits, with and without the split's name."""
    tree = write_tree(
        tmp_path / "tree", entries | {"README.txt": b"text", ".hidden/x.png": b"no", "train/a/notes.txt": b"t"}
    )
    flat = write_zip(tmp_path / "flat.zip", entries)
    around = write_zip(
        tmp_path / "around.zip", {f"set/{name}": data for name, data in ({"train/": b""} | entries).items()}
    )
    for folder in ("named", "bare"):
        (tmp_path / folder).mkdir()
    for split in ("train", "val", "test"):
        some = {name: data for name, data in entries.items() if name.startswith(split)}
        write_zip(tmp_path / "named" / f"{split}.zip", some)
        write_zip(tmp_path / "bare" / f"{split}.zip", {name.split("/", 1)[1]: data for name, data in some.items()})
    pools = [read_folder(path) for path in (tree, flat, around, tmp_path / "named", tmp_path / "bare")]
    assert len({pool.digest() for pool in pools}) == 1
    for pool in pools:
        assert classes(pool) == EXPECTED
        assert pool.counts.tolist() == [2, 3, 4, 2, 2, 3]
        assert pool.images.shape == (6, 4, 1, 28, 28)
        assert not pool.images[0, 2:].any()
    assert pools[0].name == "tree"


def test_pixels_are_those_of_the_file(entries, tmp_path, write_tree):
    pool = read_folder(write_tree(tmp_path / "tree", entries), size=9)
    for name, data in entries.items():
        _, of, item = name.split("/")
        got = pool.images[pool.class_names.index(of), int(item[0]), 0].numpy()
        np.testing.assert_array_equal(got, np.asarray(Image.open(io.BytesIO(data))))


def test_resized_by_bilinear_interpolation(tmp_path, write_tree):
    """A ramp stays a ramp when it is enlarged."""
    ramp = np.tile(np.arange(0, 160, 20, dtype=np.uint8), (8, 1))
    into = io.BytesIO()
    Image.fromarray(ramp).save(into, "PNG")
    pool = read_folder(write_tree(tmp_path / "tree", {"test/a/0.png": into.getvalue()}), size=16)
    expected = (((np.arange(16) + 0.5) / 2 - 0.5) * 20).clip(0, 140)
    assert np.abs(pool.images[0, 0, 0].numpy() - expected).max() <= 1
    assert "16 x 16 (bilinear)" in pool.source


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "PNG"), ("RGB", "JPEG"), ("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG")]
)
def test_one_image_in_colour_makes_all_rgb(entries, tmp_path, write_tree, image_bytes, mode, kind):
    colour = {"test/f/9.png": image_bytes(5, mode=mode, kind=kind)}
    pool = read_folder(write_tree(tmp_path / "tree", entries | colour))
    assert pool.images.shape == (6, 4, 3, 84, 84)
    assert len(pool.mean) == 3
    grey, last = pool.images[0, 0], pool.images[5, 3]
    assert (grey[0] == grey[1]).all()
    assert (last[0] != last[1]).any()


@pytest.mark.parametrize("mode", ["1", "LA", "I;16"])
def test_kinds_of_grey(tmp_path, write_tree, image_bytes, mode):
    if mode == "I;16":
        into = io.BytesIO()
        Image.fromarray(np.full((9, 9), 77 * 256 + 3, dtype=np.uint16)).save(into, "PNG")
        data = into.getvalue()
    else:
        data = image_bytes(mode=mode)
    pool = read_folder(write_tree(tmp_path / "tree", {"train/a/0.png": data}), size=9)
    assert pool.image_shape == (1, 9, 9)
    if mode == "I;16":
        assert (pool.images == 77).all()
    else:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        np.testing.assert_array_equal(pool.images[0, 0, 0].numpy(), expected)


def test_without_splits_all_is_test(entries, tmp_path, write_tree):
    bare = {name.split("/", 1)[1]: data for name, data in entries.items()}
    pool = read_folder(write_tree(tmp_path / "tree", bare))
    assert classes(pool) == {"test": ["a", "b", "c", "d", "e", "f"]}
    assert "no splits given, so every class is in split test" in pool.source


def test_beside_splits_other_folders_are_left_out(entries, tmp_path, write_tree, image_bytes):
    tree = write_tree(tmp_path / "tree", entries | {"figures/x.png": image_bytes(), "empty/": b""})
    assert classes(read_folder(tree)) == EXPECTED


def test_deeper_folders_and_other_names_of_val(tmp_path, write_tree, image_bytes):
    data = image_bytes()
    tree = write_tree(tmp_path / "tree", {"train/n01/images/0.png": data, "valid/n02/0.JPEG": data})
    assert classes(read_folder(tree)) == {"train": ["n01/images"], "val": ["n02"]}


def refused(path, message, **options):
    with pytest.raises(UserError) as caught:
        read_folder(path, **options)
    assert "\n" not in str(caught.value)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_no_such_path(tmp_path):
    path = re.escape(str(tmp_path / "absent"))
    refused(tmp_path / "absent", f"load_pool: {path} must exist, got nothing there; check the path or give root")


@pytest.mark.parametrize("how", ["truncated", "text"])
def test_broken_zips(entries, tmp_path, write_zip, how):
    path = write_zip(tmp_path / "set.zip", entries)
    path.write_bytes(path.read_bytes()[:-200] if how == "truncated" else b"not a zip at all")
    must = f"load_pool: {re.escape(str(path))} must be a whole zip, got BadZipFile"
    refused(path, must + r" \(File is not a zip file\); get the file again")


def test_a_zip_damaged_inside(entries, tmp_path, write_zip):
    path = write_zip(tmp_path / "set.zip", entries)
    data = bytearray(path.read_bytes())
    place = data.index(entries["train/b/1.png"])
    data[place + 60] ^= 255
    path.write_bytes(data)
    must = f"load_pool: train/b/1.png of {re.escape(str(path))} must be readable, got BadZipFile"
    refused(path, must + r" \(Bad CRC-32 for file 'train/b/1.png'\); get the file again")


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "train/../../evil.png", "..\\evil.png", "C:/evil.png"]
)
def test_zips_that_point_outside(entries, tmp_path, write_zip, name):
    path = write_zip(tmp_path / "set.zip", entries | {name: b"evil"})
    must = f"load_pool: entries of {re.escape(str(path))} must stay inside it, got {re.escape(repr(name))}"
    refused(path, must + "; do not trust this zip")
    assert not list(tmp_path.parent.rglob("evil.png"))


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("RGB", "JPEG")])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_truncated_images(entries, tmp_path, write_tree, write_zip, image_bytes, mode, kind, zipped, keep):
    whole = image_bytes(3, mode=mode, kind=kind, size=(40, 40))
    some = entries | {"train/b/7.png": whole[: int(keep * len(whole)) if isinstance(keep, float) else keep]}
    path = write_zip(tmp_path / "set.zip", some) if zipped else write_tree(tmp_path / "set", some)
    must = f"load_pool: train/b/7.png of {re.escape(str(path))} must be a whole image"
    refused(path, must + r", got \w+ \(.*\); get it again or delete it")


def test_empty_folders(tmp_path, write_tree, write_zip):
    for path in (write_tree(tmp_path / "tree", {"a.txt": b""}), write_zip(tmp_path / "e.zip", {})):
        must = f"load_pool: {re.escape(str(path))} must hold folders of images, got none"
        refused(path, must + "; lay it out as train/CLASS/IMAGE")


@pytest.mark.parametrize("others", [True, False])
def test_a_class_without_images(entries, tmp_path, write_tree, write_zip, others):
    some = (entries if others else {}) | {"train/void/": b"", "train/void/notes.txt": b"text"}
    for path in (write_tree(tmp_path / "tree", some), write_zip(tmp_path / "set.zip", some)):
        must = f"load_pool: class folder train/void of {re.escape(str(path))} must hold images, got none"
        refused(path, must + "; fill it or delete it")


def test_a_class_in_two_splits(entries, tmp_path, write_tree, image_bytes):
    path = write_tree(tmp_path / "tree", entries | {"test/a/0.png": image_bytes()})
    refused(
        path, f"load_pool: class 'a' of {re.escape(str(path))} must lie in one split, got two; hold out whole classes"
    )
