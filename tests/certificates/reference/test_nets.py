"""Nets computed otherwise: the slow one is the net, the smooth one has its parameters and no kinks."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.certificates.reference.nets import slow, smooth
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import add_task_axis, expand_tasks
from mamlprobe.nets.wrap import wrap
from tests.probe.cases import start

NETS = [
    conv4(image=(2, 9, 9), way=3, filters=3, blocks=2, order=order, down=down)
    for order in ("conv-bn-relu", "conv-relu-bn")
    for down in ("pool", "stride", "unpadded")
]


def inputs(net, tasks=2):
    theta = start(net)
    params = expand_tasks(add_task_axis(theta.net), tasks, ["head.weight", "body.1.conv.weight"])
    params["head.weight"] = params["head.weight"] * torch.tensor([1.0, 2.0]).double().reshape(2, 1, 1)
    x = torch.randn(tasks, 6, *net.image, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return params, x


@pytest.mark.parametrize("net", NETS)
def test_the_slow_net_is_the_net(net):
    params, x = inputs(net)
    one, two = (each(params, x, collect=True) for each in (net, slow(net)))
    assert list(one.layers) == list(two.layers)
    still = {name: value[:1] for name, value in one.moments.items()}
    pairs = [(one.layers[name], two.layers[name]) for name in one.layers]
    pairs += [(one.features, two.features), *((one.moments[name], two.moments[name]) for name in one.moments)]
    pairs += [(net(params, x, moments=still).logits, slow(net)(params, x, moments=still).logits)]
    entry = slow(net)(params, x, end="conv2").features
    pairs += [(net(params, x, end="conv2").features, entry)]
    pairs += [(one.logits, slow(net)(params, entry, begin="conv2").logits)]
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("net", NETS)
def test_the_smooth_net_has_no_kinks(net):
    """Along a line the second difference of its slope is small everywhere; that of the net is large at a kink."""
    twin = smooth(net)
    assert (twin.layers, twin.parameters, twin.entries) == (net.layers, net.parameters, net.entries)
    params, x = inputs(net)

    def roughness(at):
        slopes = []
        for step in torch.linspace(-0.05, 0.05, 101).double().tolist():
            bias = (params["body.1.norm.bias"] + step).requires_grad_()
            logits = at({**params, "body.1.norm.bias": bias}, x).logits
            slopes.append(torch.autograd.grad(logits.square().sum(), bias)[0])
        return float(torch.stack(slopes).diff(dim=0).diff(dim=0).abs().max() / torch.stack(slopes).abs().max())

    assert roughness(twin) < 1e-4
    assert roughness(net) > 1e-2


def test_fully_connected_nets_and_modules():
    kinked = mlp(inputs=4, way=2, activation="relu")
    assert smooth(kinked) == replace(kinked, activation="softplus")
    assert slow(kinked) is kinked
    tanh = mlp(inputs=4, way=2, activation="tanh")
    assert smooth(tanh) is tanh
    assert smooth(wrap(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)), "1")) is None


def test_statistics_of_one_value_are_refused():
    net = slow(conv4(image=(1, 2, 2), way=2, filters=1, blocks=1, down="pool"))
    small = slow(conv4(image=(1, 1, 1), way=2, filters=1, blocks=1, down="stride"))
    params = add_task_axis(start(net).net)
    assert net(params, torch.ones(1, 1, 1, 2, 2).double()).logits.shape == (1, 1, 2)
    with pytest.raises(UserError) as caught:
        small(params, torch.ones(1, 1, 1, 1, 1).double())
    must = "body.1.norm: batch statistics need more than one value a channel and task, got 1"
    assert str(caught.value) == f"{must}; use more rows or larger images"
