"""Facts that hold to the last digits."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from tests.oracles import close

CONV = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
NETS = {"conv4": CONV, "mlp": mlp(inputs=64, way=3, hidden=(6,), activation="tanh", norm="batch")}


def configured(name: str, *, steps: int = 1, lr: float = 0.5, regime: str = "batch", **more) -> Method:
    base = METHODS[name]
    inner = replace(base.inner, steps=steps, test_steps=steps, lr=lr)
    return replace(base, inner=inner, norm=Norm(statistics=regime), **more)


def start(net, seed: int = 0) -> Theta:
    """Running moments and the head's bias off their start, weights in float64."""
    theta = init(net, seed=seed).to(dtype=torch.float64)
    weights = {**theta.net, "head.bias": torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)}
    return replace(theta, net=weights, moments={n: v + 0.3 for n, v in theta.moments.items()})


def body(params):
    return {n: v for n, v in params.items() if n.startswith("body.")}


def subset(episodes: Episodes, rows: list[int]) -> Episodes:
    return replace(episodes, query_x=episodes.query_x[:, rows], query_y=episodes.query_y[:, rows])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("head", ["zero_each_update", "zero_at_test"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_from_a_zeroed_head_the_first_step_leaves_the_body(classes, net, head, loss):
    """No signal passes a head of zeros: the body's step is exactly zero, and it moves from the second step on."""
    net, episodes = NETS[net], classes()
    path = adapt_tasks(net, start(net), episodes, configured("maml", steps=2, head=head, loss=loss))
    assert all(torch.equal(v, path[0][n]) for n, v in body(path[1]).items())
    assert not torch.equal(path[1]["head.weight"], path[0]["head.weight"])
    assert max((v - path[1][n]).abs().max() for n, v in body(path[2]).items()) > 1e-3
    for name in ("head.weight", "head.bias"):
        assert not path[0][name].any()  # weight and bias


@pytest.mark.parametrize("net", NETS)
def test_with_a_zeroed_head_and_one_step_maml_is_anil(classes, net):
    """The same path to the last bit, and body meta-gradients apart by rounding; with two steps they are not."""
    net, episodes = NETS[net], classes().task(0)
    theta = start(net)
    for steps in (1, 2):
        maml, anil = (configured(n, steps=steps, head="zero_each_update") for n in ("maml", "anil"))
        here, there = (meta_gradient(net, theta, episodes, m)[0] for m in (maml, anil))
        gap = max(float((v - there[n]).abs().max()) for n, v in body(here).items())
        assert gap < 1e-15 if steps == 1 else gap > 1e-3
        one, two = (adapt_tasks(net, theta, episodes, m) for m in (maml, anil))
        assert all(torch.equal(v, two[1][n]) for n, v in one[1].items())
        assert max(v.abs().max() for v in body(here).values()) > 1e-2


@pytest.mark.parametrize("net", NETS)
def test_the_same_for_a_batch_of_tasks(classes, net):
    """Up to rounding: own and shared weights take other routes through the convolution."""
    net, episodes, theta = NETS[net], classes(), start(NETS[net])
    here, there = (
        meta_gradient(net, theta, episodes, configured(n, head="zero_each_update"))[0] for n in ("maml", "anil")
    )
    torch.testing.assert_close(body(here), body(there), rtol=1e-12, atol=1e-14)
    here, there = (meta_gradient(net, theta, episodes, configured(n))[0] for n in ("maml", "anil"))
    assert max((v - there[n]).abs().max() for n, v in body(here).items()) > 1e-3  # not so where the head is kept


@pytest.mark.parametrize("regime", ["batch", "support", "running"])
def test_the_head_after_one_step_from_zero(classes, regime):
    """Cross-entropy: lr/R sum (one-hot - 1/N) f; squared error: lr/R sum one-hot f; the bias the same with f = 1."""
    episodes, theta, lr = classes(shot=3), start(CONV), 0.5
    for loss, share in (("cross_entropy", 1 / 3), ("mse", 0.0)):
        method = configured("anil", lr=lr, head="zero_at_test", regime=regime, loss=loss)
        tasks, path = inner_paths(CONV, theta, episodes, method, stage="test", track="none")
        features = tasks.support(path[0]).features
        weights = torch.eye(3, dtype=torch.float64)[episodes.support_y] - share
        torch.testing.assert_close(path[1]["head.weight"], lr / 9 * weights.mT @ features, rtol=1e-13, atol=1e-15)
        torch.testing.assert_close(path[1]["head.bias"], lr / 9 * weights.sum(1), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("head", ["zero_each_update", "zero_at_test"])
def test_step_0_of_a_zeroed_head_is_chance(classes, head):
    """In every single task: equal logits share the credit, whatever the classes asked for; the loss is log N."""
    episodes, theta = subset(classes(), [0, 1, 2]), start(CONV)
    method = configured("maml", steps=0, head=head)
    tasks, path = inner_paths(CONV, theta, episodes, method, stage="test", track="none")
    assert not tasks.query_logits(path[0]).any()
    torch.testing.assert_close(tasks.query_losses(path[0]), torch.full((3,), math.log(3), dtype=torch.float64))
    _, readings = meta_gradient(CONV, theta, episodes, configured("maml", steps=0, head="zero_each_update"))
    torch.testing.assert_close(readings.accuracies, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_step_0_is_chance_for_any_head(classes):
    """Labels drawn apart from the images leave a kept head at chance over many tasks; after adapting it is not."""
    episodes, net = classes(tasks=400, shape=(8, 8)), NETS["mlp"]
    for steps, low, high in ((0, 0.29, 0.375), (3, 0.8, 1.0)):
        _, readings = meta_gradient(net, start(net), episodes, configured("fomaml", steps=steps))
        assert low < float(readings.accuracy) < high


@pytest.mark.parametrize("name", ["maml", "anil"])
@pytest.mark.parametrize("net", NETS)
def test_only_the_batch_regime_looks_at_the_other_queries(classes, net, name):
    """Permuting the query set permutes predictions in all regimes; a subset keeps its own but under regime batch."""
    net, episodes = NETS[net], classes()
    theta = start(net)

    def logits(of: Episodes, regime: str) -> torch.Tensor:
        tasks, path = inner_paths(net, theta, of, configured(name, steps=2, regime=regime), stage="test", track="none")
        return tasks.query_logits(path[-1]).detach()

    for regime in ("batch", "support", "running"):
        full = logits(episodes, regime)
        for rows in ([3, 1, 5, 0, 2, 4], [4, 1], [2]):
            if len(rows) == 1 and regime == "batch" and net is not CONV:
                continue  # one row of numbers has no batch statistics
            gap = (logits(subset(episodes, rows), regime) - full[:, rows]).abs().max()
            if regime == "batch" and len(rows) < 6:
                assert gap > 1e-2
            else:
                assert gap < 1e-12


def test_running_moments_are_read_at_test_time_only(classes):
    episodes, theta = classes(), start(CONV)
    moved = replace(theta, moments={n: v + 1 for n, v in theta.moments.items()})
    method = configured("maml", regime="running")
    here, there = (meta_gradient(CONV, t, episodes, method) for t in (theta, moved))
    batch = meta_gradient(CONV, theta, episodes, configured("maml"))
    for (gradients, readings), (others, other) in ((here, there), (here, batch)):
        assert all(torch.equal(v, others[n]) for n, v in gradients.items())
        assert torch.equal(readings.losses, other.losses)
    for name, differs in (("batch", False), ("support", False), ("running", True)):
        one, two = (adapt_tasks(CONV, t, episodes, configured("maml", regime=name))[-1] for t in (theta, moved))
        assert differs == any(not torch.equal(v, two[n]) for n, v in one.items())


@pytest.mark.parametrize(("name", "loss"), list(itertools.product(["maml", "anil", "boil"], ["cross_entropy", "mse"])))
def test_renaming_the_classes_permutes_the_head(classes, name, loss):
    """Labels and head rows permuted alike: the same losses, the same body gradient, the head's gradient permuted."""
    episodes, theta, method = classes(), start(CONV), configured(name, steps=2, lr=0.1, loss=loss)
    new = torch.tensor([2, 0, 1])  # class c becomes class new[c]
    renamed = replace(episodes, support_y=new[episodes.support_y], query_y=new[episodes.query_y])
    heads = ("head.weight", "head.bias")
    moved = replace(theta, net={n: v[new.argsort()] if n in heads else v for n, v in theta.net.items()})
    (here, readings), (there, others) = (
        meta_gradient(CONV, t, e, method) for t, e in ((theta, episodes), (moved, renamed))
    )
    torch.testing.assert_close(readings.losses, others.losses, rtol=1e-12, atol=0)
    close(there, {n: v[new.argsort()] if n in heads else v for n, v in here.items()}, 1e-11)
    (_, same) = meta_gradient(CONV, theta, renamed, method)
    assert (same.losses - readings.losses).abs().max() > 1e-2  # with the head left as it is, the names matter
