"""The module of a net in words gives what torch's functions give, and TensorFlow's padding by its definition."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.nets.by_layers.layers_net import layers_module
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.spec import NetSpec


def drawn(texts, image, **options):
    module = layers_module(texts, image=image, way=3, **options).double()
    random = torch.Generator().manual_seed(0)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=random, dtype=torch.float64) + 0.1)
    return module, dict(module.state_dict())


def same_pad(z, kernel, stride, value=0.0):
    """Pad so that ceil(size / stride) windows fit, the odd zero behind: TensorFlow's rule."""
    edges = []
    for size in (z.shape[3], z.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        edges += [total // 2, total - total // 2]
    return F.pad(z, edges, value=value)


def test_a_block_against_torch():
    module, state = drawn(["conv 4 3 2 1 nobias, leaky 0.2, norm 0.01, pool 3 2"], (2, 17, 19))
    x = torch.randn(5, 2, 17, 19, dtype=torch.float64)
    z = F.leaky_relu(F.conv2d(x, state["conv1.conv.weight"], stride=2, padding=1), 0.2)
    z = F.batch_norm(z, None, None, state["conv1.norm.weight"], state["conv1.norm.bias"], training=True, eps=0.01)
    z = F.max_pool2d(z, 3, 2).flatten(1)
    torch.testing.assert_close(module(x), F.linear(z, state["head.weight"], state["head.bias"]))


@pytest.mark.parametrize("side", [28, 27, 6])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (2, 1), (5, 3)])
def test_padding_as_in_tensorflow(side, kernel, stride):
    module, state = drawn([f"conv 4 {kernel} {stride} same, pool 2 2 same, mean"], (1, side, side))
    x = torch.randn(5, 1, side, side, dtype=torch.float64)
    z = F.conv2d(same_pad(x, kernel, stride), state["conv1.conv.weight"], state["conv1.conv.bias"], stride)
    z = F.max_pool2d(same_pad(z, 2, 2, -torch.inf), 2)
    torch.testing.assert_close(module(x), F.linear(z.mean((2, 3)), state["head.weight"], state["head.bias"]))


def test_linear_blocks_and_no_head():
    module, state = drawn(["linear 6, norm, relu", "linear 4 nobias"], (1, 3, 3), head=False)
    x = torch.randn(5, 1, 3, 3, dtype=torch.float64)
    z = F.linear(x.flatten(1), state["conv1.linear.weight"], state["conv1.linear.bias"])
    z = F.relu(F.batch_norm(z, None, None, state["conv1.norm.weight"], state["conv1.norm.bias"], training=True))
    torch.testing.assert_close(module(x), F.linear(z, state["conv2.linear.weight"]))


def test_a_block_that_joins_puts_its_maps_behind_those_before():
    module, state = drawn(["conv 4 3 1 1, relu", "join, conv 3 3 1 1, pool 2 2", "linear 6"], (2, 6, 6))
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    z = F.relu(F.conv2d(x, state["conv1.conv.weight"], state["conv1.conv.bias"], padding=1))
    y = F.max_pool2d(F.conv2d(z, state["conv2.conv.weight"], state["conv2.conv.bias"], padding=1), 2)
    z = torch.cat([z.flatten(1), y.flatten(1)], 1)
    assert z.shape[1] == 4 * 36 + 3 * 9
    z = F.linear(z, state["conv3.linear.weight"], state["conv3.linear.bias"])
    torch.testing.assert_close(module(x), F.linear(z, state["head.weight"], state["head.bias"]))


@pytest.mark.parametrize(
    ("texts", "image", "message"),
    [
        (["conv 4 3 1 1, join"], (1, 8, 8), "a join must be the first layer of its block"),
        (["linear 4", "join, linear 3"], (1, 8, 8), "a join must stand before maps become features"),
        (["conv 4 3 1 0, pool 2 2"] * 4, (1, 28, 28), "images must be large enough for block 4"),
        (["mean, conv 4 3 1 1"], (1, 8, 8), "a conv must stand before maps become features"),
        (["linear 1048576"] * 2, (3, 900, 900), "at most 134,217,728 parameters"),
    ],
)
def test_nets_that_cannot_be(texts, image, message):
    with pytest.raises(UserError, match=message):
        layers_module(texts, image=image, way=5)


def test_weights_are_drawn_from_the_seed_alone():
    spec = NetSpec(kind="layers", stack=("conv 4 3 1 1, norm, relu, pool 2 2",), image=(1, 8, 8))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two, three = (build(spec, way=2, seed=seed).init(torch.Generator())[0] for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv1.conv.weight"], three["conv1.conv.weight"])
