"""Pools of several data sets: which classes, under which names, with which bytes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.joined_pools import joined, pools_in


def made(name, *, classes, channels=1, side=6, splits=("train", "test"), items=4, seed=0, **more):
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (len(classes), items, channels, side, side), generator=random, dtype=torch.uint8)
    ids = dict(zip(splits, torch.arange(len(classes)).chunk(len(splits))))
    levels = {"mean": (0.0,) * channels, "std": (1.0,) * channels} | more
    counts = torch.full((len(classes),), items)
    return Pool(name=name, images=images, counts=counts, class_names=tuple(classes), splits=ids, **levels)


GREY = made("grey", classes=["a", "b", "c", "d"])
RGB = made("rgb", classes=["x", "b", "y"], channels=3, items=5, seed=1)


def test_splits_are_joined_and_images_stay_what_they_are():
    pool = mp.pool_from([GREY, RGB], name="both")
    assert {split: [pool.class_names[n] for n in ids] for split, ids in pool.splits.items()} == {
        "train": ["a", "grey/b", "x", "rgb/b"],
        "test": ["c", "d", "y"],
    }
    assert pool.name == "both"
    assert pool.image_shape == (3, 6, 6)
    place = pool.class_names.index("c")
    assert torch.equal(pool.images[place, :4], GREY.images[2].expand(-1, 3, -1, -1))
    assert pool.counts.tolist() == [4, 4, 4, 4, 5, 5, 5]
    assert torch.equal(pool.images[pool.class_names.index("y")], RGB.images[2])
    assert int(pool.images[place, 4:].sum()) == 0
    tasks = mp.sample(pool, split="train", way=4, shot=1, query=1, tasks=5, seed=0)
    assert tasks.support_x.shape == (5, 4, 3, 6, 6)


def test_train_on_one_and_test_on_another():
    pool = mp.pool_from({"train": GREY, "test": [RGB]})
    names = {split: [pool.class_names[n] for n in ids] for split, ids in pool.splits.items()}
    assert names == {"train": ["a", "b"], "test": ["y"]}
    alone = mp.pool_from(GREY)
    assert torch.equal(alone.images, GREY.images)
    assert alone.class_names == GREY.class_names


def test_sizes_are_made_alike_as_files_are():
    large = made("large", classes=["p", "q"], side=9, seed=3)
    with pytest.raises(UserError, match="images of all pools must be of one size, got 6 x 6 and 9 x 9; say size"):
        mp.pool_from([GREY, large])
    pool = mp.pool_from([GREY, large], size=5)
    wanted = np.asarray(Image.fromarray(large.images[1, 2, 0].numpy()).resize((5, 5), Image.Resampling.BILINEAR))
    assert np.array_equal(pool.images[pool.class_names.index("q"), 2, 0].numpy(), wanted)


def test_what_does_not_go_together_is_told():
    shifted = replace(RGB, mean=(0.5, 0.5, 0.5))
    for data, line in [
        ([GREY, shifted], "pools must be normalised alike"),
        ([GREY, GREY], "class 'grey/a' must lie in one split of one pool, got two"),
        ({"val": GREY}, "the split of 'grey' must be a known one, got 'val'"),
    ]:
        with pytest.raises(UserError, match=line):
            mp.pool_from(data)
    with pytest.raises(UserError, match="pools must have classes and splits of their own, got splits"):
        mp.pool_from([GREY], splits={"test": ["a"]})
    assert pools_in([GREY, 1]) is pools_in([]) is pools_in({"train": 3}) is None
    half = mp.pool_from([GREY], normalise="half")
    assert half.mean == (0.5,)
    assert (
        joined(pools_in(GREY), name="x", size=None).digest() == joined(pools_in([GREY]), name="x", size=None).digest()
    )
