"""The terms of the outer gradient add up to the outer gradient, task by task, in float64."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import head_names
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.contrast.decomposition import TERMS, decompose
from tests.oracles import close
from tests.probe.cases import NETS, method, start

LOSSES, HEADS, REGIMES = ("cross_entropy", "mse"), ("keep", "zero_each_update"), ("batch", "support")
FROZEN, FULL = ("head.*",), ("*",)


def agree(net, theta, episodes, chosen, tolerance=1e-10):
    """Sum of terms and head of every task against autograd on that task alone; returns the decomposition."""
    found = decompose(net, theta, episodes, chosen)
    head = head_names(net)
    assert set(found.terms) <= set(TERMS)
    assert size(found.total) < 1e3  # an inner loop that diverges shows nothing
    for b in range(episodes.tasks):
        wanted, _ = meta_gradient(net, theta, episodes.task(b), chosen)
        close({n: v[b] for n, v in found.total.items()}, {n: v for n, v in wanted.items() if n not in head}, tolerance)
        if found.head:
            close({n: v[b] for n, v in found.head.items()}, {n: wanted[n] for n in head}, tolerance)
    return found


def size(gradient):
    return max((float(v.abs().max()) for v in gradient.values()), default=0.0)


GRID = list(itertools.product((0, 1, 2, 3, 5), (FROZEN, FULL), LOSSES, HEADS, REGIMES))
EITHER = [list(NETS)[sum(places) % 2] for places in itertools.product(range(5), *[range(2)] * 4)]
"""The net of each case: both meet every value of every axis."""


@pytest.mark.parametrize(
    ("steps", "adapts", "loss", "head", "norm", "name"), [(*case, name) for case, name in zip(GRID, EITHER)]
)
def test_first_order_sum(classes, name, steps, adapts, loss, head, norm):
    """D1, first order: any number of steps, whether or not the body adapts."""
    net, _ = NETS[name]
    chosen = method(*adapts, steps=steps, loss=loss, head=head, norm=norm)
    found = agree(net, start(net), classes(tasks=2), chosen)
    assert set(found.terms) == {"interference", "noise", "contrastive"}
    assert set(found.head) == set(head_names(net))
    assert (size(found.total) > 1e-3) == (steps > 0 or head == "keep")
    assert (size(found.terms["interference"]) > 1e-3) == (head == "keep")
    assert (size(found.terms["contrastive"]) > 1e-3) == (steps > 0)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("steps", "loss", "head", "norm"), list(itertools.product((1, 2, 3), LOSSES, HEADS, REGIMES)))
def test_second_order_sum_with_the_body_frozen(classes, name, steps, loss, head, norm):
    """D1, second order: both sides move, and curvature closes the sum."""
    net, _ = NETS[name]
    found = agree(
        net, start(net), classes(tasks=2), method("head.*", order=2, steps=steps, loss=loss, head=head, norm=norm)
    )
    assert set(found.terms) == {"interference", "noise", "contrastive", "curvature"}
    assert set(found.head) == set(head_names(net))
    vanishes = steps == 1 and head == "zero_each_update"
    assert (size(found.terms["curvature"]) < 1e-14) == vanishes


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_second_order_remainder_with_the_body_adapting(classes, name, steps):
    """The remainder is the whole of what second order adds: its gradient less that of first order."""
    net, _ = NETS[name]
    theta, episodes = start(net), classes()
    found = agree(net, theta, episodes, method(order=2, steps=steps))
    assert set(found.terms) == {"interference", "noise", "contrastive", "remainder"}
    assert found.head == {}
    second, first = (meta_gradient(net, theta, episodes, method(order=order, steps=steps))[0] for order in (2, 1))
    remainder = found.terms["remainder"]
    close({n: v.mean(0) for n, v in remainder.items()}, {n: second[n] - first[n] for n in remainder}, 1e-10)
    assert (size(remainder) > 1e-3) == (steps > 0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("adapts", [("head.weight",), ("head.bias",), ()])
def test_part_of_the_head_adapts(classes, adapts, order):
    net, _ = NETS["mlp"]
    chosen = method(order=order, steps=2)
    found = agree(net, start(net), classes(), replace(chosen, inner=replace(chosen.inner, adapts=adapts)))
    assert (size(found.terms["contrastive"]) > 1e-3) == ("head.weight" in adapts)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("adapts", [("body.*",), ("fc1", "head.*"), ("*", "!head.bias")])
def test_part_of_the_body_adapts(classes, adapts, order):
    net, _ = NETS["mlp"]
    agree(net, start(net), classes(), method(*adapts, order=order, steps=2))


@pytest.mark.parametrize(("order", "steps"), [(1, 3), (2, 1), (2, 3)])
def test_head_without_bias(classes, order, steps):
    net = mlp(inputs=64, way=3, hidden=(4,), activation="tanh", bias=False)
    found = agree(net, start(net), classes(), method("head.*", order=order, steps=steps))
    assert list(found.head) == ["head.weight"]


@pytest.mark.parametrize(("adapts", "order"), [(FROZEN, 1), (FROZEN, 2), (FULL, 1)])
def test_unbalanced_classes(classes, adapts, order):
    net, _ = NETS["mlp"]
    episodes = classes(shot=3, query=3)
    keep = [0, 1, 2, 3, 6, 7]
    parts = {n: getattr(episodes, n)[:, keep] for n in ("support_x", "support_y", "query_x", "query_y")}
    agree(net, start(net), replace(episodes, **parts), method(*adapts, order=order, steps=2))


@pytest.mark.parametrize(("adapts", "order"), [(FROZEN, 1), (FROZEN, 2), (FULL, 1)])
def test_real_targets(waves, adapts, order):
    net = mlp(inputs=2, way=1, hidden=(6,), activation="tanh")
    agree(net, start(net), waves(), method(*adapts, order=order, steps=2, loss="mse"))


@pytest.mark.parametrize(("adapts", "order"), [(FROZEN, 1), (FROZEN, 2), (FULL, 1), (FULL, 2)])
def test_wrapped_module(classes, adapts, order):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(27, 3)
    )
    net = wrap(module, "4")
    found = agree(net, start(net), classes(), method(*adapts, order=order, steps=2, norm="support"))
    assert set(found.total) == {"0.weight", "0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize("order", [1, 2])
def test_callers_without_gradients_get_the_same(classes, order):
    net, _ = NETS["mlp"]
    theta, episodes, chosen = start(net), classes(), method("head.*", order=order, steps=2)
    with torch.no_grad():
        quiet = decompose(net, theta, episodes, chosen)
    close(quiet.total, decompose(net, theta, episodes, chosen).total, 1e-14)
    assert size(quiet.total) > 1e-3
    assert not any(v.requires_grad for v in (*quiet.total.values(), *quiet.head.values(), quiet.clean, quiet.noise))


@pytest.mark.parametrize("rates", ["layer_step", "parameter"])
def test_learned_rates_are_refused(classes, rates):
    net, _ = NETS["mlp"]
    chosen = Method(inner=Inner(steps=2, test_steps=2, rates=rates))
    theta = init(net, seed=0, method=chosen).to(dtype=torch.float64)
    with pytest.raises(UserError) as error:
        decompose(net, theta, classes(), chosen)
    assert str(error.value) == f"contrast: rates must be fixed and the readout a head, got {rates}, head; use those"


def test_cosine_readout_is_refused(classes):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError) as error:
        decompose(net, start(net), classes(), Method(readout="cosine"))
    assert str(error.value) == "contrast: rates must be fixed and the readout a head, got fixed, cosine; use those"


@pytest.mark.parametrize("bias", [True, False])
def test_head_of_two_layers_is_refused(classes, bias):
    head = nn.Sequential(nn.Linear(6, 6, bias=bias), nn.Linear(6, 3, bias=bias))
    net = wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), head), "2")
    with pytest.raises(UserError) as error:
        decompose(net, start(net), classes(), method("head.*"))
    names = ["2.0.weight", "2.0.bias", "2.1.weight", "2.1.bias"] if bias else ["2.0.weight", "2.1.weight"]
    assert str(error.value) == f"contrast: the head must be one linear layer, got {names}; name it with wrap(head=...)"


@pytest.mark.parametrize(
    ("name", "field"),
    [("proto_maml", "head"), ("imaml", "outer.rule"), ("reptile", "outer.rule")],
)
def test_other_outer_losses_are_refused(classes, name, field):
    net = mlp(inputs=64, way=3)
    with pytest.raises(UserError) as error:
        decompose(net, init(net, seed=0), classes(), METHODS[name])
    assert str(error.value) == (
        "contrast: the outer loss must be that after plain gradient steps from theta, "
        f"got another {field}; leave it as it is in Method()"
    )
