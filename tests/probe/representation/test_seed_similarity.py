"""Many models against one another: each number against the pair of models it comes from."""

import pandas as pd
import pytest

from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
from mamlprobe.probe.representation.seed_similarity import across, gap, moved
from tests.probe.cases import NETS, method, start

MEASURES = ("cka_debiased",)
NET = NETS["mlp"][0]


@pytest.fixture(scope="module")
def models():
    return {
        (name, seed): Model(net=NET, theta=start(NET, seed=10 * n + seed), method=method(steps=2))
        for n, name in enumerate(("a", "b"))
        for seed in (0, 1, 2)
    }


def test_both_ways_round_are_averaged_and_the_body_is_the_mean_of_its_layers(models, classes):
    episodes = classes(tasks=2, shot=3, query=4)
    rows = across(models, {"a-b": [("a", "b"), ("b", "a")], "a-a": [("a", "a")]}, episodes, measures=MEASURES)
    assert set(rows["seeds"]) == {"0, 1", "0, 2", "1, 2"}
    ways = [(("a", 0), ("b", 2)), (("b", 0), ("a", 2))]
    tables = [pair_similarity(models[one], models[two], episodes, measures=MEASURES) for one, two in ways]
    by_hand = pd.concat(tables).groupby(["layer", "moment", "task"])["value"].mean()
    mine = rows[(rows["pair"] == "a-b") & (rows["seeds"] == "0, 2")].set_index(["layer", "moment", "task"])["value"]
    for layer in NET.layers:
        pd.testing.assert_series_equal(mine.loc[layer].sort_index(), by_hand.loc[layer].sort_index())
    body = by_hand[by_hand.index.get_level_values("layer") != "head"].groupby(["moment", "task"]).mean()
    pd.testing.assert_series_equal(mine.loc["body"].sort_index(), body)


def test_gaps_and_moves_by_hand():
    keys = {"seeds": "0, 1", "measure": "m", "task": 0, "features": "f", "norm": "batch", "episodes": "e"}
    rows = pd.DataFrame([
        {**keys, "pair": "x", "moment": "before", "layer": "body", "value": 0.5},
        {**keys, "pair": "y", "moment": "before", "layer": "body", "value": 0.7},
        {**keys, "pair": "z", "moment": "before", "layer": "body", "value": 0.9},
        {**keys, "pair": "x", "moment": "before", "layer": "conv1", "value": 0.4},
        {**keys, "pair": "x", "moment": "after", "layer": "conv1", "value": 0.1},
        {**keys, "pair": "x", "moment": "before", "layer": "conv2", "value": 0.4},
        {**keys, "pair": "x", "moment": "after", "layer": "conv2", "value": 0.5},
        {**keys, "pair": "x", "moment": "before", "layer": "head", "value": 0.0},
        {**keys, "pair": "x", "moment": "after", "layer": "head", "value": 1.0},
    ])  # fmt: skip
    found = gap(rows, "x", "y", "z")
    assert found["value"].tolist() == pytest.approx([-0.3])
    assert found["pair"].tolist() == ["x - y and z"]
    shift = moved(rows)
    assert shift[["layer", "moment"]].to_numpy().tolist() == [["body", "after"]]
    assert shift["value"].tolist() == pytest.approx([0.2])
