"""Distances of weights: against a loop of autograd on the twin, layer by layer, and closed forms."""

import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.probe.adaptation.weight_change import weight_distance
from tests.oracles import forward
from tests.probe.cases import LR, NETS, method, start


def walked(twin, weights, x, y, steps):
    """Weights after so many steps of plain gradient descent on the cross entropy of one task."""
    now = {name: value.clone().requires_grad_() for name, value in weights.items()}
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(forward(twin, now, x), y)
        gradients = torch.autograd.grad(loss, list(now.values()))
        now = {n: (v - LR * g).detach().requires_grad_() for (n, v), g in zip(now.items(), gradients, strict=True)}
    return {name: value.detach() for name, value in now.items()}


@pytest.mark.parametrize("kind", NETS)
def test_against_a_plain_loop(kind, classes):
    net, twin = NETS[kind]
    theta, episodes = start(net), classes(tasks=2, shot=2, query=2)
    table = weight_distance(net, theta, episodes, method(steps=3), steps=[1, 3]).set_index(
        ["task", "layer", "step", "quantity"]
    )["value"]
    for task in range(2):
        for step in (1, 3):
            end = walked(twin, theta.net, episodes.support_x[task], episodes.support_y[task], step)
            for layer in dict.fromkeys(net.parameters.values()):
                names = [name for name, owner in net.parameters.items() if owner == layer]
                moved = math.sqrt(sum(float((end[n] - theta.net[n]).square().sum()) for n in names))
                size = math.sqrt(sum(float(theta.net[n].square().sum()) for n in names))
                count = sum(theta.net[n].numel() for n in names)
                for quantity, value in (
                    ("distance", moved),
                    ("relative", moved / size),
                    ("per parameter", moved / math.sqrt(count)),
                ):
                    assert table[task, layer, step, quantity] == pytest.approx(value, rel=1e-9)


def test_what_is_frozen_does_not_move_and_zero_has_no_relative_distance(classes):
    net, _ = NETS["mlp"]
    theta, episodes = start(net, head=0.0), classes(tasks=2, shot=2, query=2)
    table = weight_distance(net, theta, episodes, method("head.*"))
    wide = table.set_index(["layer", "quantity"])["value"]
    assert (wide[["fc1", "fc2"]] == 0).all()
    assert (wide["head", "distance"] > 0).all()
    assert wide["head", "relative"].isna().all()
    assert set(table["episodes"]) == {manifest(episodes)}
    assert set(table["step"]) == {1}


def test_no_step_no_distance(classes):
    net, _ = NETS["mlp"]
    chosen = method(steps=2)
    still = replace(chosen, inner=replace(chosen.inner, test_steps=0))
    found = weight_distance(net, start(net), classes(tasks=3, shot=1, query=1), still)
    assert (found["value"] == 0).all()
    assert sorted(set(found["task"])) == [0, 1, 2]


@pytest.mark.parametrize("steps", [[], [3], [-1]])
def test_steps_that_are_not_there_are_refused(steps, classes):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError, match="steps must lie in 0-2"):
        weight_distance(net, start(net), classes(tasks=1, shot=1, query=1), method(steps=2), steps=steps)
