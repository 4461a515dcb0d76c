"""The plain loop over tasks and steps, against another one."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.certificates.reference.gradient import plain_gradient, solve, start_of, tasks_of, walk
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.nets.mlp import mlp
from tests.certificates.cases import SMALL
from tests.oracles import close, slow_outer
from tests.probe.cases import NETS, start


def test_conjugate_gradients_solve():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(6), torch.randn(6, generator=generator, dtype=torch.float64)
    wanted = torch.linalg.solve(matrix, right)
    torch.testing.assert_close(solve(lambda v: matrix @ v, right, 6), wanted, rtol=1e-8, atol=1e-8)
    assert (solve(lambda v: matrix @ v, right, 2) - wanted).norm() > 1e-3
    assert not solve(lambda v: matrix @ v, torch.zeros(6), 3).any()


TWINS = {
    "second order": (SMALL, {"order": 2}),
    "first order": (replace(SMALL, inner=replace(SMALL.inner, order=1)), {"order": 1}),
    "moments of the support set": (replace(SMALL, norm=Norm(statistics="support")), {"order": 2, "regime": "support"}),
    "squared error": (replace(SMALL, loss="mse"), {"order": 2, "loss": "mse"}),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_unrolled_gradient_is_that_of_ordinary_modules(name, classes):
    net, twin = NETS["mlp"]
    method, words = TWINS[name]
    theta, episodes = start(net), classes(tasks=2)
    found, losses = plain_gradient(net, theta, episodes, method)
    wanted, their = slow_outer(twin, theta.net, episodes, adapts=theta.net, steps=2, lr=method.inner.lr, **words)
    close(found, wanted, 1e-12)
    assert losses.tolist() == pytest.approx(their, rel=1e-12)


def test_what_is_not_trained_has_zeros(classes):
    net, _ = NETS["mlp"]
    method = replace(SMALL, outer=Outer(trains=("head.*",)))
    theta, episodes = start(net), classes(tasks=2)
    found, _ = plain_gradient(net, theta, episodes, method)
    whole, _ = plain_gradient(net, theta, episodes, SMALL)
    for name, value in found.items():
        torch.testing.assert_close(value, whole[name] if name.startswith("head.") else torch.zeros_like(value))


def test_the_implicit_gradient_of_one_step_of_conjugate_gradients(classes):
    """By hand: with one step, x = (g·g) / (g·Ag) g, where A is 1 plus the Hessian over the proximal weight."""
    net = mlp(inputs=64, way=3, hidden=(), activation="tanh")
    inner = replace(SMALL.inner, proximal=2.0)
    method = replace(SMALL, inner=inner, outer=Outer(rule="implicit", cg_steps=1))
    theta, episodes = start(net), classes(tasks=1)
    [task] = tasks_of(net, episodes, method)
    end = walk(task, start_of(net, theta, method), through=False)[0][-1]
    leaf = torch.cat([end["head.weight"], end["head.bias"][:, None]], dim=1).detach().requires_grad_()

    def loss(at, x, y):
        return F.cross_entropy(x.flatten(1) @ at[:, :-1].T + at[:, -1], y)

    hessian = torch.autograd.functional.hessian(lambda at: loss(at, *task.support), leaf).reshape(leaf.numel(), -1)
    g = torch.autograd.grad(loss(leaf, *task.query), leaf)[0].flatten()
    wanted = ((g @ g) / (g @ (g + hessian @ g / inner.proximal)) * g).reshape(leaf.shape)
    for curvature in ("autograd", "differences"):
        found, _ = plain_gradient(net, theta, episodes, method, curvature=curvature)
        close(found, {"head.weight": wanted[:, :-1], "head.bias": wanted[:, -1]}, 1e-9)
