"""Nets in words: read, written, completed; what is no net is one line."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.nets.by_layers.layer_words import map_after, read_blocks, stated_blocks, write_block


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("conv 64 3 1 1, norm, relu, pool 2 2", "conv 64 3 1 1, norm 1e-05, relu, pool 2 2"),
        ("conv 8 3 2 same nobias,leaky", "conv 8 3 2 nobias same, leaky 0.01"),
        ("pool", "pool 2 2"),
        ("pool 3", "pool 3 2"),
        (" residual 16 ", "residual 16 0.1"),
        ("basic 16", "basic 16 1"),
        ("join,conv 4 3 1 1", "join, conv 4 3 1 1"),
        ("linear 10 nobias, norm 0.001, mean", "linear 10 nobias, norm 0.001, mean"),
    ],
)
def test_words_and_their_full_form(text, full):
    (block,) = read_blocks([text])
    assert write_block(block) == full
    assert read_blocks([full]) == (block,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("konv 3", "the kind of layer must be a known one, got 'konv'; did you mean conv"),
        ("conv 3 1", "must read conv FILTERS SIDE STRIDE PADDING"),
        ("conv 8 3 1 1 1", "must read conv"),
        ("conv 8 3 0 1", "stride of 'conv 8 3 0 1' must be a whole number from 1"),
        ("conv 8.5 3 1 1", "filters of"),
        ("conv 8 3 1 x", "a number must stand for 'x'"),
        ("pool nan", "a number must stand for 'nan'"),
        ("conv 1e99 3 1 1", "a number must stand for"),
        ("leaky -1", "slope of 'leaky -1' must be at least 0"),
        ("", "the kind of layer must be a known one"),
    ],
)
def test_what_is_no_layer(text, message):
    with pytest.raises(UserError) as info:
        read_blocks([text])
    assert message in str(info.value)
    assert "\n" not in str(info.value)


def test_a_net_has_blocks():
    with pytest.raises(UserError, match="1 to 100 blocks"):
        read_blocks([])
    with pytest.raises(UserError, match="1 to 100 blocks"):
        read_blocks(["relu"] * 101)


def test_stated_blocks_take_their_filters_from_the_weights():
    one = stated_blocks("conv 3 1 0, relu", [4, 8])
    assert one == ("conv 4 3 1 0, relu", "conv 8 3 1 0, relu")
    assert stated_blocks("conv 3 1 0; conv 2 1 1 nobias, mean", [4, 8])[1] == "conv 8 2 1 1 nobias, mean"
    with pytest.raises(UserError, match="2 for 3 convolutions"):
        stated_blocks("conv 3 1 0; conv 3 1 0", [4, 8, 8])
    with pytest.raises(UserError, match="each block must have one conv"):
        stated_blocks("relu", [4])


@pytest.mark.parametrize("side", [5, 6, 28, 29])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 1, 1), (3, 2, 1), (3, 2, 0), (2, 1, 0), (5, 3, 2)])
def test_maps_have_the_size_that_torch_gives(side, kernel, stride, pad):
    (block,) = read_blocks([f"conv 2 {kernel} {stride} {pad}, pool 2 2"])
    z = F.max_pool2d(F.conv2d(torch.zeros(1, 1, side, side), torch.zeros(2, 1, kernel, kernel), None, stride, pad), 2)
    assert map_after(block, side, side) == tuple(z.shape[2:])


@pytest.mark.parametrize(("side", "stride", "after"), [(28, 2, 14), (7, 2, 4), (84, 3, 28), (5, 1, 5)])
def test_same_keeps_the_side_over_the_stride_rounded_up(side, stride, after):
    assert map_after(read_blocks([f"conv 2 3 {stride} same"])[0], side, side) == (after, after)
    assert map_after(read_blocks([f"pool 2 {stride} same"])[0], side, side) == (after, after)
