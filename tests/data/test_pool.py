import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool, load_saved, save_pool
from mamlprobe.data.sampling import sample


def same(one: Pool, other: Pool) -> bool:
    words = ["name", "class_names", "mean", "std", "source"]
    return (
        all(getattr(one, word) == getattr(other, word) for word in words)
        and torch.equal(one.images, other.images)
        and torch.equal(one.counts, other.counts)
        and list(one.splits) == list(other.splits)
        and all(torch.equal(ids, other.splits[name]) for name, ids in one.splits.items())
    )


def test_round_trip(pool, tmp_path):
    path = tmp_path / "deep" / "toy.safetensors"
    pool = replace(pool, mean=(0.1,), std=(0.7,), source="made up, „so“")
    save_pool(pool, path)
    assert same(load_saved(path), pool)
    assert [each.name for each in path.parent.iterdir()] == ["toy.safetensors"]


def test_a_saved_pool_has_the_permissions_of_any_other_file(pool, tmp_path):
    path, other = tmp_path / "toy.safetensors", tmp_path / "other"
    save_pool(pool, path)
    other.write_bytes(b"")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("at", ["mamlprobe.data.pool.save_file", "os.replace"])
def test_a_failed_save_leaves_the_old_file(pool, tmp_path, monkeypatch, at):
    path = tmp_path / "toy.safetensors"
    save_pool(pool, path)
    before = path.read_bytes()

    def broken(*words):
        raise OSError("disk full")

    monkeypatch.setattr(at, broken)
    with pytest.raises(OSError, match="disk full"):
        save_pool(pool.rotated(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.glob("*toy*"))) + len(list(tmp_path.glob(".*"))) == 1


@pytest.mark.parametrize("damage", ["cut", "pixel", "text", "empty"])
def test_a_damaged_file_is_the_users_error(pool, tmp_path, damage):
    path = tmp_path / "toy.safetensors"
    save_pool(pool, path)
    data = bytearray(path.read_bytes())
    if damage == "pixel":
        data[-300] ^= 1
    path.write_bytes({"cut": data[:-100], "pixel": data, "text": b"hello", "empty": b""}[damage])
    must = f"load_saved: {path} must be " + (
        "undamaged, got digest" if damage == "pixel" else "a whole saved pool, got"
    )
    with pytest.raises(UserError, match=re.escape(must) + ".*; delete it and load again"):
        load_saved(path)


def test_other_formats_and_missing_files(pool, tmp_path):
    path = tmp_path / "toy.safetensors"
    message = f"load_saved: the file must exist, got {path}; save the pool again"
    with pytest.raises(UserError, match=re.escape(message)):
        load_saved(path)
    save_pool(pool, path)
    with safe_open(path, "pt") as file:
        words = json.loads(file.metadata()["pool"])
    save_file({"images": pool.images}, path, {"pool": json.dumps(words | {"format": 0})})
    with pytest.raises(
        UserError, match=re.escape(f"load_saved: {path} must have format 1, got 0; save the pool again")
    ):
        load_saved(path)


def test_floats(pool):
    rgb = replace(
        pool,
        images=pool.images.expand(-1, -1, 3, -1, -1) // torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None],
        mean=(0.5, 0.2, 0.1),
        std=(0.5, 0.25, 2.0),
    )
    expected = (rgb.images.numpy() / 255 - np.reshape([0.5, 0.2, 0.1], (3, 1, 1))) / np.reshape(
        [0.5, 0.25, 2.0], (3, 1, 1)
    )
    for images, want in ((rgb.images, expected), (rgb.images[0, 0], expected[0, 0])):
        got = rgb.floats(images)
        assert got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), want, atol=1e-6)
    np.testing.assert_allclose(pool.floats(pool.images).numpy(), pool.images.numpy() / 255, atol=1e-7)


def test_digest_sees_pixels_counts_and_splits(pool):
    image = pool.images.clone()
    image[3, 2, 0, 1, 1] ^= 1
    counts = pool.counts.clone()
    counts[0] -= 1
    splits = pool.splits | {"val": torch.tensor([6, 7])}
    others = [replace(pool, images=image), replace(pool, counts=counts), replace(pool, splits=splits)]
    assert len({each.digest() for each in [pool, *others]}) == 4
    assert replace(pool, name="other").digest() == pool.digest() == pool.to("cpu").digest()
    assert re.fullmatch("[0-9a-f]{16}", pool.digest())


def test_rotated(pool):
    turned = pool.rotated()
    assert turned.images.shape[0] == 48
    for quarter in range(4):
        for each in (0, 7):
            here = quarter * 12 + each
            assert turned.class_names[here] == f"class{each}/rot{90 * quarter:03d}"
            assert turned.counts[here] == pool.counts[each]
            for item in (0, 3):
                expected = np.rot90(pool.images[each, item, 0].numpy(), quarter)
                np.testing.assert_array_equal(turned.images[here, item, 0].numpy(), expected)
    for name, ids in pool.splits.items():
        stems = {turned.class_names[each].split("/")[0] for each in turned.splits[name].tolist()}
        assert stems == {pool.class_names[each] for each in ids.tolist()}
        assert len(turned.splits[name]) == 4 * len(ids)
    assert sample(turned, split="val", way=8, shot=1, query=1, tasks=1, seed=0).way == 8


def test_rotated_needs_squares(pool):
    message = "pool 'toy': images must be square to be rotated, got 3 x 4; state a size"
    with pytest.raises(UserError, match=message):
        replace(pool, images=pool.images[..., :3, :]).rotated()


def test_describe_and_words(pool):
    table = pool.describe()
    assert table.to_dict("list") == {
        "split": ["train", "val", "test"],
        "classes": [6, 2, 4],
        "items": [7, 9, 10],
        "images": [54, 19, 40],
        "C": [1] * 3,
        "H": [4] * 3,
        "W": [4] * 3,
    }
    assert pool.image_shape == (1, 4, 4)
    assert pool.smallest["train"] == (7, "class3")
    assert repr(pool) == "Pool('toy', images [12, 10, 1, 4, 4], classes: train 6, val 2, test 4)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": torch.zeros(12, 10, 4, 4)},
            "images must be [class, item, C, H, W] uint8, got [12, 10, 4, 4] torch.float32",
        ),
        ({"counts": torch.ones(11, dtype=torch.int64)}, "counts must be [12] int64, got [11] torch.int64"),
        ({"counts": torch.full((12,), 11)}, "counts must lie in 1..10, got 11..11"),
        ({"class_names": ("same",) * 12}, "12 different class names must be given, got 1"),
        ({"splits": {"train": torch.arange(0)}}, "splits must be non-empty 1-d int64 tensors, got {'train': [0]}"),
        ({"splits": {"train": torch.tensor([12])}}, "class ids in splits must lie in 0..11, got 12..12"),
        (
            {"splits": {"train": torch.arange(3), "test": torch.arange(2, 5)}},
            "splits must be disjoint, got 1 repeated class ids",
        ),
        ({"std": (0.0,)}, "mean and std must have 1 numbers, std above 0, got (0.0,) and (0.0,)"),
    ],
)
def test_faults(pool, changes, message):
    with pytest.raises(UserError, match=re.escape(f"pool 'toy': {message}; mend the reader that made it")):
        replace(pool, **changes)
