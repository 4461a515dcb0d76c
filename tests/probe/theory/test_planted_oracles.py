"""Heads on a body that stays: closed forms against least squares, gradient descent and known spectra."""

import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.data.planted import Planted
from mamlprobe.probe.theory.planted_oracles import FLOOR, RIDGE, WHOLE, fixed_body_floor, planted_oracles, ridge_head


def normal(*shape, word="x"):
    return torch.randn(*shape, generator=generator(0, word), dtype=torch.float64)


@pytest.fixture
def tasks():
    net = mp.mlp(inputs=3, way=1, hidden=(6, 4), activation="tanh")
    params = net.init(generator(1, "init"))[0]
    words = {"split": "train", "shot": 30, "query": 7, "tasks": 3, "seed": 0}
    return net, {n: v.double() for n, v in params.items()}, Planted(dial=0.5, inputs=3, units=1).sample(**words)


def test_the_head_is_that_of_least_squares_with_rows_for_the_ridge(tasks):
    net, params, episodes = tasks
    ridge = 0.3
    found = ridge_head(net, params, double(episodes), ridge=ridge)
    for task in range(3):
        support, query = (
            torch.cat([net({n: v[None] for n, v in params.items()}, x[None]).features[0], torch.ones(len(x), 1)], 1)
            for x in (episodes.support_x[task].double(), episodes.query_x[task].double())
        )
        rows = torch.cat([support, ridge**0.5 * torch.eye(5, dtype=torch.float64)])
        targets = torch.cat([episodes.support_y[task].double(), torch.zeros(5, 1)])
        head = torch.linalg.lstsq(rows, targets).solution
        wanted = (query @ head - episodes.query_y[task].double()).square().mean()
        assert float(found[task]) == pytest.approx(float(wanted), rel=1e-9)


def double(episodes):
    return mp.Episodes(
        **{n: v.double() for n, v in vars(episodes).items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    )


def test_parameters_with_a_task_axis_are_each_tasks_own(tasks):
    net, params, episodes = tasks
    own = {n: torch.stack([v, v + 0.1, v - 0.2]) for n, v in params.items()}
    together = ridge_head(net, own, double(episodes))
    for task in range(3):
        alone = ridge_head(net, {n: v[task] for n, v in own.items()}, double(episodes))
        assert float(together[task]) == pytest.approx(float(alone[task]), rel=1e-9)


def test_class_labels_and_a_ridge_of_nothing_are_refused(tasks):
    net, params, episodes = tasks
    labels = torch.zeros(3, 30, dtype=torch.int64)
    with pytest.raises(UserError, match=r"^ridge_head: ridge must be positive, got 0; use 1e-6"):
        ridge_head(net, params, episodes, ridge=0)
    words = {"support_x": episodes.support_x, "query_x": episodes.query_x}
    classes = mp.Episodes(**words, support_y=labels, query_y=labels[:, :7])
    with pytest.raises(UserError, match=r"^ridge_head: targets must be real, got int64; take tasks of regression"):
        ridge_head(net, params, classes)


def test_the_floor_is_the_tail_of_a_known_spectrum():
    left, right = (torch.linalg.qr(normal(size, 5, word=str(size)))[0] for size in (40, 30))
    values = left @ torch.diag(torch.tensor([5.0, 4, 3, 2, 1], dtype=torch.float64)) @ right.mT
    for width, tail in ((0, 16 + 9 + 4 + 1), (1, 9 + 4 + 1), (3, 1), (4, 0), (40, 0)):
        assert fixed_body_floor(values, width) == pytest.approx(tail / 1200, abs=1e-12)
        assert fixed_body_floor(values.mT, width) == pytest.approx(tail / 1200, abs=1e-12)


def test_no_body_comes_below_the_floor():
    values = normal(50, 3, word="a") @ normal(3, 20, word="b") + 0.3 * normal(50, 20, word="c")
    for trial in range(20):
        features = torch.cat([normal(20, 2, word=f"body {trial}"), torch.ones(20, 1, dtype=torch.float64)], 1)
        heads = torch.linalg.lstsq(features, values.mT).solution
        assert float((features @ heads - values.mT).square().mean()) >= fixed_body_floor(values, 2)


def test_a_width_below_none_is_refused():
    with pytest.raises(UserError, match=r"^fixed_body_floor: width must not be negative, got -1"):
        fixed_body_floor(torch.ones(2, 2), -1)


@pytest.mark.parametrize("dial", [0, 1])
def test_oracles_tell_the_ends_apart(dial):
    source = Planted(dial=dial)
    episodes = source.sample(split="test", shot=100, query=50, tasks=10, seed=0)
    maml = mp.METHODS["maml"]
    method = mp.Method(loss="mse", inner=mp.Inner(lr=0.5), norm=maml.norm)
    table = planted_oracles(source, episodes, method, sample=200)
    assert list(table.groupby("quantity", sort=False).size().items()) == [(RIDGE, 10), (WHOLE, 10), (FLOOR, 5)]
    found = table.groupby("quantity")["value"].mean()
    if dial == 0:
        assert found[RIDGE] < 1e-6
        assert found[FLOOR] < 1e-12
    else:
        assert found[RIDGE] > 0.8
        assert found[FLOOR] > 0.6
        assert table[table["quantity"] == FLOOR]["value"].nunique() == 5
    assert found[WHOLE] < 0.25
