"""The exact implicit gradient by finite differences, errors of short paths by hand, and what memory holds."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Outer
from mamlprobe.nets.conv4 import conv4
from mamlprobe.probe.theory.implicit_error import gradient_errors, peaks, proximal_rules, regression, ridge

WEIGHT, RATE = 0.5, 0.2
MAML = Method(loss="mse", inner=Inner(lr=RATE, proximal=WEIGHT))
IMPLICIT = replace(MAML, outer=Outer(rule="implicit", cg_steps=2))


@pytest.fixture
def linear(waves):
    return torch.tensor([0.7, -1.1], dtype=torch.float64), waves(tasks=3, rows=6)


def query_loss(theta, episodes, task):
    """L_Q at the inner optimum, found as the least-squares solution of the support rows and the pull to theta."""
    x, y = episodes.support_x[task], episodes.support_y[task]
    pull = torch.eye(2, dtype=x.dtype) * (len(x) * WEIGHT) ** 0.5
    stacked = torch.cat([x, pull]), torch.cat([y, pull @ theta.reshape(-1, 1)])
    w = torch.linalg.lstsq(*stacked).solution
    return 0.5 * (episodes.query_x[task] @ w - episodes.query_y[task]).square().mean(), w.flatten()


def test_ridge_by_least_squares_and_differences(linear):
    theta, episodes = linear
    optimum, gradient = ridge(theta, episodes, WEIGHT)
    for task in range(3):
        torch.testing.assert_close(optimum[task], query_loss(theta, episodes, task)[1], rtol=1e-10, atol=1e-12)
        for n in range(2):
            ends = [query_loss(theta + s * 1e-5 * torch.eye(2)[n].double(), episodes, task)[0] for s in (1, -1)]
            assert float(gradient[task, n]) == pytest.approx(float((ends[0] - ends[1]) / 2e-5), abs=1e-8)


def test_errors_of_no_step_and_of_one_by_hand(linear):
    theta, episodes = linear
    exact, by_hand = ridge(theta, episodes, WEIGHT)[1].mean(0), []
    for steps in (0, 1):
        found = torch.zeros(2, dtype=torch.float64)
        for task in range(3):
            x, y, query, wanted = (getattr(episodes, n)[task] for n in ("support_x", "support_y", "query_x", "query_y"))
            hessian = x.T @ x / len(x)
            phi = theta - steps * RATE * (hessian @ theta - x.T @ y.flatten() / len(x))
            slope = query.T @ (query @ phi - wanted.flatten()) / len(query)
            found += (slope - steps * RATE * hessian @ slope) / 3
        by_hand.append(float((found - exact).norm() / exact.norm()))
    table = gradient_errors(theta, episodes, {"maml": MAML}, steps=(0, 1))
    assert table["value"].tolist() == pytest.approx(by_hand, rel=1e-10)


def test_the_error_vanishes_with_steps_unless_the_system_is_not_solved(linear):
    theta, episodes = linear
    few = replace(IMPLICIT, outer=Outer(rule="implicit", cg_steps=1))
    table = gradient_errors(theta, episodes, {"maml": MAML, "two": IMPLICIT, "one": few}, steps=(2, 300))
    held = table.set_index(["variant", "steps"])["value"]
    assert held["maml", 300] < 1e-12
    assert held["two", 300] < 1e-12  # two unknowns: two CG steps solve
    assert held["one", 300] > 1e-4
    assert held["two", 2] > 1e-4


def test_errors_need_the_proximal_loss(linear):
    with pytest.raises(UserError, match=r"must have a proximal term and loss mse, got inner\.proximal 0, loss mse"):
        gradient_errors(*linear, {"x": replace(MAML, inner=Inner())}, steps=(1,))


def test_rules_share_one_inner_loss():
    rules = proximal_rules("mse", proximal=WEIGHT, lr=RATE, cg_steps=(2, 7))
    assert list(rules) == ["MAML", "FOMAML", "iMAML, 2 CG steps", "iMAML, 7 CG steps"]
    assert rules["MAML"] == MAML
    assert rules["iMAML, 2 CG steps"] == IMPLICIT
    assert {replace(rule.inner, order=2) for rule in rules.values()} == {MAML.inner}


def test_regression_is_what_it_says_and_the_same_for_the_same_seed():
    theta, episodes = regression(3, tasks=2, rows=4000, inputs=3)
    assert theta.shape == (3,)
    again = regression(3, tasks=2, rows=4000, inputs=3)[1]
    assert torch.equal(again.query_y, episodes.query_y)
    for x, y in ((episodes.support_x, episodes.support_y), (episodes.query_x, episodes.query_y)):
        torch.testing.assert_close(x.std((0, 1)), torch.tensor([1, 0.1**0.5, 0.1]).double(), rtol=0.05, atol=0)
        w = torch.linalg.lstsq(episodes.support_x, episodes.support_y).solution
        torch.testing.assert_close((x @ w - y).std(), torch.tensor(0.1).double(), rtol=0.05, atol=0)


def test_peaks_over_steps(classes):
    net = conv4(image=(1, 8, 8), way=3, filters=3, blocks=2)
    theta, episodes = init(net, seed=0).to(dtype=torch.float64), classes(tasks=1)
    maml = Method(inner=Inner(proximal=1.0))
    rules = {"maml": maml, "lean": maml, "imaml": replace(maml, outer=Outer(rule="implicit"))}
    table = peaks(net, theta, episodes, rules, steps=(2, 3, 4), recompute=["lean"])
    held = {name: part["value"].to_numpy() for name, part in table.groupby("variant")}
    size = sum(value.nbytes for value in theta.net.values())
    grown = {name: value[1:] - value[:-1] for name, value in held.items()}
    assert grown["maml"][0] == grown["maml"][1] > 3 * size
    assert (grown["lean"] == size).all()
    assert (grown["imaml"] <= size).all()
    assert (held["maml"] > held["lean"]).all()


def test_an_unknown_name_to_recompute_is_refused(classes):
    net = conv4(image=(1, 8, 8), way=3, filters=3, blocks=2)
    with pytest.raises(UserError, match="what is recomputed must be a variant, got 'lean'; use maml"):
        peaks(net, init(net, seed=0), classes(), {"maml": Method()}, steps=(1,), recompute=["lean"])
