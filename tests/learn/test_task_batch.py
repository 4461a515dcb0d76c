"""Paths of tasks under a net and a method hold what they promise; what their passes share is in `test_prefix`."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from tests.oracles import PLAIN, close

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)


def start() -> Theta:
    theta = init(NET, seed=0).to(dtype=torch.float64)
    return replace(theta, moments={n: v + 0.3 for n, v in theta.moments.items()})


@pytest.mark.parametrize("name", PLAIN)
def test_the_test_time_path(classes, name):
    base = METHODS[name]
    method = replace(base, inner=replace(base.inner, steps=1, test_steps=4, lr=0.2))
    theta, episodes = start(), classes()
    live = replace(theta, net={n: v.clone().requires_grad_() for n, v in theta.net.items()})
    path = adapt_tasks(NET, live, episodes, method)
    assert len(path) == 5
    moves = {"maml": ("body", "head"), "fomaml": ("body", "head"), "boil": ("body",)}.get(name, ("head",))
    for at in path:
        assert list(at) == list(theta.net)
        for key, value in at.items():
            assert value.shape == (3, *theta.net[key].shape)
            assert not value.requires_grad
    for key, value in path[0].items():
        assert torch.equal(value, theta.net[key].expand_as(value))
    for key in ("body.1.conv.weight", "head.weight"):
        assert torch.equal(path[4][key], path[0][key]) != (key.split(".")[0] in moves)
        assert not torch.equal(path[4][key][0], path[4][key][1]) or torch.equal(path[4][key], path[0][key])
    other = adapt_tasks(NET, theta, episodes, method)
    assert all(torch.equal(a[n], b[n]) for a, b in zip(path, other) for n in a)
    assert all(v.grad is None for v in live.net.values())


def test_no_steps_and_nothing_that_adapts(classes):
    for words in ({"test_steps": 0}, {"adapts": (), "test_steps": 2}):
        method = Method(inner=replace(Method().inner, **words))
        path = adapt_tasks(NET, start(), classes(), method)
        assert len(path) == words["test_steps"] + 1
        assert all(torch.equal(v, path[0][n]) for at in path for n, v in at.items())
        assert all(v.shape[0] == 3 for v in path[0].values())


def test_tasks_do_not_see_each_other(classes):
    """A task's path is the same alone and in a batch."""
    method, theta, episodes = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, lr=0.1)), start(), classes()
    together = adapt_tasks(NET, theta, episodes, method)[-1]
    for task in range(3):
        alone = adapt_tasks(NET, theta, episodes.task(task), method)[-1]
        close(alone, {n: v[task : task + 1] for n, v in together.items()}, 1e-10)


def test_running_without_moments_is_refused(classes):
    net = mlp(inputs=64, way=3, hidden=(4,))
    method = Method(norm=Norm(statistics="running"))
    with pytest.raises(UserError) as caught:
        inner_paths(net, init(net, seed=0).to(dtype=torch.float64), classes(), method, stage="test", track="none")
    assert str(caught.value) == "norm: regime 'running' needs running moments, got none; use 'batch' or 'support'"


def test_a_head_from_prototypes_has_a_bias(classes):
    net = mlp(inputs=64, way=3, hidden=(4,), bias=False)
    with pytest.raises(UserError) as caught:
        adapt_tasks(net, init(net, seed=0).to(dtype=torch.float64), classes(), METHODS["proto_maml"])
    assert str(caught.value) == (
        "method: a head from prototypes must be one linear layer with bias, got ['head.weight']; "
        "give the head a bias, or use head keep"
    )
