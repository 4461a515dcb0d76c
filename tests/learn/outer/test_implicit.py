"""iMAML: the slope through a solved inner problem, and the conjugate gradients that find it."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.implicit import conjugate_gradients
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Outer
from tests.learn.outer.cases import (
    NET,
    PLAIN_NET,
    PLAIN_TWIN,
    TWIN,
    draw,
    started,
    stepping,
)
from tests.oracles import close, forward, slow_loss

LAMBDA = 2.0


def optimum(theta, x: Tensor, y: Tensor, adapts: tuple[str, ...]):
    """The minimum of L_S + (lambda / 2) |phi - theta|^2 by so many steps that none moves it further."""
    phi = {n: v.detach() for n, v in theta.items()}
    for _ in range(150):
        live = {n: v.requires_grad_(n in adapts) for n, v in phi.items()}
        pull = sum(((live[n] - theta[n]) ** 2).sum() for n in adapts)
        value = slow_loss(forward(PLAIN_TWIN, live, x), y, "cross_entropy") + LAMBDA / 2 * pull
        slopes = dict(zip(adapts, torch.autograd.grad(value, [live[n] for n in adapts])))
        phi = {n: (v - 0.3 * slopes[n]).detach() if n in adapts else v for n, v in live.items()}
        phi = {n: v.detach() for n, v in phi.items()}
    assert max(float(g.abs().max()) for g in slopes.values()) < 1e-13
    return phi


@pytest.mark.parametrize("adapts", [("*",), ("head.*",)])
def test_the_implicit_gradient_is_the_slope_through_the_optimum(classes, adapts):
    """By differences of a query loss behind the solved inner problem; the error falls with the steps towards it."""
    method = Method(
        inner=Inner(steps=1, lr=0.3, proximal=LAMBDA, adapts=adapts), outer=Outer(rule="implicit", cg_steps=40)
    )
    theta, episodes = started(PLAIN_NET, method), classes(shape=(3, 3), tasks=1)
    sx, sy, qx, qy = episodes.support_x[0], episodes.support_y[0], episodes.query_x[0], episodes.query_y[0]
    moving = tuple(n for n in theta.net if adapts == ("*",) or n.startswith("head."))

    def value(at) -> float:
        return float(slow_loss(forward(PLAIN_TWIN, optimum(at, sx, sy, moving), qx), qy, "cross_entropy"))

    def slope_of(gradients, along) -> float:
        return float(sum((gradients[n] * v).sum() for n, v in along.items()))

    errors = {}
    for seed in range(3):
        along = {n: 1e-5 * draw(*v.shape, seed=10 * seed + i) for i, (n, v) in enumerate(theta.net.items())}
        up, down = (value({n: v + sign * along[n] for n, v in theta.net.items()}) for sign in (1, -1))
        for steps in (1, 3, 9, 100):
            found, _ = meta_gradient(PLAIN_NET, theta, episodes, stepping(method, steps))
            errors[seed, steps] = abs(slope_of(found, along) - (up - down) / 2) / 1e-5
    sizes = [sum(errors[seed, steps] ** 2 for seed in range(3)) ** 0.5 for steps in (1, 3, 9, 100)]
    assert sizes[0] > 0.1
    assert all(less < 0.6 * more for more, less in itertools.pairwise(sizes))
    assert sizes[-1] < 1e-7


def dense(theta, episodes, phi):
    """(I + H / lambda)^-1 g of each task at phi by the whole matrix, as vectors [B, P]."""
    names, found = list(theta.net), []
    for b in range(episodes.tasks):
        vector = torch.cat([phi[n][b].flatten() for n in names])

        def loss(at, x, y):
            parts = zip(names, at.split([theta.net[n].numel() for n in names]))
            return slow_loss(forward(TWIN, {n: p.reshape(theta.net[n].shape) for n, p in parts}, x), y, "cross_entropy")

        hessian = torch.autograd.functional.hessian(
            lambda at, b=b: loss(at, episodes.support_x[b], episodes.support_y[b]), vector
        )
        leaf = vector.clone().requires_grad_()
        slope = torch.autograd.grad(loss(leaf, episodes.query_x[b], episodes.query_y[b]), leaf)[0]
        found.append(torch.linalg.solve(torch.eye(len(vector)).double() + hessian / LAMBDA, slope))
    return torch.stack(found)


def test_conjugate_gradients_come_ever_closer_to_the_dense_solution(classes):
    inner = Inner(steps=4, test_steps=4, lr=0.3, proximal=LAMBDA)
    method = Method(inner=inner, outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3), tasks=1)
    wanted = dense(theta, episodes, adapt_tasks(NET, theta, episodes, method)[-1]).mean(0)
    errors = []
    for steps in (1, 2, 4, 8, 16, 60):
        now = replace(method, outer=replace(method.outer, cg_steps=steps))
        found, _ = meta_gradient(NET, theta, episodes, now)
        errors.append(float((torch.cat([found[n].flatten() for n in theta.net]) - wanted).norm()))
    assert errors[0] > 1e-3
    assert all(after < before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 1e-8


def test_conjugate_gradients_by_themselves():
    """Each task's own system, as many steps as unknowns; what is solved stays, and nothing gives nothing."""
    roots = draw(3, 6, 6)
    matrix = roots @ roots.mT + torch.eye(6).double()
    right = {"a": draw(3, 2, 2), "b": draw(3, 2, seed=1)}
    right = {n: torch.cat([v[:2], torch.zeros_like(v[2:])]) for n, v in right.items()}  # the third has none

    def product(v):
        flat = torch.einsum("bij,bj->bi", matrix, torch.cat([v["a"].flatten(1), v["b"]], dim=1))
        return {"a": flat[:, :4].reshape(3, 2, 2), "b": flat[:, 4:]}

    wanted = torch.linalg.solve(matrix, torch.cat([right["a"].flatten(1), right["b"]], dim=1))
    for steps in (6, 12):
        found = conjugate_gradients(product, right, steps)
        torch.testing.assert_close(torch.cat([found["a"].flatten(1), found["b"]], dim=1), wanted, rtol=1e-9, atol=1e-12)
    assert conjugate_gradients(product, {}, 3) == {}


def test_a_strong_pull_makes_the_implicit_gradient_that_of_theta(classes):
    """lambda to infinity: phi = theta and I + H / lambda = I; the gradient is the query loss's own at theta."""
    inner = Inner(steps=5, lr=1e-7, proximal=1e6)
    theta, episodes = started(NET, METHODS["maml"]), classes(shape=(3, 3))
    found, _ = meta_gradient(NET, theta, episodes, Method(inner=inner, outer=Outer(rule="implicit")))
    wanted, _ = meta_gradient(NET, theta, episodes, METHODS["multitask"])
    close(found, wanted, 1e-5)


def test_the_implicit_rule_teaches_the_readout_too(classes):
    """What only the query loss sees has its plain slope there, by differences."""
    inner = Inner(steps=3, lr=0.3, proximal=LAMBDA)
    method = Method(inner=inner, readout="siamese", outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    found, _ = meta_gradient(NET, theta, episodes, method)
    weight = theta.extra["siamese.weight"]
    for entry in range(4):
        along = 1e-5 * torch.eye(4).double()[entry]
        up, down = (
            float(meta_gradient(NET, replace(theta, extra={"siamese.weight": at}), episodes, method)[1].loss)
            for at in (weight + along, weight - along)
        )
        assert up - down == pytest.approx(2e-5 * float(found["extra.siamese.weight"][entry]), rel=1e-6)


def test_where_nothing_adapts_the_implicit_gradient_is_the_losses_own(classes):
    method = Method(inner=Inner(steps=3, proximal=LAMBDA, adapts=()), outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    found, wanted = (meta_gradient(NET, theta, episodes, each)[0] for each in (method, METHODS["multitask"]))
    close(found, wanted, 1e-12)
