import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.levels import LEVELS, check_levels, levelled


def pool(channels):
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 1, 16, 16).repeat(1, 1, channels, 1, 1)
    words = {"name": "x", "counts": torch.tensor([1]), "class_names": ("a",), "splits": {"test": torch.tensor([0])}}
    return Pool(images=images, mean=(0.0,) * channels, std=(1.0,) * channels, source="s", **words)


WANTED = {  # what a net sees of white, by the programs of the projects
    "none": [1.0] * 3,
    "half": [1.0] * 3,
    "imagenet": [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225],
    "raw255": [255.0] * 3,
    "lee2019": [134.60413578 / 70.68188272, 139.40638573 / 68.27635443, 150.45987347 / 72.54505529],
    "cifar": [125.62268112 / 68.20947949, 130.89416136 / 65.43124043, 142.52241431 / 70.45866994],
    "cifar-rfs": [0.4929 / 0.2675, 0.5133 / 0.2565, 0.5592 / 0.2761],
    "floodsung": [(1 - 0.92206) / 0.08426] * 3,
    "0.1,0.2,0.3,0.5,0.25,1": [1.8, 3.2, 0.7],
}


@pytest.mark.parametrize("word", WANTED)
def test_what_a_net_sees(word):
    got = levelled(pool(3), word)
    assert got.source == f"s; levels {word}"
    assert got.floats(got.images)[0, 0, :, -1, -1].tolist() == pytest.approx(WANTED[word], rel=1e-6)
    assert LEVELS.keys() <= WANTED.keys()


def test_brightness_as_it_is():
    got = levelled(pool(1), "raw255")
    assert torch.allclose(got.floats(got.images).ravel(), torch.arange(256.0), rtol=1e-6)


def test_grey():
    assert levelled(pool(1), None).mean == (0.0,)
    assert levelled(pool(3), None).mean == LEVELS["imagenet"][0]
    assert (levelled(pool(1), "0.3, 0.5").mean, levelled(pool(1), "0.3, 0.5").std) == ((0.3,), (0.5,))
    assert levelled(pool(1), "floodsung").std == (0.08426,)


@pytest.mark.parametrize(
    ("channels", "word", "told"),
    [
        (1, "lee2019", "images of 'lee2019' must have 3 channels, got 1; take none or half"),
        (1, "0,0,0,1,1,1", "must have 3 channels, got 1; give a mean and an std for each channel"),
        (3, "0,1", "must have 1 channels, got 3; give a mean and an std for each channel"),
        (3, "cifarr", "the normalisation must be a known one, got 'cifarr'; did you mean cifar"),
        (3, "0,0,0,1,1", "numbers of a normalisation must be means in 0..1"),
        (3, "0,0,0,1,1,0", "got '0,0,0,1,1,0'; divide by 255"),
        (3, "120.4,115.6,104.5,70.7,68.3,72.5", "divide by 255"),
        (3, "0,0,0,1,1,x", "divide by 255"),
        (3, "0,0,nan,1,1,1", "divide by 255"),
        (3, "0,0,0,1,1,inf", "divide by 255"),
        (3, ",", "divide by 255"),
    ],
)
def test_mistakes_are_one_line(channels, word, told):
    with pytest.raises(UserError) as caught:
        levelled(pool(channels), word)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_are_checked_before_anything_is_read():
    check_levels("0,0,0,1,1,1")
    with pytest.raises(UserError, match="known one"):
        check_levels("nine")
