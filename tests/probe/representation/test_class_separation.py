"""Cosines and NIL accuracy of every block before and after the inner loop, against loops over pairs of items."""

import math

import pytest
import torch

from mamlprobe.data.episodes import manifest
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.probe.adaptation.interventions import nil
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.class_separation import class_blocks, class_cosines
from tests.probe.cases import NETS, method, start


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


@pytest.mark.parametrize("adapts", ["*", "head.*", "body.*"])
@pytest.mark.parametrize("name", NETS)
def test_all_pairs_of_every_block(classes, name, adapts):
    net, _ = NETS[name]
    theta, episodes, chosen = start(net), classes(query=3), method(adapts, steps=2)
    table = class_blocks(net, theta, episodes, chosen, chunk=2)
    assert list(table.columns) == ["task", "layer", "moment", "quantity", "value", "norm", "episodes"]
    assert len(table) == 3 * len(net.layers[:-1]) * 2 * 3
    assert set(table.episodes) == {manifest(episodes)}
    values = table.set_index(["task", "layer", "moment", "quantity"]).value
    path = adapt_tasks(net, theta, episodes, chosen)
    for moment, params in (("before", path[0]), ("after", path[-1])):
        query, support = (record(net, params, x) for x in (episodes.query_x, episodes.support_x))
        for layer in net.layers[:-1]:
            for b in range(3):
                rows, labels, own = query[layer][b], episodes.query_y[b].tolist(), episodes.support_y[b].tolist()
                pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
                for quantity, alike in (("same class", True), ("different classes", False)):
                    mine = [cosine(rows[i], rows[j]) for i, j in pairs if (labels[i] == labels[j]) is alike]
                    assert values[b, layer, moment, quantity] == pytest.approx(sum(mine) / len(mine), abs=1e-12)
                hits = 0
                for row, label in zip(rows, labels, strict=True):
                    weights = [math.exp(cosine(row, other)) for other in support[layer][b]]
                    scores = [sum(w for w, t in zip(weights, own, strict=True) if t == c) for c in range(3)]
                    hits += scores.index(max(scores)) == label
                assert values[b, layer, moment, "nil accuracy"] == pytest.approx(hits / 9, abs=1e-12)
    gone = (values[:, :, "after"] - values[:, :, "before"]).abs().max()
    assert gone == 0 if adapts == "head.*" else gone > 1e-3


def test_nil_accuracy_of_the_last_block_is_that_of_the_nil_variant(classes):
    net, _ = NETS["conv"]
    theta, episodes, chosen = start(net), classes(query=4), method(steps=2)
    table = class_blocks(net, theta, episodes, chosen)
    last = table[(table.layer == net.layers[-2]) & (table.moment == "before") & (table.quantity == "nil accuracy")]
    assert last.value.tolist() == pytest.approx(evaluate(net, theta, episodes, {"nil": nil(chosen)}).value.tolist())


def test_labels_need_no_order_and_a_lone_item_has_no_pair():
    features = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]]])
    same, different = class_cosines(features, torch.tensor([[0, 1, 0, 2]]))
    assert same.tolist() == [1.0]
    assert different.tolist() == [0.0]
    alone, _ = class_cosines(features[:, :2], torch.tensor([[0, 1]]))
    assert alone.isnan().all()
