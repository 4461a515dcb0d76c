"""Data sets by their names."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.cli import main
from mamlprobe.data.by_name import forget, load_pool
from mamlprobe.data.layouts.class_lists import class_list
from mamlprobe.data.layouts.known import LAYOUTS, NAMED, place_of

IMAGES = np.arange(4 * 3 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3, 3)
CACHE = pickle.dumps({"image_data": IMAGES, "class_dict": {"n01930112": [0, 1], "n01981276": [2, 3]}})
LABELS = pickle.dumps({"data": IMAGES, "labels": [80, 80, 81, 81]})


def cifar(labels=(0, 0, 1, 2)):
    """A part of CIFAR-100: apple, aquarium_fish, baby."""
    data = np.arange(4 * 3072).astype(np.uint8).reshape(4, 3072)
    return pickle.dumps({"data": data, "fine_labels": list(labels)})


META = pickle.dumps({"fine_label_names": class_list("cifar100").sort_values("fine_id")["fine"].tolist()})


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


CIFAR = {"train": cifar(), "test": cifar(), "meta": META}

PLACES = {
    "caches in the root": ("miniimagenet", {"mini-imagenet-cache-test.pkl": CACHE}, {}),
    "caches in a folder": ("miniimagenet", {"mini-ImageNet/mini-imagenet-cache-test.pkl": CACHE}, {}),
    "pickles": ("miniimagenet", {"miniImageNet_category_split_test.pickle": LABELS}, {}),
    "fc100": ("fc100", {"FC100_test.pickle": LABELS}, {}),
    "plain pickles": ("fc100", {"FC-100/test.pickle": LABELS}, {}),
    "cifar-fs": ("cifar-fs", {"CIFAR_FS/CIFAR_FS_test.pickle": LABELS}, {}),
    "cifar-100": ("cifar-fs", {f"cifar-100-python/{name}": data for name, data in CIFAR.items()}, {}),
    "cifar-100 for fc100": ("fc100", {f"cifar-100-python/{name}": data for name, data in CIFAR.items()}, {}),
    "cifar-100 inside": ("cifar-fs", {f"cifar100/cifar-100-python/{name}": data for name, data in CIFAR.items()}, {}),
}


@pytest.mark.parametrize("how", PLACES)
def test_usual_files_are_found(tmp_path, how):
    name, files, options = PLACES[how]
    pool = load_pool(name, root=write(tmp_path, files), **options)
    assert pool.name == name
    assert pool.image_shape == ((3, 32, 32) if NAMED[name].side else (3, 84, 84))
    assert load_pool(name, root=tmp_path, size=5).image_shape == (3, 5, 5)


def test_an_archive(tmp_path):
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as archive:
        for name, data in CIFAR.items():
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    pools = [load_pool(name, root=tmp_path) for name in ("cifar-fs", "fc100")]
    assert [list(pool.splits) for pool in pools] == [["train", "test"], ["train", "test"]]
    assert pools[0].counts.tolist() == [4, 2, 2]


def test_birds_need_a_split(tmp_path, small):
    images = small({("test", "001.Black_footed_Albatross"): 1, ("test", "002.Laysan_Albatross"): 1})
    images.pool()
    (tmp_path / "CUB_200_2011").mkdir()
    (images.folder / "test").rename(tmp_path / "CUB_200_2011" / "images")
    assert list(load_pool("cub", root=tmp_path, split="closerlook").splits) == ["train", "val"]
    assert (
        load_pool("cub-closerlook", root=tmp_path).digest()
        == load_pool("cub", root=tmp_path, split="closerlook").digest()
    )
    assert list(load_pool("cub-feat", root=tmp_path).splits) == ["val"]
    with pytest.raises(UserError, match="state split, one of closerlook"):
        load_pool("cub", root=tmp_path)
    with pytest.raises(UserError, match="cub-feat has no choice of split"):
        load_pool("cub-feat", root=tmp_path, split="closerlook")


def test_the_command_takes_a_split(tmp_path, capsys):
    root = write(tmp_path, {f"cifar-100-python/{name}": data for name, data in CIFAR.items()})
    assert main(["data", str(root / "cifar-100-python")]) == 2
    assert "state split, one of cifar-fs, fc100" in capsys.readouterr().err
    assert main(["data", str(root / "cifar-100-python"), "--split", "fc100"]) == 0
    assert "FC100, made of CIFAR-100" in capsys.readouterr().out


def test_class_folders_of_the_name(tmp_path, small, monkeypatch):
    images = small({("train", "a"): 2, ("test", "b"): 2})
    wanted = images.pool().digest()
    images.folder.rename(tmp_path / "tiered-imagenet")
    assert load_pool("tieredimagenet", root=tmp_path).digest() == wanted
    (tmp_path / "tiered-imagenet").rename(tmp_path / "cub")
    monkeypatch.chdir(tmp_path)
    assert load_pool("cub").digest() == wanted


@pytest.mark.parametrize("name", NAMED)
def test_what_is_looked_for_is_said(tmp_path, name):
    write(tmp_path, {"cifar100/a/x.png": b"", "notes.txt": b""})
    with pytest.raises(UserError) as caught:
        load_pool(name, root=tmp_path)
    assert str(caught.value) == (
        f"load_pool: files of {name} must lie in {tmp_path}, got none of them; "
        f"put there one of: {NAMED[name].usual}; or give another root, or a path"
    )


def test_class_folders_with_lists_in_a_folder_of_another_name(tmp_path):
    """As Bertinetto et al. call it: cifar100 is no name of CIFAR-FS, but what lies there is."""
    write(tmp_path, {"cifar100/data/a/x.png": b"", "cifar100/splits/bertinetto/test.txt": b"a\n"})
    assert place_of("cifar-fs", tmp_path) == (tmp_path / "cifar100", None)
    with pytest.raises(UserError, match="files of fc100 must lie in"):
        place_of("fc100", tmp_path)


def test_files_of_another_set_are_not_taken(tmp_path):
    write(tmp_path, {"CIFAR_FS_test.pickle": LABELS, "cifar100/fc100_test.pickle": LABELS})
    assert place_of("cifar-fs", tmp_path) == (tmp_path, None)
    assert place_of("fc100", tmp_path) == (tmp_path / "cifar100", None)
    with pytest.raises(UserError, match="fc100 has no choice of split, got 'cifar-fs'; leave split out"):
        load_pool("fc100", root=tmp_path, split="cifar-fs")


def test_what_is_forgotten_is_read_anew(tmp_path, own_cache):
    load_pool("fc100", root=write(tmp_path / "data", {"FC100_test.pickle": LABELS}))
    assert len(list(own_cache.iterdir())) == 1
    forget("fc100", tmp_path / "data")
    assert list(own_cache.iterdir()) == []


def test_layouts_have_names_of_their_own():
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
