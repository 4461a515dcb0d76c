"""The fully connected net."""

import math

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.nets.mlp import ACTIVATIONS, mlp
from mamlprobe.nets.params import add_task_axis
from tests.oracles import TwinMlp, forward


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_every_task_is_the_twin_alone(activation, norm, hidden):
    net = mlp(inputs=6, way=3, hidden=hidden, activation=activation, norm=norm)
    twin = TwinMlp((6, *hidden), 3, activation, norm == "batch")
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    params = {n: draw(2, *v.shape) for n, v in net.init(generator(0))[0].items()}
    x = draw(2, 7, 3, 2)
    found = net(params, x, collect=True)
    for task in range(2):
        wanted = forward(twin, {n: v[task] for n, v in params.items()}, x[task])
        torch.testing.assert_close(found.logits[task], wanted, rtol=1e-9, atol=1e-9)
    given = net(params, x, moments=found.moments)
    torch.testing.assert_close(given.layers, found.layers, rtol=1e-9, atol=1e-9)
    assert tuple(found.layers) == net.layers == (*(f"fc{i + 1}" for i in range(len(hidden))), "head")
    assert list(params) == list(net.parameters)
    assert set(net.parameters.values()) == set(net.layers)
    torch.testing.assert_close(net.head(params, found.features), found.logits)


def test_start():
    net = mlp(inputs=200, way=100, hidden=(300,), norm="batch")
    params, moments = net.init(generator(0))
    for name, fan in {"body.1.linear.weight": 200, "head.weight": 300}.items():
        assert params[name].std().item() == pytest.approx(math.sqrt(2 / fan), rel=4 / math.sqrt(params[name].numel()))
    assert not params["head.bias"].any()
    assert (params["body.1.norm.weight"] == 1).all()
    assert set(moments) == {"body.1.norm.mean", "body.1.norm.var"}
    assert mlp(inputs=2, hidden=(3,)).init(generator(0))[1] == {}


def test_without_bias():
    net = mlp(inputs=2, way=1, hidden=(3,), bias=False, activation="none")
    params = net.init(generator(0))[0]
    assert list(params) == ["body.1.linear.weight", "head.weight"] == list(net.parameters)
    x = torch.ones(1, 1, 2)
    wanted = params["head.weight"] @ params["body.1.linear.weight"] @ x[0, 0]
    torch.testing.assert_close(net(add_task_axis(params), x).logits[0, 0], wanted)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"activation": "rellu"}, "mlp: the activation must be a known one, got 'rellu'; did you mean relu?"),
        ({"norm": "layer"}, "mlp: the norm must be a known one, got 'layer'; did you mean none, batch?"),
        ({"hidden": (3, 0)}, "mlp: every width must be positive, got (2, 3, 0, 5); raise it"),
    ],
)
def test_errors(words, message):
    with pytest.raises(UserError) as caught:
        mlp(inputs=2, **words)
    assert str(caught.value) == message


def test_other_widths_are_refused():
    net = mlp(inputs=2)
    with pytest.raises(UserError) as caught:
        net(add_task_axis(net.init(generator(0))[0]), torch.zeros(1, 4, 3))
    assert str(caught.value) == "mlp: a row must have 2 numbers, got 3; set inputs"
