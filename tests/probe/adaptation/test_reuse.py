"""The four probes of reuse in one table, against each of them asked alone; their order along a dial."""

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.data.planted import Planted
from mamlprobe.learn.evaluate import query_table
from mamlprobe.probe.adaptation.interventions import only
from mamlprobe.probe.adaptation.reuse import BEFORE, CCA, CKA, FREEZING, FROZEN, SIGNS, WAY, WHOLE, orders, reuse
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.representation.layer_similarity import similarity

METHOD = mp.Method(loss="mse", inner=mp.Inner(steps=2, test_steps=3, lr=0.3))


@pytest.fixture(scope="module")
def case():
    source = Planted(dial=0.5, inputs=4, units=2)
    net = mp.mlp(inputs=4, way=1, hidden=(5, 3), activation="tanh")
    episodes = source.sample(split="test", shot=20, query=30, tasks=4, seed=0)
    return net, mp.init(net, seed=0, method=METHOD), episodes


@pytest.fixture(scope="module")
def told(case):
    return reuse(*case, METHOD, quantity="loss")


def of(told, quantity):
    return told[told["quantity"] == quantity].sort_values("task")["value"].to_numpy()


def test_a_row_a_task_and_quantity(told):
    assert list(told.columns) == ["task", "quantity", "value", "norm", "episodes"]
    assert set(told["quantity"]) == {BEFORE, FROZEN, WHOLE, *SIGNS}
    assert (told.groupby("quantity")["task"].nunique() == 4).all()
    assert len(told) == 28


def test_losses_are_those_of_the_variants(case, told):
    table = query_table(*case, {"all": METHOD, "head": only(METHOD, "head.*")}, quantity="loss", steps="every")
    alone = table.pivot_table("value", "task", ["variant", "step"])
    for name, column in ((BEFORE, ("all", 0)), (WHOLE, ("all", 3)), (FROZEN, ("head", 3))):
        assert of(told, name) == pytest.approx(alone[column].to_numpy(), rel=1e-6)
    assert of(told, FREEZING) == pytest.approx((alone["head", 3] - alone["all", 3]).to_numpy(), rel=1e-5)


def test_similarity_is_the_mean_over_body_layers(case, told):
    for measure, name in (("cca_mean", CCA), ("cka_debiased", CKA)):
        found = similarity(*case, METHOD, measures=(measure,), steps=(3,), layers=("fc1", "fc2"))
        wide = found.pivot_table("value", "task", "layer")
        assert of(told, name) == pytest.approx(((wide["fc1"] + wide["fc2"]) / 2).to_numpy())


def test_the_way_is_shared_by_squares(case, told):
    found = weight_distance(*case, METHOD)
    wide = found[found["quantity"] == "distance"].pivot_table("value", "task", "layer")
    body, head = wide["fc1"] ** 2 + wide["fc2"] ** 2, wide["head"] ** 2
    assert of(told, WAY) == pytest.approx((body / (body + head)).to_numpy())


def test_an_inner_loop_of_the_head_alone_is_all_reuse(case):
    told = reuse(*case, only(METHOD, "head.*"), quantity="loss")
    assert of(told, FREEZING) == pytest.approx([0, 0, 0, 0], abs=1e-9)
    assert of(told, WAY) == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert of(told, CCA) == pytest.approx([1, 1, 1, 1])


def test_freezing_costs_accuracy_where_that_is_the_quantity(case):
    net = mp.mlp(inputs=4, way=2, hidden=(5,), activation="tanh")
    episodes = case[2]
    labels = {side: (getattr(episodes, f"{side}_y")[..., 0] > 0).long() for side in ("support", "query")}
    words = {"support_x": episodes.support_x, "query_x": episodes.query_x}
    classes = mp.Episodes(**words, support_y=labels["support"], query_y=labels["query"])
    method = mp.Method(inner=mp.Inner(steps=1, test_steps=5, lr=0.5))
    told = reuse(net, mp.init(net, seed=0, method=method), classes, method, quantity="accuracy")
    assert of(told, FREEZING) == pytest.approx(of(told, WHOLE) - of(told, FROZEN))
    assert abs(of(told, FREEZING)).max() > 0


def test_orders_are_rank_correlations_in_the_probes_directions():
    dials = [0.0, 0.2, 0.5, 1.0]
    values = {FREEZING: [0, 1, 5, 6], CCA: [0.9, 0.8, 0.2, 0.1], CKA: [0.1, 0.2, 0.3, 0.4], WAY: [1, 3, 2, 4]}
    rows = pd.concat([pd.DataFrame({"dial": dials, "quantity": name, "value": v}) for name, v in values.items()])
    found = orders(rows, by="dial").set_index("quantity")["value"]
    wanted = {FREEZING: 1, CCA: 1, CKA: -1, WAY: 1 - 6 * 2 / (4 * 15)}
    assert found.to_dict() == pytest.approx(wanted)
    assert set(orders(rows[rows["quantity"] == WAY], by="dial")["quantity"]) == {WAY}
