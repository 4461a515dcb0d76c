"""The compiled kernel for images of bytes against torch's own operations."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.native.build import compiler
from mamlprobe.native.load import kernels

LEVELS = {1: ((0.0,), (1.0,)), 2: ((0.1, 0.7), (0.3, 1.2)), 3: ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))}


@pytest.fixture(autouse=True)
def _there_are_kernels():
    if compiler() is None:
        pytest.skip("no compiler, no compiled kernels")
    assert kernels() is not None


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


@pytest.mark.parametrize("place", [28, -1])
def test_places_that_are_not_there_are_not_read(place):
    with pytest.raises(UserError, match=r"places must lie in 0\.\.\d+, got"):
        random_pool(1, 5).rows(torch.tensor([0, place]))
