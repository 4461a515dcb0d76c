"""The contrastive rule: the unrolled gradient without an inner loop, and its terms one by one, in float64."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.certificates.reference.gradient import plain_gradient
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.outer.memory import memory_needed
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import TERMS, Inner, Norm, Outer
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import head_names
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.training.learner import Learner
from tests.oracles import close
from tests.probe.cases import NETS, start

RULE = Outer(rule="contrastive")


def efil(order: int = 2, *, adapts=("head.*",), head="keep", loss="cross_entropy", norm="batch", outer=RULE) -> Method:
    """One step of what adapts of the head, by default under the contrastive rule."""
    inner = Inner(steps=1, test_steps=1, lr=0.3, adapts=adapts, order=order)
    return Method(inner=inner, head=head, loss=loss, norm=Norm(statistics=norm), outer=outer)


GRID = list(
    itertools.product(
        NETS,
        (1, 2),
        ("keep", "zero_each_update"),
        ("cross_entropy", "mse"),
        ("batch", "support", "running"),
        (("head.*",), ("head.weight",), ("head.bias",), ()),
    )
)


@pytest.mark.parametrize(("net", "order", "head", "loss", "norm", "adapts"), GRID)
def test_all_terms_are_the_unrolled_gradient(classes, net, order, head, loss, norm, adapts):
    """Body and head, whatever of the head adapts; uneven classes in the support set too."""
    net, _ = NETS[net]
    method = efil(order, adapts=adapts, head=head, loss=loss, norm=norm)
    theta, episodes = start(net), classes(query=3)
    if not adapts:
        episodes = replace(episodes, support_y=torch.tensor([[0, 1, 1, 1, 2, 0]] * 3))
    found, readings = meta_gradient(net, theta, episodes, method)
    wanted, seen = meta_gradient(net, theta, episodes, replace(method, outer=Outer()))
    close(found, wanted, 1e-11)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(readings.accuracies, seen.accuracies)
    torch.testing.assert_close(readings.moments, seen.moments)
    nothing = head == "zero_each_update" and "head.weight" not in adapts and "head.*" not in adapts
    assert (found["head.weight"].abs().max() > 1e-3) & ((found[next(iter(found))].abs().max() > 1e-4) | nothing)


PARTS = [
    (terms, pairs)
    for terms in (("interference",), ("noise",), ("contrastive",), ("curvature",), TERMS, TERMS[::2], ())
    for pairs in ("all", "same")
]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("order", "loss"), list(itertools.product((1, 2), ("cross_entropy", "mse"))))
@pytest.mark.parametrize(("terms", "pairs"), PARTS)
def test_parts_are_those_of_the_loss_written_out(classes, net, order, loss, terms, pairs):
    """Against loops over the pairs; the head's gradient is the whole one, whichever terms the body takes."""
    net, _ = NETS[net]
    method = efil(order, loss=loss, outer=replace(RULE, terms=terms, pairs=pairs))
    theta, episodes = start(net), classes(tasks=2)
    found, _ = meta_gradient(net, theta, episodes, method)
    wanted, _ = plain_gradient(net, theta, episodes, method)
    close(found, wanted, 1e-11)
    whole, _ = meta_gradient(net, theta, episodes, replace(method, outer=Outer()))
    close({n: found[n] for n in head_names(net)}, {n: whole[n] for n in head_names(net)}, 1e-11)
    if pairs == "all":
        parts = decompose(net, theta, episodes, method).terms
        body = {n: sum((parts[t][n].mean(0) for t in terms if t in parts), torch.zeros_like(found[n])) for n in whole
                if n not in head_names(net)}  # fmt: skip
        close({n: found[n] for n in body}, body, 1e-11)


@pytest.mark.parametrize("order", [1, 2])
def test_from_a_zeroed_head_the_clean_term_is_all(classes, order):
    net, _ = NETS["conv"]
    clean = replace(RULE, terms=("contrastive",))
    zeroed = efil(order, head="zero_each_update", outer=clean)
    theta, episodes = start(net), classes()
    wanted, _ = meta_gradient(net, theta, episodes, replace(zeroed, outer=Outer()))
    close(meta_gradient(net, theta, episodes, zeroed)[0], wanted, 1e-11)
    random, _ = meta_gradient(net, theta, episodes, efil(order, outer=clean))
    full, _ = meta_gradient(net, theta, episodes, efil(order))
    assert (random["body.1.conv.weight"] - full["body.1.conv.weight"]).abs().max() > 1e-3


def test_coefficients_by_hand():
    """Two classes, one item each, features as given, head zero: r = softmax of the inner products over ten."""
    net = wrap(nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2)), head="1")
    theta = init(net, seed=0).to(dtype=torch.float64)
    weights = {name: torch.zeros_like(value) for name, value in theta.net.items()}
    weights["0.weight"] = torch.eye(2).double()
    theta = replace(theta, net=weights)
    s, q = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([[3.0, 1.0]]).double()
    episodes = Episodes(
        support_x=s[None], support_y=torch.tensor([[0, 1]]), query_x=q[None], query_y=torch.tensor([[0]])
    )
    method = efil(1, outer=replace(RULE, terms=("contrastive",)))
    method = replace(method, inner=replace(method.inner, lr=0.4))
    gradients, readings = meta_gradient(net, theta, episodes, method)
    # w1 = 0.4 / 2 * [[1/2 s0 - 1/2 s1], [the same, turned]]: logits 0.1 * (3 - 2) and -0.1
    r1 = 1 / (1 + math.exp(0.2))  # of class 1
    assert float(readings.loss) == pytest.approx(-math.log(1 - r1))
    slope = 0.4 / 2 * (-r1 * s[0] + r1 * s[1])  # at the query feature: C is r0 - 1 with s0, r1 with s1
    close({"w": gradients["0.weight"]}, {"w": torch.outer(slope, q[0])}, 1e-12)


@pytest.mark.parametrize("net", NETS)
def test_chunks_and_runs_side_by_side(classes, net):
    net, _ = NETS[net]
    method = efil(2, adapts=("head.weight",), norm="support", outer=replace(RULE, pairs="same"))
    thetas, batches = [start(net, seed=k) for k in range(2)], [classes(seed=k) for k in range(2)]
    alone = [meta_gradient(net, theta, batch, method) for theta, batch in zip(thetas, batches)]
    close(meta_gradient(net, thetas[0], batches[0], method, chunk=2)[0], alone[0][0], 1e-11)
    for (found, _), (wanted, _) in zip(meta_gradients(net, thetas, batches, method), alone):
        close(found, wanted, 1e-11)
    assert (alone[0][0]["head.weight"] - alone[1][0]["head.weight"]).abs().max() > 1e-4


def test_a_wrapped_net_and_one_without_head_bias(classes):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3, bias=False))
    net = wrap(module, head="3")
    theta = init(net, seed=0).to(dtype=torch.float64)
    for order in (1, 2):
        method = efil(order)
        wanted, _ = meta_gradient(net, theta, classes(), replace(method, outer=Outer()))
        close(meta_gradient(net, theta, classes(), method)[0], wanted, 1e-11)


def test_real_targets(waves):
    net = mlp(inputs=2, way=1, hidden=(4,), activation="tanh")
    method, theta = efil(2, loss="mse"), start(net)
    wanted, _ = meta_gradient(net, theta, waves(), replace(method, outer=Outer()))
    close(meta_gradient(net, theta, waves(), method)[0], wanted, 1e-11)
    with pytest.raises(UserError) as caught:
        meta_gradient(net, theta, waves(), replace(method, outer=replace(RULE, pairs="same")))
    line = "contrastive: pairs of the same label need labels, got real targets; set outer.pairs to all"
    assert str(caught.value) == line


@pytest.mark.parametrize("rule", ["unrolled", "contrastive"])
def test_what_is_not_trained_stays(classes, rule):
    """And what is trained moves as ever."""
    net, _ = NETS["conv"]
    method = efil(outer=Outer(rule=rule, trains=("body.*",)))
    theta = start(net)
    whole, _ = meta_gradient(net, theta, classes(), replace(method, outer=Outer(rule=rule)))
    learner = Learner(net, theta, method)
    for update in range(2):
        gradients, readings = meta_gradient(net, learner.theta, classes(seed=update), method)
        if not update:
            assert all((gradients[name] == 0).all() for name in head_names(net))
            close({n: v for n, v in gradients.items() if n.startswith("body.")}, {n: v for n, v in whole.items() if
                  n.startswith("body.")}, 1e-12)  # fmt: skip
        learner.step(gradients, readings.moments)
    after = learner.snapshot().net
    assert all(torch.equal(after[name], theta.net[name]) for name in head_names(net))
    assert not torch.equal(after["body.1.conv.weight"], theta.net["body.1.conv.weight"])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("chunk", [None, 2])
def test_memory_is_no_more_than_anils(classes, order, chunk):
    net = conv4(image=(1, 28, 28), way=3, filters=16, blocks=4)  # whose maps are larger than its features
    method, episodes = efil(order), classes(tasks=6, shape=(1, 28, 28))
    anil = replace(method, outer=Outer())
    theta = init(net, seed=0).to(dtype=torch.float64)
    needs = [memory_needed(net, theta, episodes, each, chunk=chunk) for each in (method, anil)]
    assert needs[0] <= needs[1]


def test_evaluation_adapts_whatever_it_is_told(classes):
    """The rule is of training alone: at test the inner loop is that of any method."""
    net, _ = NETS["conv"]
    method = efil()
    every = replace(method, inner=replace(method.inner, adapts=("*",), test_steps=3))
    plain = replace(every, outer=Outer())
    table = evaluate(net, start(net), classes(), {"rule": every, "plain": plain, "head": method}, steps="every")
    values = {name: rows["value"].tolist() for name, rows in table.groupby("variant")}
    assert values["rule"] == values["plain"]
    assert len(values["rule"]) == 2 * len(values["head"])


def test_a_body_that_adapts_is_refused(classes):
    net, _ = NETS["mlp"]
    line = (
        "method: the contrastive rule needs a body that does not adapt, got inner.adapts ['*']; "
        "set inner.adapts to head.*"
    )
    for refused in (
        lambda: init(net, seed=0, method=efil(adapts=("*",))),
        lambda: meta_gradient(net, start(net), classes(), efil(adapts=("*",))),
    ):
        with pytest.raises(UserError) as caught:
            refused()
        assert str(caught.value) == line


def test_a_deep_head_is_refused(classes):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)))
    net = wrap(module, head="2")
    theta = init(net, seed=0).to(dtype=torch.float64)
    with pytest.raises(UserError, match=r"^contrastive: the head must be one linear layer, got \['2.0.weight'"):
        meta_gradient(net, theta, classes(), efil())


def test_patterns_that_train_nothing_that_is_there(classes):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError, match=r"^adapts: every pattern must select a parameter, got 'bdy\.\*'"):
        meta_gradient(net, start(net), classes(), efil(outer=replace(RULE, trains=("bdy.*",))))


def test_the_method_by_name():
    method = METHODS["contrastive"]
    assert (method.inner.steps, method.inner.adapts, method.outer) == (1, ("head.*",), RULE)
