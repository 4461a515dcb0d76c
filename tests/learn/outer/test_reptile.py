"""Reptile: a step of gradient descent, and a share of the way to where the inner loop ends."""

from dataclasses import replace

import torch

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Outer
from mamlprobe.training.learner import Learner
from tests.learn.outer.cases import NET, TWIN, started, stepping
from tests.oracles import close, forward, slow_loss


def test_one_step_reptile_is_gradient_descent_on_the_support_loss(classes):
    lr, epsilon = 0.3, 0.7
    outer = Outer(rule="reptile", optimizer="sgd", lr=epsilon)
    method = Method(inner=Inner(steps=1, lr=lr, order=1), outer=outer)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    leaves = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
    pairs = zip(episodes.support_x, episodes.support_y)
    support = sum(slow_loss(forward(TWIN, leaves, x), y, "cross_entropy") for x, y in pairs) / episodes.tasks
    slopes = dict(zip(leaves, torch.autograd.grad(support, list(leaves.values()))))
    found, readings = meta_gradient(NET, theta, episodes, method)
    close(found, {n: lr * g for n, g in slopes.items()}, 1e-12)
    learner = Learner(NET, theta, method)
    learner.step(found, readings.moments)
    close(learner.theta.net, {n: v - epsilon * lr * slopes[n] for n, v in theta.net.items()}, 1e-12)
    turned = replace(episodes, query_y=episodes.query_y.flip(1))
    again, others = meta_gradient(NET, theta, turned, method)
    assert all(torch.equal(value, found[name]) for name, value in again.items())  # the query set is scored only
    assert (others.losses != readings.losses).any()


def test_a_reptile_update_goes_a_share_of_the_way(classes):
    """theta + epsilon mean (phi - theta): all of it with one task and epsilon 1."""
    method = stepping(METHODS["reptile"], 3, 0.01)
    theta, episodes = started(NET, method), classes(shape=(3, 3), tasks=1)
    learner = Learner(NET, theta, method)
    learner.step(meta_gradient(NET, theta, episodes, method)[0], {}, lr=1.0)
    end = adapt_tasks(NET, theta, episodes, method)[-1]
    close(learner.theta.net, {n: v[0] for n, v in end.items()}, 1e-12)
