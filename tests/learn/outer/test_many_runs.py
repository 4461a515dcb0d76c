"""Outer gradients of several runs at once are those of one run after another, in float64."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients, side_by_side
from mamlprobe.learn.theta import Theta
from tests.learn.outer.test_rematerialised import NETS, PAIRS, agree, case_of


def apart(theta: Theta, run: int) -> Theta:
    """Another start for each run."""
    generator = torch.Generator().manual_seed(10 + run)

    def moved(params):
        return {n: v + 0.2 * torch.randn(v.shape, generator=generator).double() for n, v in params.items()}

    parts = {name: moved(getattr(theta, name)) for name in ("net", "rates", "extra")}
    return Theta(**parts, moments=theta.moments)


def runs_of(classes, net, case, count=3):
    method, theta = case_of(net, case)
    return method, [apart(theta, run) for run in range(count)], [classes(seed=run, tasks=2) for run in range(count)]


@pytest.mark.parametrize(("net", "case"), PAIRS)
def test_together_is_one_by_one(classes, net, case):
    net = NETS[net]
    method, thetas, episodes = runs_of(classes, net, case)
    alone = [meta_gradient(net, theta, batch, method) for theta, batch in zip(thetas, episodes)]
    for how in ({}, {"chunk": 4}, {"recompute": True}):  # a chunk that ends within a run and one of two runs
        together = meta_gradients(net, thetas, episodes, method, **how)
        assert len(together) == 3
        for one, two in zip(together, alone):
            agree(one, two, 1e-10)


def test_the_runs_differ(classes):
    """Else the test above says nothing of which gradient is whose."""
    net = NETS["mlp"]
    method, thetas, episodes = runs_of(classes, net, {"name": "maml", "rates": "layer_step"})
    found = meta_gradients(net, thetas, episodes, method)
    for name, value in found[0][0].items():
        if not name.endswith("linear.bias"):  # before a norm these have no slope
            assert (value - found[1][0][name]).abs().max() > 1e-6, name
    assert (found[0][1].losses != found[1][1].losses).all()


def test_one_run_is_the_outer_gradient_to_the_bit(classes):
    net = NETS["conv-bn-relu"]
    method, [theta], [batch] = runs_of(classes, net, {"name": "maml"}, count=1)
    [(found, seen)] = meta_gradients(net, [theta], [batch], method)
    wanted, readings = meta_gradient(net, theta, batch, method)
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())
    assert torch.equal(seen.losses, readings.losses)


def test_real_targets_and_class_ids(classes, waves):
    batch = side_by_side([waves(seed=0), waves(seed=1)])
    assert batch.tasks == 6
    assert batch.class_ids is None
    assert torch.equal(batch.query_y[3:], waves(seed=1).query_y)
    named = [replace(classes(tasks=2), class_ids=torch.full((2, 3), run)) for run in (4, 5)]
    assert side_by_side(named).class_ids[:, 0].tolist() == [4, 4, 5, 5]


def test_a_run_without_numbers_leaves_the_others_alone(classes):
    """NaN in one run's parameters stays in its own gradient."""
    net = NETS["conv-bn-relu"]
    method, thetas, episodes = runs_of(classes, net, {"name": "maml"})
    alone = meta_gradient(net, thetas[2], episodes[2], method)
    broken = replace(thetas[1], net={name: value * torch.nan for name, value in thetas[1].net.items()})
    found = meta_gradients(net, [thetas[0], broken, thetas[2]], episodes, method)
    agree(found[2], alone, 1e-10)
    assert found[1][1].losses.isnan().all()


def test_every_run_needs_as_many_tasks(classes):
    net = NETS["mlp"]
    method, thetas, episodes = runs_of(classes, net, {"name": "maml"})
    line = "meta_gradients: every run must have the same number of tasks, got {}; sample as many for each"
    with pytest.raises(UserError) as caught:
        meta_gradients(net, thetas, [*episodes[:2], classes(tasks=1)], method)
    assert str(caught.value) == line.format("[2, 2, 1] for 3 runs")
    with pytest.raises(UserError) as caught:
        meta_gradients(net, thetas, episodes[:2], method)
    assert str(caught.value) == line.format("[2, 2] for 3 runs")
