"""The convolutional net: its words, its shapes, its start, and tasks side by side."""

import math
from fnmatch import fnmatchcase

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.nets.conv4 import DOWNS, Conv4, conv4
from mamlprobe.nets.params import add_task_axis, expand_tasks
from tests.oracles import TwinConv, forward, forward_with

WORDS = [(order, down) for order in ("conv-bn-relu", "conv-relu-bn") for down in DOWNS]


def made(net: Conv4, tasks: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random float64 parameters with a task axis, every task its own."""
    shapes = {n: v.shape for n, v in net.init(generator(0))[0].items()}
    source = torch.Generator().manual_seed(seed)
    return {n: torch.randn(tasks, *s, generator=source, dtype=torch.float64) / 2 for n, s in shapes.items()}


def images(net: Conv4, tasks: int, rows: int) -> torch.Tensor:
    return torch.randn(tasks, rows, *net.image, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize(("order", "down"), WORDS)
@pytest.mark.parametrize("image", [(1, 8, 8), (3, 9, 6), (2, 5, 11)])
def test_every_task_is_the_twin_alone(order, down, image):
    words = {"image": image, "way": 3, "filters": 4, "blocks": 2, "order": order, "down": down}
    net, twin = conv4(**words), TwinConv(**words)
    params, x = made(net, 3), images(net, 3, 4)
    found = net(params, x, collect=True)
    moments = {n: v.roll(1, 0) for n, v in found.moments.items()}
    still = net(params, x, moments=moments)
    for task in range(3):
        own = {n: v[task] for n, v in params.items()}
        torch.testing.assert_close(found.logits[task], forward(twin, own, x[task]), rtol=1e-9, atol=1e-9)
        given = {f"body.{i}.norm": tuple(moments[f"body.{i}.norm.{m}"][task] for m in ("mean", "var")) for i in (1, 2)}
        torch.testing.assert_close(still.logits[task], forward_with(twin, own, x[task], given), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(net.head(params, found.features), found.logits)
    assert found.features.shape == (3, 4, net.features)
    assert [tuple(v.shape) for v in found.layers.values()] == [
        (3, *twin.body["1"].double()(x[0]).shape),
        (3, 4, 4, *net.map),
        (3, 4, 3),
    ]
    assert tuple(found.layers) == net.layers == ("conv1", "conv2", "head")


@pytest.mark.parametrize("mine", ["*.conv.weight", "*.conv.bias", "*.norm.weight", "head.*", "", "*"])
def test_shared_parameters_are_those_of_every_task(mine):
    """A task axis of 1 gives what B equal copies give, whichever parameters have values of their own."""
    net = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2, order="conv-relu-bn")  # here the conv's bias matters
    x = images(net, 3, 4)
    some = {n: v if fnmatchcase(n, mine) else v[:1] for n, v in made(net, 3).items()}
    torch.testing.assert_close(net(some, x).layers, net(expand_tasks(some, 3, some), x).layers, rtol=1e-10, atol=1e-10)


def test_parameters_and_layers():
    net = conv4()
    params, moments = net.init(generator(0))
    assert list(params) == list(net.parameters)
    assert list(net.parameters)[:4] == [f"body.1.{p}" for p in ("conv.weight", "conv.bias", "norm.weight", "norm.bias")]
    assert list(net.parameters)[-2:] == ["head.weight", "head.bias"]
    assert net.layers == ("conv1", "conv2", "conv3", "conv4", "head")
    assert net.parameters["body.3.norm.bias"] == "conv3"
    assert net.parameters["head.bias"] == "head"
    assert sorted(moments) == sorted(f"body.{i}.norm.{m}" for i in range(1, 5) for m in ("mean", "var"))
    assert all(net.roles(n) == n for n in net.parameters)
    assert "head.bias" not in conv4(head_bias=False).init(generator(0))[0]


@pytest.mark.parametrize(
    ("image", "down", "features"),
    [
        ((1, 28, 28), "pool", 32),
        ((3, 84, 84), "pool", 800),
        ((1, 28, 28), "stride", 128),
        ((3, 64, 64), "pool", 512),
        ((1, 28, 28), "unpadded", 32),
    ],
)
def test_widths_of_the_papers(image, down, features):
    net = conv4(image=image, down=down)
    assert net.features == features
    x = torch.zeros(1, 2, *image)
    assert net(add_task_axis(net.init(generator(0))[0]), x).features.shape == (1, 2, features)


def test_start_is_he_normal():
    net = conv4(image=(3, 32, 32), way=20, filters=64)
    params, moments = net.init(generator(1, "init"))
    for name, fan in {"body.1.conv.weight": 27, "body.2.conv.weight": 576, "head.weight": 256}.items():
        value = params[name]
        assert value.std().item() == pytest.approx(math.sqrt(2 / fan), rel=4 / math.sqrt(value.numel()))
        assert abs(value.mean().item()) < 4 * math.sqrt(2 / fan / value.numel())
    for name, value in params.items():
        if name.endswith("bias"):
            assert not value.any()
        if name.endswith("norm.weight"):
            assert (value == 1).all()
    assert all((v == (1 if n.endswith("var") else 0)).all() for n, v in moments.items())
    again = net.init(generator(1, "init"))[0]
    assert all(torch.equal(params[n], again[n]) for n in params)
    assert not torch.equal(params["head.weight"], net.init(generator(2, "init"))[0]["head.weight"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"order": "relu-conv-bn"}, "conv4: the order must be a known one, got 'relu-conv-bn'; did you mean"),
        ({"down": "poll"}, "conv4: the down must be a known one, got 'poll'; did you mean pool?"),
        ({"way": 0}, "conv4: way, filters, blocks and channels must be positive, got 0; raise it"),
        ({"blocks": -1}, "conv4: way, filters, blocks and channels must be positive, got -1; raise it"),
        (
            {"image": (1, 28, 22), "down": "unpadded"},
            "conv4: images must be at least 23 pixels, got (1, 28, 22); use larger images, fewer blocks or stride",
        ),
        (
            {"image": (1, 28, 15)},
            "conv4: images must be at least 16 pixels, got (1, 28, 15); use larger images, fewer blocks or stride",
        ),
    ],
)
def test_errors(words, message):
    with pytest.raises(UserError) as caught:
        conv4(**words)
    assert str(caught.value).startswith(message)


def test_other_images_are_refused():
    net = conv4(image=(1, 28, 28))
    with pytest.raises(UserError) as caught:
        net(add_task_axis(net.init(generator(0))[0]), torch.zeros(1, 5, 3, 28, 28))
    assert str(caught.value) == ("conv4: x [B R C H W] must have C = 1, got [1, 5, 3, 28, 28]; align the two inputs")
    with pytest.raises(UserError, match=r"^conv4: x must have axes \[B R C H W\], got \[5, 1, 28, 28\]; reshape it$"):
        net(add_task_axis(net.init(generator(0))[0]), torch.zeros(5, 1, 28, 28))
