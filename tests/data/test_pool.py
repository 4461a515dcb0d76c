"""Images as bytes: their floats, what a digest sees, and the compiled kernel against torch's own operations."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample

LEVELS = {1: ((0.0,), (1.0,)), 2: ((0.1, 0.7), (0.3, 1.2)), 3: ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))}


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


def random_pool(colours: int, side: int) -> Pool:
    generator = torch.Generator().manual_seed(side)
    mean, std = LEVELS[colours]
    return Pool(
        name="random",
        images=torch.randint(0, 256, (7, 4, colours, side, side), dtype=torch.uint8, generator=generator),
        counts=torch.full((7,), 4),
        class_names=tuple("abcdefg"),
        splits={"train": torch.arange(7)},
        mean=mean,
        std=std,
    )


@pytest.mark.usefixtures("there_are_kernels")
@pytest.mark.parametrize("side", [1, 5, 28])
@pytest.mark.parametrize("colours", LEVELS)
def test_images_are_the_same_to_the_last_bit(colours, side):
    pool = random_pool(colours, side)
    places = torch.tensor([27, 0, 3, 3, 12])
    wanted = pool.floats(pool.images.flatten(0, 1)[places])
    assert torch.equal(pool.rows(places), wanted)
    assert torch.equal(pool.rows(torch.stack([places, places], 1)[:, 0]), wanted)  # not contiguous
    assert torch.equal(pool.rows(places.int()), wanted)
    assert pool.rows(places[:0]).shape == (0, colours, side, side)
    lying = replace(pool, images=pool.images.mT.contiguous().mT)
    assert torch.equal(lying.rows(places), wanted)


@pytest.mark.usefixtures("there_are_kernels")
@pytest.mark.parametrize("place", [28, -1])
def test_places_that_are_not_there_are_not_read(place):
    with pytest.raises(UserError, match=r"places must lie in 0\.\.\d+, got"):
        random_pool(1, 5).rows(torch.tensor([0, place]))
