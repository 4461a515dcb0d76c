"""The certificate passes for every method there is, and fails where a gradient or a field is spoiled."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import mamlprobe.certificates.gradient as home
import mamlprobe.certificates.inner_loop as adapting_home
import mamlprobe.certificates.switches as fields_home
from mamlprobe.base.nested import flatten
from mamlprobe.certificates.gradient import certify, failed
from mamlprobe.certificates.reference.gradient import solve
from mamlprobe.certificates.switches import changed
from mamlprobe.learn import task_batch as tasks_home
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm, Outer
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
from tests.probe.cases import start

MLP = mlp(inputs=16, way=3, hidden=(5, 4), activation="relu", norm="batch")
CONV = conv4(image=(1, 8, 8), way=3, filters=3, blocks=2, order="conv-bn-relu", down="pool")
SMALL = Method(inner=Inner(steps=2, test_steps=2, lr=0.1))


@pytest.fixture
def episodes(classes):
    return classes(tasks=2, shape=(1, 4, 4))


def table_of(net, method, episodes, theta=None, **words) -> pd.DataFrame:
    return certify(net, theta or start(net, method), episodes, method, updates=100_000, **words)


def rows(table: pd.DataFrame, check: str) -> pd.DataFrame:
    return table[table["check"] == check]


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


def test_a_field_that_is_ignored_fails_alone(monkeypatch, episodes):
    method = replace(SMALL, head_scale=0.5, inner=replace(SMALL.inner, proximal=0.5))
    assert failed(table_of(MLP, method, episodes)).empty

    def deaf(net, *, seed, method):
        return init(net, seed=seed, method=replace(method, head_scale=1.0))

    monkeypatch.setattr(fields_home, "init", deaf)
    bad = failed(table_of(MLP, method, episodes))
    assert bad[["check", "what", "value"]].values.tolist() == [["field", "head_scale 0.5", "nothing"]]
    monkeypatch.setattr(tasks_home, "proximal", lambda params, anchor, weight: torch.zeros(()))
    assert "inner.proximal 0.5" in list(failed(table_of(MLP, method, episodes))["what"])


def test_what_cannot_be_judged_is_told(episodes, waves):
    method = replace(SMALL, inner=replace(SMALL.inner, batch=6), outer=Outer(clip=10.0))
    fields = rows(table_of(MLP, method, episodes), "field").set_index("what")
    assert fields["verdict"]["inner.batch 6: the support set has 6 rows"] == "not available"
    assert fields["verdict"]["outer.clip 10.0: acts behind the gradient"] == "not available"
    turns = rows(table_of(MLP, replace(SMALL, inner=replace(SMALL.inner, batch=5)), episodes), "field")
    assert turns.set_index("what")["value"]["inner.batch 5"] == "gradient, readings, test"

    lines = mlp(inputs=2, way=1, hidden=(4,), activation="tanh")
    table = table_of(lines, replace(SMALL, loss="mse"), waves(tasks=2))
    assert failed(table).empty
    assert "loss mse: targets are real numbers" in list(table["what"])


def test_a_stepper_judges_what_acts_behind_the_gradient(episodes):
    def clipped(theta, method, gradients):
        return {n: theta.learned[n] - g.clamp(-method.outer.clip, method.outer.clip) for n, g in gradients.items()}

    method = replace(SMALL, outer=Outer(clip=10.0))
    usual = lambda theta, given, gradients: clipped(theta, given, gradients) if given.outer.clip else gradients  # noqa: E731
    fields = rows(table_of(MLP, method, episodes, stepper=usual), "field").set_index("what")
    assert fields["value"]["outer.clip 10.0"] == "update"
    deaf = rows(table_of(MLP, method, episodes, stepper=lambda theta, given, gradients: gradients), "field")
    assert deaf.set_index("what")["verdict"]["outer.clip 10.0"] == "fails"


def test_fields_are_set_back_together_where_one_alone_is_refused_or_idle(episodes):
    table = rows(table_of(MLP, METHODS["reptile"], episodes), "field").set_index("what")["value"]
    assert table["inner.order 1, beside inner.optimizer, outer.rule at default"] == "gradient"
    assert "outer.rule reptile, beside inner.optimizer at default" in table
    idle = rows(table_of(MLP, METHODS["nil"], episodes), "field").set_index("what")["value"]
    assert "gradient" in idle["inner.steps 0, beside inner.adapts at default"]
    assert changed(METHODS["nil"], {"inner.adapts": ("*",), "readout": "head"}).readout == "head"


@pytest.mark.parametrize(
    ("net", "method", "wanted"),
    [
        (
            CONV,
            SMALL,
            ("body.*.conv.bias: the batch norm behind takes its shift away", "2 still", "passes"),
        ),
        (
            MLP,
            replace(SMALL, head="zero_each_update", inner=Inner(steps=1, adapts=("head.*", "body.2.norm.*"))),
            (
                "body.2.norm.weight, body.2.norm.bias: the head is zero in the only step, so no slope comes through it",
                "2 still",
                "passes",
            ),
        ),
        (
            MLP,
            replace(SMALL, head="zero_each_update", inner=Inner(steps=1, adapts=("head.*",))),
            (
                "head.bias: the logits of a zero head are equal,"
                " which leaves a bias no slope where classes are balanced",
                "1 still",
                "passes",
            ),
        ),
        (
            MLP,
            replace(SMALL, inner=replace(SMALL.inner, steps=0)),
            ("all of them: there are no inner steps in training", "10 still", "passes"),
        ),
        (
            MLP,
            replace(SMALL, inner=replace(SMALL.inner, lr=0.0)),
            ("all of them: the inner rate is 0", "10 still", "passes"),
        ),
    ],
)
def test_why_something_does_not_move(net, method, wanted, classes):
    shape = (1, 8, 8) if net is CONV else (1, 4, 4)
    found = list(adapting_home.adapting_rows(net, start(net, method), classes(shape=shape), method))
    assert wanted in [(row.what, row.value, row.verdict) for row in found]
    assert all(each.verdict == "passes" for each in found)


def test_a_rate_of_zero_and_a_stillness_without_reason_are_told(episodes):
    method = replace(SMALL, inner=replace(SMALL.inner, rates="layer_step"))
    theta = start(MLP, method)
    theta = replace(theta, rates={**theta.rates, "head.bias": torch.zeros_like(theta.rates["head.bias"])})
    told = [row.what for row in adapting_home.adapting_rows(MLP, theta, episodes, method)]
    assert "head.bias: its learned rate is 0" in told
    dead = replace(theta, net={**theta.net, "body.2.norm.bias": torch.full((4,), -50.0).double()})
    [last] = [row for row in adapting_home.adapting_rows(MLP, dead, episodes, SMALL) if row.verdict != "passes"]
    assert last.what.endswith("no reason is known")
    assert "body.*.norm.bias" in last.what
    assert last.verdict == "not available"


def test_what_strays_fails(monkeypatch, episodes):
    method = replace(SMALL, inner=replace(SMALL.inner, adapts=("head.*",)))

    def astray(net, theta, episodes, method, **words):
        tasks, path = inner_paths(net, theta, episodes, method, **words)
        return tasks, [*path[:-1], {**path[-1], "body.1.norm.bias": path[-1]["body.1.norm.bias"] + 1e-9}]

    monkeypatch.setattr(adapting_home, "inner_paths", astray)
    [bad] = failed(table_of(MLP, method, episodes)).itertuples()
    assert (bad.what, bad.value) == ("of 8 that are to stay: body.1.norm.bias", "1 moved")


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


def test_conjugate_gradients_solve():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(6), torch.randn(6, generator=generator, dtype=torch.float64)
    wanted = torch.linalg.solve(matrix, right)
    torch.testing.assert_close(solve(lambda v: matrix @ v, right, 6), wanted, rtol=1e-8, atol=1e-8)
    assert (solve(lambda v: matrix @ v, right, 2) - wanted).norm() > 1e-3
    assert not solve(lambda v: matrix @ v, torch.zeros(6), 3).any()
