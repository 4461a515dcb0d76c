"""Logits without a head: attention by cosine, and the prototype classifier that one zeroed step amounts to."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.readout import (
    READOUTS,
    class_means,
    cosine_attention,
    prototype_head,
    prototype_logits,
    siamese_logits,
    squared_distances,
)
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.mlp import mlp
from tests.oracles import TwinMlp, close, forward

NET = mlp(inputs=9, way=3, hidden=(5, 4), activation="tanh", norm="batch")
TWIN = TwinMlp((9, 5, 4), 3, "tanh", True).double()
LR = 0.8


def draw(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def zeroed_anil(order=2, steps=1, norm="batch"):
    inner = Inner(steps=steps, test_steps=steps, lr=LR, adapts=("head.*",), order=order)
    return Method(inner=inner, head="zero_each_update", norm=Norm(statistics=norm))


def by_prototypes(theta, episodes, norm="batch"):
    """Query losses of the prototype classifier on the twin's features, and their mean's gradient by body parameter."""
    live = {n: v.clone().requires_grad_() for n, v in theta.net.items() if not n.startswith("head.")}
    blank = {"head.weight": torch.eye(4).double(), "head.bias": torch.zeros(4).double()}
    losses = []
    for b in range(episodes.tasks):
        sx, qx = episodes.support_x[b], episodes.query_x[b]
        support = forward(TWIN, {**live, **blank}, sx)
        query = forward(TWIN, {**live, **blank}, qx, sx if norm == "support" else None)
        logits = prototype_logits(support[None], episodes.support_y[b : b + 1], query[None], way=3, lr=LR)
        losses.append(F.cross_entropy(logits[0], episodes.query_y[b]))
    mean = torch.stack(losses).mean()
    return torch.stack(losses).detach(), dict(zip(live, torch.autograd.grad(mean, list(live.values()))))


def start(seed=0):
    theta = init(NET, seed=seed).to(dtype=torch.float64)
    return type(theta)(net={n: v + 0.2 * draw(*v.shape, seed=i) for i, (n, v) in enumerate(theta.net.items())})


def shuffled(episodes, keep):
    """The same tasks with some support rows, in another order."""
    return Episodes(
        support_x=episodes.support_x[:, keep],
        support_y=episodes.support_y[:, keep],
        query_x=episodes.query_x,
        query_y=episodes.query_y,
    )


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("shot", [1, 3])
def test_one_step_from_a_zeroed_head_is_the_prototype_classifier(classes, shot, norm):
    """D2: the outer loss and its whole gradient, with temperature N / lr."""
    theta, episodes = start(), classes(shape=(3, 3), shot=shot, query=4)
    gradients, readings = meta_gradient(NET, theta, episodes, zeroed_anil(norm=norm))
    losses, wanted = by_prototypes(theta, episodes, norm)
    torch.testing.assert_close(readings.losses, losses, rtol=0, atol=1e-12)
    close({n: gradients[n] for n in wanted}, wanted, 1e-11)
    assert max(float(g.abs().max()) for g in wanted.values()) > 1e-2


def test_the_order_of_the_support_rows_is_of_no_account(classes):
    theta, episodes = start(), shuffled(classes(shape=(3, 3)), [5, 0, 3, 2, 1, 4])
    gradients, readings = meta_gradient(NET, theta, episodes, zeroed_anil())
    losses, wanted = by_prototypes(theta, episodes)
    torch.testing.assert_close(readings.losses, losses, rtol=0, atol=1e-12)
    close({n: gradients[n] for n in wanted}, wanted, 1e-11)


@pytest.mark.parametrize(
    ("keep", "order", "steps"),
    [([0, 1, 2, 4], 2, 1), (range(6), 1, 1), (range(6), 2, 2)],
    ids=["unbalanced", "first order", "two steps"],
)
def test_it_is_not_the_prototype_classifier_otherwise(classes, keep, order, steps):
    theta, episodes = start(), shuffled(classes(shape=(3, 3)), list(keep))
    gradients, readings = meta_gradient(NET, theta, episodes, zeroed_anil(order, steps))
    losses, wanted = by_prototypes(theta, episodes)
    if order == 2:
        assert (readings.losses - losses).abs().min() > 1e-3
    assert max(float((gradients[n] - wanted[n]).abs().max()) for n in wanted) > 1e-3


def test_unbalanced_the_frequencies_come_in(classes):
    """Logits lr * share_j <c_j, f(q)> + lr (share_j - 1/N), up to what all classes have in common."""
    theta, episodes = start(), shuffled(classes(shape=(3, 3)), [0, 1, 2, 4])
    _, readings = meta_gradient(NET, theta, episodes, zeroed_anil())
    weights = {**theta.net, "head.weight": torch.eye(4).double(), "head.bias": torch.zeros(4).double()}
    share = torch.tensor([2, 1, 1]).double() / 4
    for b in range(episodes.tasks):
        support, query = (forward(TWIN, weights, x[b]) for x in (episodes.support_x, episodes.query_x))
        plain = prototype_logits(support[None], episodes.support_y[b : b + 1], query[None], way=3, lr=LR)[0]
        logits = plain * 3 * share + LR * (share - 1 / 3)
        assert float(readings.losses[b]) == pytest.approx(
            float(F.cross_entropy(logits, episodes.query_y[b])), abs=1e-12
        )


def test_prototypes_by_loops():
    support, query, labels = draw(2, 5, 4), draw(2, 3, 4, seed=1), torch.tensor([[0, 0, 1, 2, 2], [2, 1, 0, 2, 1]])
    found = prototype_logits(support, labels, query, way=3, lr=LR)
    assert found.shape == (2, 3, 3)
    for b in range(2):
        for j in range(3):
            mine = [support[b, i] for i in range(5) if labels[b, i] == j]
            centre = sum(mine) / len(mine)
            for m in range(3):
                assert float(found[b, m, j]) * 3 / LR == pytest.approx(float(centre @ query[b, m]), abs=1e-12)


def test_attention_by_loops():
    support, query, labels = draw(2, 5, 4), draw(2, 3, 4, seed=1), torch.tensor([[0, 0, 1, 2, 2], [2, 1, 0, 2, 1]])
    found = cosine_attention(support, labels, query, 3)
    assert found.shape == (2, 3, 3)
    for b in range(2):
        for m in range(3):
            q = query[b, m]
            powers = [math.exp(float(q @ s) / math.sqrt(float(q @ q) * float(s @ s))) for s in support[b]]
            for j in range(3):
                mine = sum(power for power, label in zip(powers, labels[b].tolist()) if label == j)
                assert math.exp(float(found[b, m, j])) == pytest.approx(mine / sum(powers), abs=1e-12)


def test_attention_sums_to_one_and_forgets_lengths():
    support, query, labels = draw(1, 6, 4), draw(1, 5, 4, seed=1), torch.tensor([[0, 0, 1, 1, 2, 2]])
    found = cosine_attention(support, labels, query, 3)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(1, 5).double(), rtol=0, atol=1e-12)
    lengths = draw(1, 6, 1, seed=2).exp()
    torch.testing.assert_close(cosine_attention(support * lengths, labels, query * 7, 3), found, rtol=0, atol=1e-12)


def test_a_class_without_support_has_no_chance():
    found = cosine_attention(draw(1, 2, 4), torch.tensor([[0, 2]]), draw(1, 5, 4, seed=1), 3)
    assert (found[..., 1] == -math.inf).all()
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(1, 5).double(), rtol=0, atol=1e-12)


def test_class_means_are_those_of_the_rows_of_each_class():
    rows, labels = draw(2, 7, 4), torch.tensor([[0, 2, 0, 1, 2, 2, 0], [1, 1, 0, 0, 0, 0, 0]])
    found = class_means(rows, labels, 3)
    for task in range(2):
        for label in range(3):
            own = rows[task][labels[task] == label]
            wanted = own.mean(0) if len(own) else torch.full((4,), math.nan, dtype=torch.float64)
            torch.testing.assert_close(found[task, label], wanted, rtol=1e-12, atol=1e-14, equal_nan=True)


LABELS = torch.tensor([[2, 0, 1, 0, 2, 0, 1], [0, 0, 1, 2, 2, 2, 1]])


SUPPORT, QUERY, WEIGHT = draw(2, 7, 4), draw(2, 5, 4, seed=1), draw(2, 4, seed=2)


def by_class(score, join) -> Tensor:
    """Logits [2, 5, 3] by loops: `score` of a query and a support row of task b, joined over the rows of a class."""
    rows = torch.zeros(2, 5, 3).double()
    for b in range(2):
        for q in range(5):
            for c in range(3):
                members = [s for s in range(7) if LABELS[b, s] == c]
                rows[b, q, c] = join([score(b, QUERY[b, q], SUPPORT[b, s]) for s in members])
    return rows


def mean(values):
    return sum(values) / len(values)


def test_siamese_logits():
    wanted = by_class(lambda b, q, s: -(WEIGHT[b] * (q - s).abs()).sum(), mean)
    torch.testing.assert_close(siamese_logits(SUPPORT, LABELS, QUERY, 3, WEIGHT), wanted)
    shared = by_class(lambda b, q, s: -(WEIGHT[0] * (q - s).abs()).sum(), mean)
    torch.testing.assert_close(siamese_logits(SUPPORT, LABELS, QUERY, 3, WEIGHT[:1]), shared)
    read = READOUTS["siamese"](SUPPORT, LABELS, QUERY, 3, {"siamese.weight": WEIGHT})
    torch.testing.assert_close(read, wanted)


def test_attention():
    cosines = by_class(lambda b, q, s: math.exp(q @ s / (q.norm() * s.norm())), sum)
    wanted = (cosines / cosines.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(cosine_attention(SUPPORT, LABELS, QUERY, 3), wanted)
    torch.testing.assert_close(READOUTS["cosine"](SUPPORT, LABELS, QUERY, 3, {}), wanted)


def test_distances_and_the_head_that_gives_them():
    """w = 2 c, b = -|c|^2: the same but for |f|^2, which the classes share."""
    wanted = torch.zeros(2, 5, 3).double()
    for b in range(2):
        for c in range(3):
            centre = mean([SUPPORT[b, s] for s in range(7) if LABELS[b, s] == c])
            wanted[b, :, c] = -torch.stack([((q - centre) ** 2).sum() for q in QUERY[b]])
    torch.testing.assert_close(squared_distances(SUPPORT, LABELS, QUERY, 3), wanted)
    torch.testing.assert_close(READOUTS["prototype"](SUPPORT, LABELS, QUERY, 3, {}), wanted)
    weight, bias = prototype_head(SUPPORT, LABELS, 3)
    logits = QUERY @ weight.mT + bias.unsqueeze(1)
    shared = QUERY.square().sum(-1, keepdim=True)
    torch.testing.assert_close(logits - shared, wanted)
