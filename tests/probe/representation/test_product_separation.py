"""Inner products of features, against the twin row by row, and two measures of them, against loops over pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.probe.representation.product_separation import auc, product_maps, products, separation, separation_table
from tests.probe.cases import NETS, features, method, start


def by_twin(name, theta, episodes, chosen, norm="batch"):
    """Products [n_q, n_s] by moment and task, features from the twin."""
    net, twin = NETS[name]
    path, found = adapt_tasks(net, theta, episodes, chosen), {}
    for moment, place in (("before", 0), ("after", -1)):
        for task in range(episodes.tasks):
            weights = {n: v[task].detach() for n, v in path[place].items()}
            support = features(twin, weights, episodes.support_x[task])
            given = episodes.support_x[task] if norm == "support" else None
            query = features(twin, weights, episodes.query_x[task], given)
            found[moment, task] = np.array([[float((q * s).sum()) for s in support] for q in query])
    return found


@pytest.mark.parametrize("norm", ["batch", "support"])
@pytest.mark.parametrize("name", NETS)
def test_products_are_those_of_the_twin(name, norm, classes):
    theta, episodes, chosen = start(NETS[name][0]), classes(tasks=2, query=3), method(steps=2, norm=norm)
    found, wanted = products(NETS[name][0], theta, episodes, chosen), by_twin(name, theta, episodes, chosen, norm)
    for (moment, task), value in wanted.items():
        np.testing.assert_allclose(found[moment][task], value, rtol=1e-9, atol=1e-12)
    assert (found["after"] - found["before"]).abs().max() > 1e-3


def test_maps_are_sorted_by_class(classes):
    net = NETS["conv"][0]
    episodes = classes(tasks=2, shot=2, query=3)
    mixed = torch.tensor([[8, 1, 5, 0, 3, 2, 7, 6, 4]]).expand(2, -1)
    shuffled = replace(
        episodes,
        query_y=episodes.query_y.gather(1, mixed),
        query_x=torch.stack([x[order] for x, order in zip(episodes.query_x, mixed, strict=True)]),
    )
    theta, chosen = start(net), method(steps=1)
    table, found = product_maps(net, theta, shuffled, chosen), products(net, theta, shuffled, chosen)
    assert set(table["episodes"]) == {manifest(shuffled)}
    for row in table.sample(60, random_state=0).itertuples():
        query = np.sort(shuffled.query_y[row.task])[row.row]
        place = [m for m in range(9) if shuffled.query_y[row.task, m] == query][row.row - 3 * query]
        assert (row.query_label, row.support_label) == (query, row.column // 2)
        assert row.value == pytest.approx(float(found[row.moment][row.task, place, row.column]))
    for _, each in table.groupby(["task", "moment"]):
        np.testing.assert_allclose([each["z"].mean(), each["z"].std(ddof=0)], [0, 1], atol=1e-12)
        assert np.corrcoef(each["z"], each["value"])[0, 1] == pytest.approx(1)


def test_measures_are_those_of_loops_over_pairs():
    generator = torch.Generator().manual_seed(0)
    above, below = (torch.randint(-3, 4, (n,), generator=generator).double() for n in (7, 11))
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in above for b in below]
    assert 0.5 in wins
    assert auc(above, below) == pytest.approx(sum(wins) / len(wins))
    spread = math.sqrt((6 * np.var(above.numpy(), ddof=1) + 10 * np.var(below.numpy(), ddof=1)) / 16)
    assert separation(above, below) == pytest.approx((np.mean(above.numpy()) - np.mean(below.numpy())) / spread)
    assert auc(above + 10, below) == 1
    assert math.isnan(separation(torch.ones(3), torch.ones(4)))


def test_table_takes_pairs_of_one_class_against_the_others(classes):
    net, episodes = NETS["conv"][0], classes(tasks=2, shot=2, query=3)
    theta, chosen = start(net), method(steps=2)
    table = separation_table(net, theta, episodes, chosen).set_index(["task", "moment", "quantity"])["value"]
    for (moment, task), value in by_twin("conv", theta, episodes, chosen).items():
        parts = {True: [], False: []}
        for m, i in np.ndindex(*value.shape):
            parts[m // 3 == i // 2].append(value[m, i])
        for quantity, measure in (("separation", separation), ("auc", auc)):
            wanted = measure(*(torch.tensor(parts[word]) for word in (True, False)))
            assert table[task, moment, quantity] == pytest.approx(wanted, rel=1e-9)


def test_features_that_are_not_finite_have_no_value(classes):
    net, episodes = NETS["conv"][0], classes(tasks=2)
    x = episodes.support_x.clone()
    x[1] = torch.nan
    found = separation_table(net, start(net), replace(episodes, support_x=x), method()).groupby("task")["value"]
    assert found.apply(lambda value: value.isna().all()).tolist() == [False, True]


def test_pairs_of_both_kinds_must_be_there(classes):
    net, episodes = NETS["conv"][0], classes(tasks=2)
    alike = replace(
        episodes, support_y=torch.zeros_like(episodes.support_y), query_y=torch.zeros_like(episodes.query_y)
    )
    message = (
        r"separation: there must be pairs of one class and of different classes, got task 0 has only the former; cho"
    )
    with pytest.raises(UserError, match=message):
        separation_table(net, start(net), alike, method())
