"""The inner loop on losses made by hand."""

import pytest
import torch
from torch import Tensor

from mamlprobe.learn.adapt import adapt
from mamlprobe.learn.inner_optimizers import sgd

START = {"a": torch.tensor([[1.0, -2.0], [0.5, 3.0]]).double(), "b": torch.tensor([[2.0], [1.0]]).double()}


def curve(params, step: int) -> Tensor:
    """One loss a task: a quartic in a, coupled to b; it depends on the step as well."""
    return (params["a"] ** 4).sum(1) / 4 + (step + 1) * params["b"][:, 0] * params["a"][:, 0]


def run(names, *, steps: int = 2, track="second", start=None, rates=lambda name, step: 0.1):
    start = start or {n: v.clone().requires_grad_() for n, v in START.items()}
    return start, adapt(curve, start, names, steps=steps, rule=sgd(rates), track=track)


@pytest.mark.parametrize("track", ["second", "first", "none"])
def test_the_path_by_hand(track):
    _, path = run(["a", "b"], track=track)
    a, b = START["a"], START["b"]
    for step in range(2):
        slope = a**3
        slope[:, 0] += (step + 1) * b[:, 0]
        a, b = a - 0.1 * slope, b - 0.1 * (step + 1) * a[:, :1]
        torch.testing.assert_close(path[step + 1]["a"], a)
        torch.testing.assert_close(path[step + 1]["b"], b)
    assert len(path) == 3


def test_only_the_named_move_and_each_by_its_own_rate():
    start, path = run(["a"], rates=lambda name, step: {"a": 0.1 * (step + 1)}[name])
    assert path[2]["b"] is start["b"]
    a = START["a"]
    for step in range(2):
        slope = a**3
        slope[:, 0] += (step + 1) * START["b"][:, 0]
        a = a - 0.1 * (step + 1) * slope
    torch.testing.assert_close(path[2]["a"], a)


@pytest.mark.parametrize("track", ["second", "first", "none"])
def test_derivative_of_the_end_by_the_start(track):
    """Exact with order 2, the identity with order 1, none where the path is cut loose."""
    start, path = run(["a"], steps=1, track=track)
    if track == "none":
        assert not path[1]["a"].requires_grad
        return
    (slope,) = torch.autograd.grad(path[1]["a"].sum(), [start["a"]])
    wanted = 1 - 0.3 * START["a"] ** 2 if track == "second" else torch.ones(2, 2).double()
    torch.testing.assert_close(slope, wanted)


@pytest.mark.parametrize("track", ["second", "first", "none"])
def test_nothing_adapts_or_no_steps(track):
    start, path = run([], steps=3, track=track)
    assert len(path) == 4
    assert all(at is path[0] for at in path)
    assert path[0] is start
    start, path = run(["a"], steps=0, track=track)
    assert len(path) == 1
    assert path[0] is start


def test_a_parameter_without_part_in_the_loss_stays():
    start = {**START, "c": torch.ones(2, 1).double()}
    start = {n: v.clone().requires_grad_() for n, v in start.items()}
    _, path = run(["a", "c"], start=start)
    torch.testing.assert_close(path[-1]["c"], start["c"])
    assert not torch.equal(path[-1]["a"], start["a"])


@pytest.mark.parametrize("track", ["second", "first", "none"])
def test_the_start_is_never_written_to(track):
    start, _ = run(["a", "b"], track=track)
    assert all(torch.equal(v, START[n]) for n, v in start.items())
    assert all(v.grad is None for v in start.values())
