"""Steps of the inner loop: rates that are fixed or learned, and Adam."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.inner_optimizers import adam, initial_rates, rate_of, sgd
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Inner
from tests.learn.outer.cases import CONV, NET, draw, started, stepping


def test_the_inner_adam_is_torchs():
    """Without momentum, for two tasks at once, from a fresh state."""
    start, slopes = draw(2, 5), [draw(2, 5, seed=step) * 10.0 ** (-step) for step in range(6)]
    leaf = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.02, betas=(0.0, 0.999), eps=1e-8)
    rule, at = adam(0.02), start
    for step, slope in enumerate(slopes):
        leaf.grad = slope.clone()
        optimizer.step()
        at = at - rule({"a": slope}, step)["a"]
        torch.testing.assert_close(at, leaf.detach(), rtol=1e-13, atol=1e-14)
    first = adam(0.02)({"a": slopes[0]}, 0)["a"]
    torch.testing.assert_close(first, 0.02 * slopes[0].sign(), rtol=1e-6, atol=0)


def test_adams_state_is_fresh_for_every_batch_of_tasks(classes):
    method = stepping(METHODS["reptile"], 3, 0.01)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    one, two = (meta_gradient(NET, theta, episodes, method)[0] for _ in range(2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_initial_rates():
    params = init(CONV, seed=0).net
    inner = Inner(steps=3, test_steps=3, lr=0.2, adapts=("head.*", "body.1.conv.bias"))
    names = ["body.1.conv.bias", "head.weight", "head.bias"]
    assert initial_rates(CONV, params, inner) == {}
    layered = initial_rates(CONV, params, replace(inner, rates="layer_step"))
    assert {n: v.tolist() for n, v in layered.items()} == {n: pytest.approx([0.2] * 3) for n in names}
    full = initial_rates(CONV, params, replace(inner, rates="parameter"))
    assert {n: v.shape for n, v in full.items()} == {n: params[n].shape for n in names}
    assert all((v == torch.tensor(0.2)).all() for v in full.values())


def test_rate_of():
    learned = {"a": torch.tensor([0.1, 0.2]), "b": torch.tensor([0.3, 0.4])}
    assert rate_of(Inner(lr=0.5), learned)("a", 7) == 0.5
    layered = rate_of(Inner(lr=0.5, steps=2, test_steps=2, rates="layer_step"), learned)
    assert [float(layered(n, s)) for n in "ab" for s in (0, 1)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rate_of(Inner(lr=0.5, rates="parameter"), learned)("b", 3) is learned["b"]


@pytest.mark.parametrize("kind", ["layer_step", "parameter"])
def test_a_rate_that_was_not_learned_is_refused(kind):
    rate = rate_of(Inner(steps=4, test_steps=4, rates=kind), {"a": torch.tensor([0.1, 0.2])})
    with pytest.raises(UserError) as caught:
        rate("b", 0)
    assert str(caught.value) == (
        "rates: all that adapts must have a learned rate, got none for 'b'; adapt less or fix rates"
    )


def test_a_step_without_a_rate_is_refused():
    rate = rate_of(Inner(steps=4, test_steps=4, rates="layer_step"), {"a": torch.tensor([0.1, 0.2])})
    with pytest.raises(UserError) as caught:
        rate("a", 2)
    assert str(caught.value) == "rates: there are learned rates for 2 steps, got step 3; use fewer"


def test_gradient_descent_with_numbers_tensors_and_both():
    """One number for all, a number for each, a tensor for one of them: gradient times rate."""
    gradients = {"a": draw(2, 3), "b": draw(2, seed=1)}
    for rates in ({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 2.0}, {"a": draw(3, seed=2), "b": 0.5}):
        asked = []

        def rate(name, step, rates=rates, asked=asked):
            asked.append((name, step))
            return rates[name]

        moves = sgd(rate)(gradients, 7)
        assert asked == [("a", 7), ("b", 7)]
        assert list(moves) == ["a", "b"]
        assert all(torch.equal(move, rates[name] * gradients[name]) for name, move in moves.items())
    assert sgd(rate)({}, 0) == {}
