"""Closed contrastive forms: each by a second route in float64, where they are exact, where they are not, and errors."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.certificates.reference.surrogate import surrogate
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast.closed_forms import FORMS, closed_forms, form_table, own_gradient
from mamlprobe.probe.contrast.decomposition import decompose
from tests.oracles import close
from tests.probe.cases import NETS, body_of, features, method, start

LOSSES, HEADS = ("cross_entropy", "mse"), ("keep", "zero_each_update")
FROZEN, FULL = ("head.*",), ("*",)
PARTS = {"clean": ("contrastive",), "one step": ("interference", "noise", "contrastive")}


def grid(*axes):
    return list(itertools.product(*axes))


def by_task(gradient, task):
    return {name: value[task] for name, value in gradient.items()}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("steps", "adapts", "loss", "head"), grid((1, 3), (FROZEN, FULL), LOSSES, HEADS))
def test_every_step_is_the_gradient_in_first_order(classes, name, steps, adapts, loss, head):
    net, _ = NETS[name]
    chosen, episodes = method(*adapts, steps=steps, loss=loss, head=head), classes(tasks=2)
    theta = start(net)
    found = closed_forms(net, theta, episodes, chosen)["every step"]
    for task in range(episodes.tasks):
        close(by_task(found, task), body_of(meta_gradient(net, theta, episodes.task(task), chosen)[0]), 1e-10)


@pytest.mark.parametrize("change", ["rates", "weights", "norms"])
def test_every_step_is_the_gradient_with_the_parts_of_mamlpp(classes, change):
    """Learned rates by step, losses on the way, norm weights by step."""
    net, _ = NETS["mlp"]
    chosen, episodes = method(steps=3), classes(tasks=2)
    if change == "rates":
        chosen = replace(chosen, inner=replace(chosen.inner, rates="layer_step"))
    if change == "weights":
        chosen = replace(chosen, step_weights=(0.2, 0.5, 0.3))
    if change == "norms":
        whole = METHODS["mamlpp"]
        norm = replace(whole.norm, statistics="per_step_unused")
        chosen = replace(chosen, inner=replace(chosen.inner, adapts=whole.inner.adapts), norm=norm)
    theta = init(net, seed=0, method=chosen).to(dtype=torch.float64)
    theta = replace(theta, rates={n: v * torch.tensor([1.0, 3.0, 0.5]) for n, v in theta.rates.items()})
    moved = torch.randn(4, 1, generator=torch.Generator().manual_seed(0)).double()
    theta = replace(theta, extra={n: v + 0.3 * moved for n, v in theta.extra.items()})
    found = closed_forms(net, theta, episodes, chosen)["every step"]
    assert any("norm" in name for name in found) == (change != "norms")
    for task in range(episodes.tasks):
        wanted, _ = meta_gradient(net, theta, episodes.task(task), chosen)
        close(by_task(found, task), {name: wanted[name] for name in found}, 1e-10)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("steps", "loss", "head"), (grid((1, 3), LOSSES, HEADS)))
def test_every_step_lacks_curvature_in_second_order(classes, name, steps, loss, head):
    """With the body frozen: the other route has it as a term."""
    net, _ = NETS[name]
    chosen, episodes = method("head.*", order=2, steps=steps, loss=loss, head=head), classes(tasks=2)
    terms = decompose(net, start(net), episodes, chosen).terms
    wanted = {n: sum(term[n] for t, term in terms.items() if t != "curvature") for n in terms["noise"]}
    close(closed_forms(net, start(net), episodes, chosen)["every step"], wanted, 1e-10)


@pytest.mark.parametrize(("form", "order", "steps", "loss"), grid(PARTS, (1, 2), (1, 3), LOSSES))
def test_forms_of_one_step_written_out_over_pairs(classes, form, order, steps, loss):
    """Counted as often as there are steps, with the predictions of the head after all of them."""
    net, twin = NETS["mlp"]
    theta, episodes, chosen = start(net), classes(tasks=2), method("head.*", order=order, steps=steps, loss=loss)
    found = closed_forms(net, theta, episodes, chosen)[form]
    path = adapt_tasks(net, theta, episodes, chosen)
    one = replace(method("head.*", order=order, loss=loss), outer=Outer(rule="contrastive", terms=PARTS[form]))
    for task in range(episodes.tasks):
        sx, sy, qx, qy = (v[task] for v in (episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y))
        live = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
        heads = [(p["head.weight"][task], p["head.bias"][task]) for p in (path[0], path[-1])]
        rates = (steps * chosen.inner.lr, chosen.inner.lr)
        value = surrogate(features(twin, live, sx), features(twin, live, qx), (sy, qy), heads, one, rates=rates)
        body = body_of(live)
        wanted = dict(zip(body, torch.autograd.grad(value, list(body.values())), strict=True))
        close(by_task(found, task), wanted, 1e-10)


def error(net, episodes, chosen, form, quantity="error"):
    table = form_table(net, start(net), episodes, chosen)
    return table[(table["form"] == form) & (table["quantity"] == quantity)]["value"]


@pytest.mark.parametrize(("adapts", "order", "loss"), grid((FROZEN, FULL), (1, 2), LOSSES))
def test_one_step_from_a_zeroed_head_is_clean_and_exact(classes, adapts, order, loss):
    """Whether or not the body adapts: at a zero head its inner slope is zero."""
    net, _ = NETS["mlp"]
    one, two = (method(*adapts, order=order, loss=loss, steps=s, head="zero_each_update") for s in (1, 2))
    assert all(error(net, classes(), one, form).max() < 1e-10 for form in FORMS)
    assert error(net, classes(), two, "clean").min() > 1e-3
    assert (error(net, classes(), two, "every step").max() < 1e-10) == (order == 1)
    assert error(net, classes(), replace(one, head="keep"), "clean").min() > 1e-2


def test_where_the_head_stays_there_are_no_pairs(classes):
    net, _ = NETS["mlp"]
    chosen = method("body.*", steps=2)
    assert (error(net, classes(), chosen, "clean") == 1).all()
    assert error(net, classes(), chosen, "clean", "cosine").isna().all()
    assert error(net, classes(), chosen, "every step").max() < 1e-10


def test_every_number_again(classes):
    net, _ = NETS["mlp"]
    theta, episodes, chosen = start(net), classes(), method(order=2, steps=2)
    table, forms = form_table(net, theta, episodes, chosen), closed_forms(net, theta, episodes, chosen)
    assert list(table.columns) == ["task", "form", "quantity", "value", "order", "loss", "steps", "norm", "episodes"]
    assert len(table) == episodes.tasks * len(FORMS) * 2
    assert set(table["episodes"]) == {manifest(episodes)}
    own = own_gradient(net, theta, episodes, chosen)
    for task, (form, gradient) in grid(range(episodes.tasks), forms.items()):
        g = meta_gradient(net, theta, episodes.task(task), chosen)[0]
        close(by_task(own, task), g, 1e-12)
        size = math.sqrt(sum(float(v.square().sum()) for v in body_of(g).values()))
        length = math.sqrt(sum(float(v[task].square().sum()) for v in gradient.values()))
        apart = math.sqrt(sum(float((g[n] - v[task]).square().sum()) for n, v in gradient.items()))
        inner = sum(float((g[n] * v[task]).sum()) for n, v in gradient.items())
        rows = table[(table["task"] == task) & (table["form"] == form)].set_index("quantity")["value"]
        assert rows["error"] == pytest.approx(apart / size, abs=1e-10)
        assert rows["cosine"] == pytest.approx(inner / size / length, abs=1e-10)


REFUSED = [("nil", "readout"), ("proto_maml", "head"), ("imaml", "outer.rule"), ("meta_sgd", "inner.rates")]


@pytest.mark.parametrize(("name", "field"), REFUSED)
def test_other_outer_losses_are_refused(classes, name, field):
    net = mlp(inputs=64, way=3)
    with pytest.raises(UserError) as told:
        closed_forms(net, init(net, seed=0), classes(), METHODS[name])
    assert str(told.value) == (
        "forms: the outer loss must be that of a head after gradient steps from theta on all rows, "
        f"got another {field}; leave it as it is in Method()"
    )


@pytest.mark.parametrize("field", ["batch", "proximal"])
def test_other_inner_losses_are_refused(classes, field):
    net, plain = mlp(inputs=64, way=3), Method()
    with pytest.raises(UserError, match=f"got another inner.{field}; leave"):
        closed_forms(net, init(net, seed=0), classes(), replace(plain, inner=replace(plain.inner, **{field: 2})))
