import numpy as np
import pytest

from mamlprobe.data.by_name import load_pool
from mamlprobe.data.layouts import characters, omniglot_copies
from mamlprobe.data.layouts.characters import EVALUATION, known_characters
from tests.data.layouts.conftest import Touch, encoded


@pytest.fixture
def few(monkeypatch):
    """As if three characters were the first 1,200."""
    monkeypatch.setattr(characters, "FIRST", 3)
    monkeypatch.setattr(omniglot_copies, "FIRST", 3)


@pytest.mark.parametrize("kind", ["float64", "float32", "uint8", "without colours"])
def test_an_array(tmp_path, small, same, few, kind):
    images = small({("train" if place < 3 else "test", f"character{place:04d}"): 2 for place in range(5)}, (6, 6))
    drawings = np.stack(list(images.classes.values()))
    drawings[0, 0, 0, 0] = 255
    images.classes[("train", "character0000")][0, 0, 0] = 255
    array = drawings if kind == "uint8" else (drawings / 255).astype("float32" if kind == "float32" else "float64")
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "omniglot.npy", array if kind == "without colours" else array[:, :, None])
    for path in (folder, folder / "omniglot.npy"):
        pool = same(path, images, {"ink": 0, "split": "first1200"})
    assert "the order of its characters is that of somebody's disk" in pool.source
    assert "than published (train 1200 x 20, test 423 x 20)" in pool.source
    assert (load_pool(folder).images == 255 - load_pool(folder, ink=0).images).all()


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((2, 3, 4)), "must be drawings [class, item, 1, H, W] of"),
        (np.zeros((2, 3, 3, 4, 4)), "got [2, 3, 3, 4, 4] float64"),
        (np.zeros((2, 0, 1, 4, 4)), "got [2, 0, 4, 4] float64"),
        (np.zeros((2, 2, 1, 4, 4), np.int32), "got [2, 2, 4, 4] int32"),
        (np.full((2, 2, 1, 4, 4), -1.0), "got -1 to -1"),
        (np.full((2, 2, 1, 4, 4), 256.0), "got 256 to 256"),
        (np.full((2, 2, 1, 4, 4), np.nan), "got nan to nan"),
    ],
)
def test_an_arrays_mistakes(tmp_path, refused, array, told):
    np.save(tmp_path / "omniglot.npy", array)
    assert told in refused(tmp_path)


def test_a_damaged_array_and_code(tmp_path, refused):
    path = tmp_path / "omniglot.npy"
    np.save(path, np.zeros((2, 2, 1, 4, 4)))
    path.write_bytes(path.read_bytes()[:-8])
    assert "must be a whole .npy of plain numbers, got an array of shape (2, 2, 1, 4, 4)" in refused(tmp_path)
    np.save(path, np.array([Touch(tmp_path / "executed")], dtype=object))
    assert "with entries of type object" in refused(tmp_path)
    assert "must be a known one, got 'vinyals'" in refused(tmp_path, split="vinyals")


NAMES = [
    "Angelic/character20",
    "Alphabet_of_the_Magi/character01",
    "Alphabet_of_the_Magi/character02",
    "Bengali/character07",
    "ULOG/character01",
]


@pytest.mark.parametrize("split", [None, "vinyals", "first1200"])
def test_folders(tmp_path, small, same, few, split):
    splits = {name: "test" if name.split("/")[0] in EVALUATION else "train" for name in NAMES}
    splits = splits if split == "first1200" else known_characters()
    images = small({(splits[name], name): 2 for name in NAMES}, (6, 6))
    folder = tmp_path / "set" / "omniglot_resized"
    for (_, name), several in images.classes.items():
        (folder / name).mkdir(parents=True)
        for item, image in enumerate(several):
            (folder / name / f"{item}.png").write_bytes(encoded(image))
    for path in (folder, folder.parent):
        pool = same(path, images, {"ink": 0, "split": split})
    assert "other numbers of classes" in pool.source
    assert (load_pool(folder).images == 255 - load_pool(folder, ink=0).images).all()


def test_folders_with_others_among_them_are_class_folders_or_refused(tmp_path, small, refused):
    images = small({("test", name): 2 for name in NAMES}, (6, 6))
    images.pool()
    folder = images.folder / "test"
    (folder / "Bengali" / "letter").mkdir()
    (folder / "Bengali" / "letter" / "x.png").write_bytes((folder / NAMES[0] / "000.png").read_bytes())
    assert "characters must be Omniglot's of" in refused(folder)
    (folder / "Klingon" / "x").mkdir(parents=True)
    (folder / "Klingon" / "x" / "x.png").write_bytes((folder / NAMES[0] / "000.png").read_bytes())
    assert list(load_pool(folder).splits) == ["test"]
