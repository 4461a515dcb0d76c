"""The fast route and the general one give the same outer gradients, and the same training."""

import itertools
from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import Norm
from mamlprobe.native.load import kernels
from mamlprobe.nets import conv4
from mamlprobe.nets.fast import block
from mamlprobe.nets.fast import conv as convolution
from tests.oracles import PLAIN

CASES = [
    (name, statistics, head)
    for name, statistics, head in itertools.product(
        PLAIN, ("batch", "support", "running", "per_step"), ("keep", "zero_each_update")
    )
    if (name, head) != ("boil", "zero_each_update")  # which would never move
]


def route(monkeypatch, name: str) -> None:
    if name == "compiled" and kernels() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(conv4, "fast", lambda x: name != "general")
    for module in (block, convolution):
        monkeypatch.setattr(module, "supported", lambda x: name == "compiled")


@pytest.mark.parametrize("fast", ["compiled", "torch"])
@pytest.mark.parametrize(("name", "statistics", "head"), CASES)
def test_outer_gradients_agree(monkeypatch, classes, fast, name, statistics, head):
    inner = replace(METHODS[name].inner, steps=3, lr=0.1, rates="layer_step", test_steps=3)
    method = replace(METHODS[name], inner=inner, norm=Norm(statistics=statistics), head=head)
    agree(monkeypatch, method, classes, fast)


@pytest.mark.parametrize("fast", ["compiled", "torch"])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in PLAIN])
def test_outer_gradients_of_all_others_agree(monkeypatch, classes, fast, name):
    agree(monkeypatch, resolve(METHODS[name], 0, 10), classes, fast)
    if METHODS[name].inner.steps and METHODS[name].outer.rule != "contrastive":  # which has one step
        lr = 0.1 if METHODS[name].inner.optimizer == "sgd" else 0.001  # Adam makes much of little gradients
        few = replace(METHODS[name].inner, steps=3, test_steps=3, lr=lr)
        method = resolve(replace(METHODS[name], inner=few), 10**6, 10**6)
        agree(monkeypatch, replace(method, norm=replace(method.norm, statistics="running")), classes, fast)


def agree(monkeypatch, method, classes, fast):
    net = conv4.conv4(image=(1, 13, 9), way=3, filters=8, blocks=2)
    episodes = classes(shape=(1, 13, 9), binary=True)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    moved = {n: v.clone() for n, v in theta.net.items()}
    moved["body.1.norm.weight"][:3] = torch.tensor([-0.5, 0.0, 2.0], dtype=torch.float64)
    theta = replace(theta, net=moved)
    route(monkeypatch, "general")
    wanted, seen = meta_gradient(net, theta, episodes, method)
    route(monkeypatch, fast)
    found, readings = meta_gradient(net, theta, episodes, method)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(readings.moments, seen.moments, rtol=1e-9, atol=1e-9)
    for key, value in wanted.items():
        assert float((found[key] - value).abs().max()) <= 1e-9 * (1 + float(value.abs().max())), key


@pytest.mark.parametrize("name", ["maml", "anil"])
def test_two_hundred_updates_agree(monkeypatch, classes, name):
    """In single precision decisions of ReLU and pooling flip now and then: curves agree, not bits."""
    net = conv4.conv4(image=(1, 8, 8), way=3, filters=8, blocks=2)
    method = replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, lr=0.1))
    batches = [classes(seed=seed).to(dtype=torch.float32) for seed in range(20)]
    curves = {}
    for which in ("general", "compiled"):
        route(monkeypatch, which)
        theta = init(net, seed=0, method=method)
        leaves = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
        optimizer = torch.optim.Adam(leaves.values(), lr=0.003)
        losses = []
        for update in range(200):
            gradients, readings = meta_gradient(net, Theta(net=dict(leaves)), batches[update % 20], method)
            for leaf_name, leaf in leaves.items():
                leaf.grad = gradients[leaf_name]
            optimizer.step()
            losses.append(float(readings.loss))
        curves[which] = torch.tensor(losses).reshape(10, 20).mean(1)
    general, compiled = curves["general"], curves["compiled"]
    assert float(general[-1]) < 0.7 * float(general[0])
    assert float((general - compiled).abs().median()) < 0.03 * float(general[0])
    torch.testing.assert_close(compiled[0], general[0], rtol=0.02, atol=0)
