"""Which pairs attract, what zeroing the head takes away, and what one step memorises."""

import itertools

import pytest
import torch

from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.probe.representation.activations import record
from tests.probe.cases import LR, NETS, features, method, start

ROUNDING = 1e-13


def pairs(found):
    return found.clean + found.noise


@pytest.mark.parametrize(("steps", "adapts", "head"), list(itertools.product((1, 3), ("head.*", "*"), (0.1, 1.0, 8.0))))
def test_same_label_never_repels(classes, steps, adapts, head):
    """D3, whatever the head, the steps and the body."""
    net, _ = NETS["mlp"]
    for seed in range(5):
        theta = start(net, seed=seed, head=head)
        found = decompose(net, theta, classes(seed=seed, shot=3, query=3), method(adapts, steps=steps, lr=2.0))
        assert found.same.sum() == 3 * 3 * 3 * 3
        assert pairs(found)[found.same].max() <= ROUNDING
        assert pairs(found)[found.same].min() < -0.1


def test_different_labels_may_attract(classes):
    """D3: the noise of the title needs a head that is not zero."""
    net, _ = NETS["mlp"]
    found = decompose(net, start(net, head=8.0), classes(), method("head.*"))
    other = pairs(found)[~found.same]
    assert other.min() < -0.1
    assert other.max() > 0.1
    assert other.min() > -1
    assert other.max() < 2


@pytest.mark.parametrize("name", NETS)
def test_coefficients_of_one_step_by_hand(classes, name):
    """The closed forms of same and different labels, from the twin's predictions, pair by pair."""
    net, twin = NETS[name]
    theta, episodes = start(net, head=2.0), classes(tasks=2)
    found = decompose(net, theta, episodes, method("head.*"))
    end = adapt_tasks(net, theta, episodes, method("head.*"))[-1]
    for b in range(2):
        p = torch.softmax(features(twin, theta.net, episodes.support_x[b]) @ theta.net["head.weight"].T, -1)
        p = torch.softmax(p.log() + theta.net["head.bias"], -1)
        r = features(twin, theta.net, episodes.query_x[b]) @ end["head.weight"][b].T + end["head.bias"][b]
        r = torch.softmax(r, -1)
        for i, t in enumerate(episodes.support_y[b].tolist()):
            for m, u in enumerate(episodes.query_y[b].tolist()):
                rest = sum(p[i, j] * r[m, j] for j in range(3) if j not in (t, u))
                if t == u:
                    wanted = -(rest + (1 - p[i, u]) * (1 - r[m, u]))
                else:
                    wanted = p[i, u] * (1 - r[m, u]) + r[m, t] * (1 - p[i, t]) - rest
                assert bool(found.same[b, i, m]) == (t == u)
                assert float(pairs(found)[b, i, m]) == pytest.approx(float(wanted), abs=1e-12)
                assert float(found.clean[b, i, m]) == pytest.approx(float(r[m, t]) - (t == u), abs=1e-12)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("order", [1, 2])
def test_one_step_from_a_zeroed_head_is_clean(classes, name, order):
    net, _ = NETS[name]
    found = decompose(net, start(net), classes(), method("head.*", order=order, head="zero_each_update", lr=3.0))
    assert found.noise.abs().max() < ROUNDING
    same, other = found.clean[found.same], found.clean[~found.same]
    assert -1 <= same.min() <= same.max() <= 0
    assert 0 <= other.min() <= other.max() <= 1
    assert same.min() < -0.1
    assert other.max() > 0.1
    for term in {"interference", "noise", "curvature"} & set(found.terms):
        assert max(float(v.abs().max()) for v in found.terms[term].values()) < ROUNDING, term


@pytest.mark.parametrize("steps", [2, 3])
def test_noise_is_back_from_the_second_step(classes, steps):
    """After the first step the predictions on the support set are no longer uniform."""
    net, _ = NETS["mlp"]
    theta, episodes = start(net), classes()
    found = decompose(net, theta, episodes, method("head.*", steps=steps, head="zero_each_update"))
    assert found.noise.abs().max() > 1e-2
    assert max(float(v.abs().max()) for v in found.terms["noise"].values()) > 1e-3
    assert max(float(v.abs().max()) for v in found.terms["interference"].values()) < ROUNDING
    second = decompose(net, theta, episodes, method("head.*", order=2, steps=steps, head="zero_each_update"))
    assert max(float(v.abs().max()) for v in second.terms["curvature"].values()) > 1e-4


def test_one_step_memorises_the_support_features(classes):
    """K1: by half the squared error and one shot, row j of the head is lr/n_s f(s_j), and logits are inner products."""
    net = mlp(inputs=64, way=3, hidden=(6,), activation="tanh", bias=False)
    theta, episodes = start(net), classes(shot=1)
    chosen = method("head.*", loss="mse", lr=LR, head="zero_each_update")
    end = adapt_tasks(net, theta, episodes, chosen)[-1]
    support = record(net, theta, episodes.support_x, layers=["fc1"])["fc1"]
    query = record(net, theta, episodes.query_x, layers=["fc1"])["fc1"]
    outputs = record(net, end, episodes.query_x, layers=["head"])["head"]
    for b in range(episodes.tasks):
        for j in range(3):
            torch.testing.assert_close(end["head.weight"][b, j], LR / 3 * support[b, j], rtol=0, atol=1e-14)
            for m in range(query.shape[1]):
                assert float(outputs[b, m, j]) == pytest.approx(float(LR / 3 * support[b, j] @ query[b, m]), abs=1e-14)


def test_one_step_of_cross_entropy_memorises_centred_features(classes):
    """The same for cross-entropy: lr/n_s times the sum of (one-hot - 1/N) f(s)."""
    net, twin = NETS["conv"]
    theta, episodes = start(net), classes(shot=2)
    end = adapt_tasks(net, theta, episodes, method("head.*", head="zero_at_test"))[-1]
    for b in range(episodes.tasks):
        f = features(twin, theta.net, episodes.support_x[b])
        for j in range(3):
            row = sum(((t == j) - 1 / 3) * f[i] for i, t in enumerate(episodes.support_y[b].tolist())) * LR / 6
            torch.testing.assert_close(end["head.weight"][b, j], row, rtol=0, atol=1e-14)
