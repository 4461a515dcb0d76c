"""Tasks of several runs in one batch: each has what its own run learned."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.run_index import RunIndex, owners_of, rates_at, repeated, rule_at
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Outer


def test_every_task_finds_what_is_its_own_runs():
    owner = owners_of(3, 2, torch.device("cpu"))
    value = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    along = torch.randn(6, 4, dtype=torch.float64)
    assert torch.equal(owner.of(value), value[[0, 0, 1, 1, 2, 2]])
    assert torch.equal(repeated(value, 2), owner.of(value))
    slopes = [torch.autograd.grad(found, value, along)[0] for found in (owner.of(value), repeated(value, 2))]
    assert torch.allclose(*slopes, rtol=1e-14)
    parts = owner.split(4)
    assert [part.index.tolist() for part in parts] == [[0, 0, 1, 1], [2, 2]]
    assert [part.each for part in parts] == [None, None]
    assert owner.split(6) == [owner]
    assert isinstance(parts[0], RunIndex)


@pytest.mark.parametrize(
    ("kind", "values"), [("layer_step", [[1, 2, 3], [4, 5, 6]]), ("parameter", [[1, 4], [2, 5], [3, 6]])]
)
def test_every_task_has_the_rates_of_its_own_run(kind, values):
    """Of three runs, each with rates for two steps or two entries; the tasks are of the last run and of the first."""
    method = Method(inner=Inner(steps=2, test_steps=2, lr=0.5, rates=kind))
    theta, index = Theta(net={}, rates={"a": torch.tensor(values)}), RunIndex(index=torch.tensor([2, 0, 0]))
    rates = rates_at(theta, method, run_index=index)
    assert rates("a", 1).tolist() == ([6, 4, 4] if kind == "layer_step" else [[3, 6], [1, 4], [1, 4]])
    with pytest.raises(UserError, match="none for 'b'"):
        rates("b", 0)
    assert rates_at(theta, method)("a", 1).tolist() == (values[1] if kind == "layer_step" else values)
    assert rates_at(theta, Method(inner=Inner(lr=0.5)), run_index=index)("a", 3) == 0.5


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_rule_of_a_step(optimizer):
    """Gradients times the rate, or from a fresh state their signs times it."""
    method = Method(inner=Inner(lr=0.5, optimizer=optimizer, order=1), outer=Outer(rule="reptile"))
    slope = torch.tensor([[3.0, -2.0]])
    move = rule_at(Theta(net={}), method)({"a": slope}, 0)["a"]
    torch.testing.assert_close(move, 0.5 * (slope.sign() if optimizer == "adam" else slope))
