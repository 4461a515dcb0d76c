"""The averages by loops and finite differences, the orders one by one, and the expansion's own order of error."""

from itertools import permutations

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.theory.small_step_expansion import averages, expansion, in_every_order, predicted
from tests.oracles import TwinMlp, forward
from tests.probe.cases import start

K = 3


@pytest.fixture(params=["mse", "cross_entropy"])
def case(request, waves, classes):
    """Net, twin, start, episodes of two tasks with 3 mini-batches, loss, and the rows of each mini-batch."""
    if request.param == "mse":
        net, twin = mlp(inputs=2, way=1, hidden=(4, 3), activation="tanh"), TwinMlp((2, 4, 3), 1, "tanh", False)
        episodes, cut = waves(tasks=2, rows=6), [[0, 1], [2, 3], [4, 5]]
    else:
        net, twin = mlp(inputs=4, way=2, hidden=(4, 3), activation="tanh"), TwinMlp((4, 4, 3), 2, "tanh", False)
        episodes, cut = classes(tasks=2, way=2, shot=3, shape=(4,)), [[0, 3], [1, 4], [2, 5]]
    return net, twin.double(), start(net), episodes, request.param, cut


def slope(twin, weights, x, y, loss):
    """Gradient of the mean loss of rows, one vector."""
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    total = task_losses(forward(twin, leaves, x)[None], y[None], loss).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(leaves.values()))])


def moved(weights, vector, by):
    """The weights with `by` times the vector added."""
    parts = torch.split(vector, [value.numel() for value in weights.values()])
    return {n: w + by * part.reshape(w.shape) for (n, w), part in zip(weights.items(), parts, strict=True)}


def batch(episodes, task, rows):
    return episodes.support_x[task, rows], episodes.support_y[task, rows]


def test_averages_by_finite_differences(case):
    net, twin, theta, episodes, loss, cut = case
    slopes, bent, eps = [], [], 1e-5
    for task in range(2):
        own = [slope(twin, theta.net, *batch(episodes, task, rows), loss) for rows in cut]
        slopes += own
        for i, rows in enumerate(cut):
            for j in range(K):
                if i != j:
                    ends = [
                        slope(twin, moved(theta.net, own[j], s * eps), *batch(episodes, task, rows), loss)
                        for s in (1, -1)
                    ]
                    bent.append((ends[0] - ends[1]) / (2 * eps))
    mean, inner = averages(net, theta, episodes, batches=K, loss=loss)
    assert list(mean) == list(inner) == list(theta.net)
    flat, flat_inner = (torch.cat([v.flatten() for v in part.values()]) for part in (mean, inner))
    torch.testing.assert_close(flat, torch.stack(slopes).mean(0), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(flat_inner, torch.stack(bent).mean(0), rtol=1e-6, atol=1e-8)


def test_every_order_is_walked_as_by_hand(case):
    net, twin, theta, episodes, loss, cut = case
    rate, found = 0.05, []
    for task in range(2):
        for order in permutations(range(K)):
            weights = theta.net
            for i in order[:-1]:
                step = slope(twin, weights, *batch(episodes, task, cut[i]), loss)
                weights = moved(weights, step, -rate)
            found.append(slope(twin, weights, *batch(episodes, task, cut[order[-1]]), loss))
    first = Method(inner=Inner(steps=K - 1, lr=rate, order=1, batch=2), loss=loss)
    tasks = in_every_order(episodes, batches=K, held_out=True)
    assert (tasks.tasks, tasks.support_x.shape[1], tasks.query_x.shape[1]) == (12, 4, 2)
    gradients, _ = meta_gradient(net, theta, tasks, first)
    flat = torch.cat([gradients[name].flatten() for name in theta.net])
    torch.testing.assert_close(flat, torch.stack(found).mean(0), rtol=1e-10, atol=1e-12)
    whole = in_every_order(episodes, batches=K, held_out=False)
    assert whole.support_x.shape[:2] == (12, 6)
    assert torch.equal(whole.query_x, tasks.query_x)


def test_the_error_of_the_expansion_is_of_second_order(case):
    net, _, theta, episodes, loss, _ = case
    table = expansion(net, theta, episodes, batches=K, rates=[1e-3, 1e-4], loss=loss)
    assert list(table.columns) == ["rule", "batches", "rate", "quantity", "value", "predicted"]
    held = table.set_index(["rule", "quantity", "rate"])["value"]
    for rule, (first, second) in predicted(K).items():
        assert held[rule, "AvgGrad", 1e-4] == pytest.approx(first, rel=1e-5)
        assert held[rule, "AvgGradInner", 1e-4] == pytest.approx(second, rel=1e-2)
        assert 80 < held[rule, "residual", 1e-3] / held[rule, "residual", 1e-4] < 125


def test_predicted_for_two_mini_batches():
    assert predicted(2) == {"maml": (1, -2), "fomaml": (1, -1), "reptile": (2, -1)}


def test_what_does_not_fit_is_refused(waves, classes):
    net = mlp(inputs=2, way=1, hidden=(3,))
    with pytest.raises(UserError, match="at least 2 mini-batches, got 1"):
        expansion(net, start(net), waves(), batches=1, rates=[0.1])
    with pytest.raises(UserError, match="fall into 4 mini-batches, each with equally many of 1 classes, got 6 rows"):
        in_every_order(waves(rows=6), batches=4, held_out=True)
    with pytest.raises(UserError, match="equally many of 3 classes, got 6 rows"):
        averages(net, start(net), classes(way=3, shot=2), batches=3)


def test_items_of_a_class_stay_with_it(classes):
    episodes = classes(tasks=1, way=2, shot=4, shape=(1,))
    found = in_every_order(episodes, batches=2, held_out=True)
    assert isinstance(found, Episodes)
    x, y = episodes.support_x[0, :, 0], episodes.support_y[0]
    for task, (kept, last) in enumerate(([(0, 1), (2, 3)], [(2, 3), (0, 1)])):
        rows = [[4 * c + i for c in range(2) for i in part] for part in (kept, last)]
        assert torch.equal(found.support_x[task, :, 0], x[rows[0]])
        assert torch.equal(found.query_x[task, :, 0], x[rows[1]])
        assert torch.equal(found.query_y[task], y[rows[1]])
