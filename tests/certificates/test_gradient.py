"""The certificate passes for every method there is, and fails where a gradient or a field is spoiled."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import mamlprobe.certificates.gradient as home
from mamlprobe.base.nested import flatten
from mamlprobe.certificates.gradient import failed
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.nets.wrap import wrap
from tests.certificates.cases import CONV, MLP, SMALL, rows, table_of
from tests.probe.cases import start


@pytest.mark.parametrize("name", METHODS)
def test_every_method_passes(name, episodes):
    method = METHODS[name]
    table = table_of(MLP, method, episodes)
    assert list(table.columns) == ["check", "what", "value", "bound", "verdict"]
    assert failed(table).empty, failed(table).to_string()
    assert (rows(table, "plain loop")["verdict"] == "passes").all()
    told = set(rows(table, "differences")["verdict"])
    assert told == {"not available" if method.outer.rule == "reptile" else "passes"}
    usual, own = flatten(Method()), flatten(method)
    assert len(rows(table, "field")) == sum(own[field] != usual[field] for field in own if field != "name")
    moments = 2 if method.inner.first_order_updates else 1
    assert len(rows(table, "order")) == moments


AXES = {
    "regression": replace(SMALL, loss="mse", inner=replace(SMALL.inner, lr=0.02)),
    "proximal by turns": replace(SMALL, inner=replace(SMALL.inner, proximal=0.7, batch=4)),
    "prototypes in first order": replace(METHODS["proto_maml"], inner=replace(SMALL.inner, order=1)),
    "every step counts": replace(SMALL, step_weights=(0.3, 0.7), norm=Norm(statistics="support")),
    "siamese behind steps": replace(SMALL, readout="siamese"),
    "Meta-SGD in first order": replace(SMALL, inner=replace(SMALL.inner, rates="parameter", order=1)),
    "norms by step": replace(
        SMALL,
        inner=replace(SMALL.inner, rates="layer_step", adapts=("*", "!*.norm.*")),
        norm=Norm(statistics="per_step", affine="per_step"),
    ),
    "implicit, a part adapts": replace(
        SMALL, inner=replace(SMALL.inner, proximal=2.0, adapts=("head.*",)), outer=Outer(rule="implicit", cg_steps=3)
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_the_axes_pass_on_convolutions(name, classes):
    table = table_of(CONV, AXES[name], classes(tasks=2))
    assert failed(table).empty, failed(table).to_string()
    assert "passes" in set(rows(table, "differences")["verdict"])


def test_a_lost_second_order_is_seen(monkeypatch, episodes):
    def first_order(net, theta, tasks, method):
        return meta_gradient(net, theta, tasks, replace(method, inner=replace(method.inner, order=1)))

    monkeypatch.setattr(home, "meta_gradient", first_order)
    table = table_of(MLP, SMALL, episodes)
    assert set(failed(table)["check"]) == {"differences", "plain loop", "order"}
    [order] = rows(table, "order").itertuples()
    assert (order.value, order.bound, order.verdict) == ("order 1", "order 2", "fails")
    assert order.what.startswith("off order 1 by ")


def test_a_gradient_of_one_tensor_that_is_off_is_seen(monkeypatch, episodes):
    def off(net, theta, tasks, method):
        gradients, readings = meta_gradient(net, theta, tasks, method)
        return {**gradients, "rates.head.bias": 1.001 * gradients["rates.head.bias"]}, readings

    method = replace(SMALL, inner=replace(SMALL.inner, rates="layer_step"))
    monkeypatch.setattr(home, "meta_gradient", off)
    what = list(failed(table_of(MLP, method, episodes))["what"])
    assert what[0] == "slopes along learned rates (smooth twin)"
    assert what[1].startswith("outer gradient, all ")
    monkeypatch.setattr(home, "meta_gradient", lambda *case: ({"x": torch.zeros(())}, meta_gradient(*case)[1]))
    assert "inf" in set(rows(home_rows(method, episodes), "plain loop")["value"])


def home_rows(method, episodes):
    """The rows of the plain loop alone."""
    found = home._loop(MLP, start(MLP, method), episodes, method)
    return pd.DataFrame([vars(row) for row in found])


def test_an_implicit_gradient_off_by_a_step_is_seen(monkeypatch, episodes):
    method = replace(METHODS["imaml"], inner=replace(METHODS["imaml"].inner, steps=2, test_steps=2))

    def lazy(net, theta, tasks, given):
        return meta_gradient(net, theta, tasks, replace(given, outer=replace(given.outer, cg_steps=1)))

    monkeypatch.setattr(home, "meta_gradient", lazy)
    assert {"differences", "plain loop"} <= set(failed(table_of(MLP, method, episodes))["check"])


def test_a_reptile_that_goes_too_far_is_seen(monkeypatch, episodes):
    method = replace(SMALL, inner=replace(SMALL.inner, order=1), outer=Outer(rule="reptile"))

    def far(net, theta, tasks, given):
        gradients, readings = meta_gradient(net, theta, tasks, given)
        return {name: 2 * value for name, value in gradients.items()}, readings

    monkeypatch.setattr(home, "meta_gradient", far)
    assert list(failed(table_of(MLP, method, episodes))["what"]) == [f"Reptile's direction, all {8 + 2} tensors"]


def test_a_module_has_no_twin(episodes):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    net = wrap(module, "3")
    theta = init(net, seed=0, method=SMALL).to(dtype=torch.float64)
    table = table_of(net, SMALL, episodes, theta)
    assert failed(table).empty, failed(table).to_string()
    [row] = rows(table, "differences").itertuples()
    assert row.what == "slopes along parameters (a module has no smooth twin; its kinks count)"
    assert (row.bound, row.verdict) == ("", "not available")
    assert float(row.value) < 1e-3


@pytest.mark.parametrize("order", [1, 2])
def test_the_inner_slopes_of_the_body_leave_a_head_of_prototypes_out(order, classes):
    """As where the path is walked step by step, which holds the head as a variable of its own from the beginning."""
    method = replace(METHODS["proto_maml"], inner=replace(SMALL.inner, order=order))
    theta, tasks = start(CONV, method), classes(tasks=2)
    one, two = (meta_gradient(CONV, theta, tasks, method, recompute=recompute)[0] for recompute in (False, True))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-9, atol=1e-11)
