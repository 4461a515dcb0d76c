"""Logits without a head: attention by cosine, and the prototype classifier that one zeroed step amounts to."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.readout import (
    READOUTS,
    class_means,
    cosine_attention,
    prototype_head,
    prototype_logits,
    relation_logits,
    siamese_logits,
    squared_distances,
)
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
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
    read = READOUTS["siamese"](SUPPORT, LABELS, QUERY, 3, {"siamese.weight": WEIGHT}, False)
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


class Relation(nn.Module):
    """The network of Sung et al. 2018 on pairs of maps, as torch's own layers."""

    def __init__(self, channels, padding, numbers):
        super().__init__()
        for layer, wide in (("layer1", 2 * channels), ("layer2", channels)):
            parts = [
                nn.Conv2d(wide, channels, 3, padding=padding),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            setattr(self, layer, nn.Sequential(*parts))
        self.fc1, self.fc2 = nn.Linear(numbers, 8), nn.Linear(8, 1)

    def forward(self, pairs):
        return torch.sigmoid(self.fc2(F.relu(self.fc1(self.layer2(self.layer1(pairs)).flatten(1)))))


def relations(channels, side):
    """A network with random values everywhere, and its state dict as theta's extra with an axis of tasks."""
    torch.manual_seed(0)
    padding, out = (1, side // 4) if side < 10 else (0, (side - 6) // 4)
    network = Relation(channels, padding, channels * out * out).double()
    for name, value in network.state_dict().items():
        if name.endswith(("1.weight", "1.bias", "running_mean")):
            value.add_(0.3 * torch.randn_like(value))
        if name.endswith("running_var"):
            value.add_(torch.rand_like(value))
    state = {f"relation.{n}": v[None] for n, v in network.state_dict().items() if "num_batches" not in n}
    return network, state


@pytest.mark.parametrize(("side", "running"), [(5, False), (5, True), (11, False), (11, True), (4, False)])
def test_relation_networks_score_pairs_of_maps(side, running):
    """A class is the sum of its support maps; norms see all pairs of a task, or the running moments."""
    network, state = relations(3, side)
    network.train(not running)
    support, query = draw(2, 7, 3 * side * side, seed=1), draw(2, 5, 3 * side * side, seed=2)
    found = relation_logits(support, LABELS, query, 3, state, running=running)
    for b in range(2):
        maps = [support[b][LABELS[b] == c].sum(0).reshape(3, side, side) for c in range(3)]
        pairs = [torch.cat([each, q.reshape(3, side, side)]) for q in query[b] for each in maps]
        with torch.no_grad():
            before = {n: v.clone() for n, v in network.state_dict().items()}
            wanted = network(torch.stack(pairs)).reshape(5, 3)
            network.load_state_dict(before)
        torch.testing.assert_close(torch.sigmoid(found[b]), wanted, rtol=1e-9, atol=1e-11)
    read = READOUTS["relation"](support, LABELS, query, 3, state, running)
    assert torch.equal(read, found)
    by_task = {name: torch.cat([value, 2 * value]) for name, value in state.items()}
    both = relation_logits(support, LABELS, query, 3, by_task, running=running)
    assert torch.equal(both[0], found[0])
    assert not torch.allclose(both[1], found[1])


def test_relation_networks_have_a_gradient():
    """By differences, along all weights and the maps at once."""
    _, state = relations(2, 5)
    support, query = draw(2, 7, 50, seed=1), draw(2, 5, 50, seed=2)
    along = {name: draw(*value.shape, seed=k) for k, (name, value) in enumerate(state.items())}

    def at(size):
        moved = {name: value + size * along[name] for name, value in state.items()}
        return relation_logits(support + size, LABELS, query, 3, moved).square().mean()

    size = torch.zeros((), dtype=torch.float64, requires_grad=True)
    slope = float(torch.autograd.grad(at(size), size)[0])
    assert slope == pytest.approx(float(at(1e-6) - at(-1e-6)) / 2e-6, rel=1e-5)
    assert abs(slope) > 1e-3


def test_relation_networks_that_do_not_fit_are_told_in_one_line():
    _, state = relations(2, 5)
    with pytest.raises(UserError, match="readout relation needs a relation network, got none in theta"):
        relation_logits(SUPPORT, LABELS, QUERY, 3, {})
    with pytest.raises(UserError, match=r"features must be square maps of 2 channels .* got 4 features"):
        relation_logits(draw(2, 7, 4), LABELS, draw(2, 5, 4), 3, state)


IMAGE = (1, 20, 20)


def maps_module():
    torch.manual_seed(1)
    parts = [
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
    ]
    return wrap(nn.Sequential(*parts, nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(100, 3)), "7")


@pytest.mark.parametrize("kind", ["built", "module"])
def test_a_relation_network_of_a_net_is_that_of_its_maps(kind, classes):
    """Its slope by differences, through the encoder and the network; maps of 5 by 5."""
    method = replace(METHODS["protonet"], readout="relation")
    net = conv4(way=3, filters=4, blocks=2, image=IMAGE) if kind == "built" else maps_module()
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    assert list(theta.extra["relation.layer1.0.weight"].shape) == [4, 8, 3, 3]
    assert list(theta.extra["relation.fc1.weight"].shape) == [8, 4]
    theta = replace(theta, extra={n: v + 0.1 * draw(*v.shape, seed=3).abs() for n, v in theta.extra.items()})
    episodes = classes(shape=IMAGE)
    slopes, _ = meta_gradient(net, theta, episodes, method)
    for name in (next(iter(theta.net)), "extra.relation.layer2.0.weight", "extra.relation.fc1.weight"):
        value = theta.learned[name]
        along, losses = draw(*value.shape, seed=9), []
        for size in (1e-6, -1e-6):
            moved = {name.removeprefix("extra."): value + size * along}
            at = (
                replace(theta, net=theta.net | moved)
                if name in theta.net
                else replace(theta, extra=theta.extra | moved)
            )
            losses.append(float(meta_gradient(net, at, episodes, method)[1].loss))
        slope = float((slopes[name] * along).sum())
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(slope, rel=1e-4)
        assert abs(slope) > 1e-5


def test_relation_networks_refuse_what_they_cannot_compare():
    method = replace(METHODS["protonet"], readout="relation")
    with pytest.raises(UserError, match="needs features that are square maps of the last convolution"):
        init(NET, seed=0, method=method)
    with pytest.raises(UserError, match="norms of a relation network go by the pairs"):
        replace(method, norm=Norm(statistics="support"))
