"""Scores at other inner rates, against the prototype classifier at that temperature computed by hand."""

import math
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.probe.adaptation.temperature import rate_table
from tests.probe.cases import NETS, features, method, start

RATES = (0.01, 1.0, 30.0)


@pytest.mark.parametrize("name", NETS)
def test_a_rate_is_a_temperature(classes, name):
    net, twin = NETS[name]
    theta, episodes = start(net), classes(tasks=2, shot=2)
    chosen = method("head.*", head="zero_each_update", lr=0.2)
    table = rate_table(net, theta, episodes, chosen, rates=RATES)
    assert list(table.columns) == ["task", "quantity", "rate", "value", "norm", "episodes"]
    assert len(table) == episodes.tasks * (2 * 4 + 1)
    assert set(table["episodes"]) == {manifest(episodes)}
    for task in range(episodes.tasks):
        support, query = (features(twin, theta.net, x[task]) for x in (episodes.support_x, episodes.query_x))
        t, u = episodes.support_y[task].tolist(), episodes.query_y[task].tolist()
        means = [sum(s for s, k in zip(support, t, strict=True) if k == j) / t.count(j) for j in range(3)]
        rows = table[table["task"] == task].set_index(["quantity", "rate"])["value"]
        size = sum(float(q @ q) for q in query) / len(query) * 0.2 / 3
        assert rows["size", 0.2] == pytest.approx(math.log10(size), abs=1e-10)
        for rate in (*RATES, 0.2):
            logits = torch.tensor([[rate / 3 * float(c @ q) for c in means] for q in query])
            losses = [math.log(sum(math.exp(v - z[k]) for v in z)) for z, k in zip(logits.tolist(), u, strict=True)]
            assert rows["loss", rate] == pytest.approx(sum(losses) / len(u), rel=1e-5)
            hits = sum(int(z.argmax()) == k for z, k in zip(logits, u, strict=True))
            assert rows["accuracy", rate] == pytest.approx(100 * hits / len(u))


def test_a_rate_moves_accuracy_where_the_head_starts_somewhere(classes):
    net, _ = NETS["mlp"]
    theta, episodes, zeroed = start(net, head=3.0), classes(tasks=6), method("head.*", head="zero_at_test")
    for chosen, moves in ((zeroed, False), (replace(zeroed, head="keep"), True)):
        table = rate_table(net, theta, episodes, chosen, rates=(0.001, 0.1, 10.0))
        accuracy = table[table["quantity"] == "accuracy"].groupby("task")["value"]
        assert ((accuracy.max() - accuracy.min()).max() > 0) == moves


def test_negative_rates_are_refused(classes):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError, match="must not be negative, got -1"):
        rate_table(net, start(net), classes(), method(), rates=(-1.0,))
