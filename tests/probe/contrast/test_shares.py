"""The table of shares, norms and pair coefficients, each number computed once more."""

import math

import pandas as pd
import pytest
import torch

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.probe.contrast.shares import contrast_table
from tests.probe.cases import NETS, body_of, method, start

COLUMNS = ["task", "quantity", "part", "value", "order", "loss", "steps", "norm", "episodes"]


def value(table, task, quantity, part):
    row = table[(table.task == task) & (table.quantity == quantity) & (table.part == part)]
    assert len(row) == 1
    return float(row.value.iloc[0])


CASES = [
    method("head.*", steps=2),
    method(steps=3, loss="mse", norm="support"),
    method("head.*", order=2, steps=2, head="zero_each_update"),
    method(order=2, steps=1),
]


@pytest.mark.parametrize("chosen", CASES, ids=["first", "first-full-mse", "second-zeroed", "second-full"])
def test_every_number_again(classes, chosen):
    net, _ = NETS["mlp"]
    theta, episodes = start(net, head=4.0), classes()
    table = contrast_table(net, theta, episodes, chosen)
    found = decompose(net, theta, episodes, chosen)
    assert list(table.columns) == COLUMNS
    assert len(table) == episodes.tasks * (2 * len(found.terms) + 4)
    for task in range(episodes.tasks):
        whole = body_of(meta_gradient(net, theta, episodes.task(task), chosen)[0])
        size = sum(float(g.square().sum()) for g in whole.values())
        shares = 0.0
        for term, gradient in found.terms.items():
            along = sum(float((gradient[n][task] * whole[n]).sum()) for n in whole)
            norm = math.sqrt(sum(float(gradient[n][task].square().sum()) for n in whole))
            assert value(table, task, "share", term) == pytest.approx(along / size, abs=1e-10)
            assert value(table, task, "norm", term) == pytest.approx(norm, abs=1e-10)
            shares += value(table, task, "share", term)
        assert shares == pytest.approx(1, abs=1e-12)
        assert value(table, task, "norm", "total") == pytest.approx(math.sqrt(size), rel=1e-10)
        same, other = [], []
        for i, t in enumerate(episodes.support_y[task].tolist()):
            for m, u in enumerate(episodes.query_y[task].tolist()):
                (same if t == u else other).append(float(found.clean[task, i, m] + found.noise[task, i, m]))
        assert value(table, task, "coefficient", "same") == pytest.approx(sum(same) / len(same), abs=1e-12)
        assert value(table, task, "coefficient", "different") == pytest.approx(sum(other) / len(other), abs=1e-12)
        attracted = sum(c < 0 for c in other) / len(other)
        assert value(table, task, "attracted", "different") == pytest.approx(attracted, abs=1e-12)
    fixed = table.drop(columns=["task", "quantity", "part", "value"]).drop_duplicates()
    assert fixed.to_dict("records") == [
        {
            "order": chosen.inner.order,
            "loss": chosen.loss,
            "steps": chosen.inner.steps,
            "norm": chosen.norm.statistics,
            "episodes": manifest(episodes),
        }
    ]


def test_a_big_head_attracts_different_classes(classes):
    net, _ = NETS["mlp"]
    table = contrast_table(net, start(net, head=8.0), classes(), method("head.*"))
    assert table[table.quantity == "attracted"].value.between(0.05, 0.95).all()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("lr", [0.3, 30.0])
def test_rounding_does_not_attract(classes, precision, lr):
    """From a zeroed head one step attracts no different classes, also where predictions are all but certain."""
    net = mlp(inputs=64, way=3, hidden=(8,))
    theta = start(net).to(dtype=precision)
    episodes = classes(shot=3, query=3).to(dtype=precision)
    found = decompose(net, theta, episodes, method("head.*", head="zero_each_update", lr=lr))
    pairs = (found.clean + found.noise)[~found.same]
    if lr > 1 and precision == torch.float32:
        assert (pairs < 0).any()  # the sum of three products is not exactly the probability
    table = contrast_table(net, theta, episodes, method("head.*", head="zero_each_update", lr=lr))
    assert (table[table.quantity == "attracted"].value == 0).all()
    assert table.value.dtype == "float64"


def test_one_class_has_no_different_pairs(classes):
    net = mlp(inputs=64, way=2, hidden=(4,), activation="tanh")
    one = classes(way=1)
    episodes = Episodes(**{n: getattr(one, n) for n in ("support_x", "support_y", "query_x", "query_y")})
    table = contrast_table(net, start(net), episodes, method("head.*"))
    other = table[table.part.eq("different")]
    assert len(other) == 2 * episodes.tasks
    assert other.value.isna().all()
    assert not table[~table.part.eq("different")].value.isna().any()
    assert isinstance(table, pd.DataFrame)
