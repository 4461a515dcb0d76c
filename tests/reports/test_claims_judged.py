"""Claims: which apply, the number they are about, and their verdicts."""

from dataclasses import replace

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.reports.claims_judged import RULES, judged

MAML, ANIL = mp.METHODS["maml"], mp.METHODS["anil"]


def differences(**values):
    rows = [
        {
            "learner": "a",
            "variant": name.replace("_1", ":1").replace("_2", ",2"),
            "quantity": "accuracy",
            "value": value,
        }
        for name, value in values.items()
    ]
    table = pd.DataFrame(rows)
    return table.assign(low=table["value"] - 0.01, high=table["value"] + 0.01, seeds=1, tasks=5)


def verdicts(method, **tables):
    return {(row["id"], row["claim"]): row for row in judged(tables, method)}


def test_frozen_bodies_are_judged_in_points():
    table = differences(zero_at_test=0.0, nil=-0.2, freeze_1=-0.5, freeze_1_2=-0.005)
    (row,) = (row for row in judged({"differences": table}, MAML) if row["id"] == "R2")
    assert (row["ours"], row["low"], row["high"]) == pytest.approx((-0.5, -1.5, 0.5))
    assert (row["bound"], row["side"], row["verdict"], row["unit"]) == (-2.0, "above", "holds", "points")
    worse = table.assign(**{name: table[name] - 0.05 for name in ("value", "low", "high")})
    assert [row["verdict"] for row in judged({"differences": worse}, MAML) if row["id"] == "R2"] == ["fails"]


def test_which_apply():
    table = differences(zero_at_test=0.0, nil=0.0, freeze_1=0.0)
    assert {row["id"] for row in judged({"differences": table}, MAML)} == {"R2", "K4"}
    assert {row["id"] for row in judged({"differences": table}, ANIL)} == {"R9", "K4"}
    zeroed = replace(MAML, head="zero_at_test")
    assert {row["id"] for row in judged({"differences": table}, zeroed)} == {"R2"}
    assert judged({"differences": table.assign(quantity="loss")}, MAML) == []
    assert judged({}, MAML) == []


def test_the_lowest_layer_of_the_body_is_judged():
    layers = [("conv1", 0.99), ("conv2", 0.95), ("conv3", None), ("head", 0.3)]
    rows = [
        {"measure": "cka_debiased", "layer": layer, "value": value, "low": value, "high": value}
        for layer, value in layers
    ]
    (row,) = judged({"similarity": pd.DataFrame(rows)}, MAML)
    assert (row["id"], row["ours"], row["verdict"]) == ("B3", 0.95, "holds")
    assert row["claim"].endswith("(lowest: conv2)")
    top = pd.DataFrame(rows).assign(measure="cca_top98")
    assert [(row["id"], row["ours"], row["verdict"]) for row in judged({"similarity": top}, MAML)] == [
        ("R3", 0.95, "holds"),
        ("R3", 0.3, "holds"),
    ]


def test_terms_of_the_gradient():
    rows = [("share", "contrastive", 0.6), ("share", "noise", 0.4), ("attracted", "different", 0.01)]
    table = pd.DataFrame(rows, columns=["quantity", "part", "value"])
    table = table.assign(low=table["value"], high=table["value"])
    assert {row["id"]: row["verdict"] for row in judged({"contrast": table}, MAML)} == {"D1": "holds", "D3": "fails"}


def test_every_rule_is_one_of_the_analyses():
    from pathlib import Path

    known = set(pd.read_csv(Path(__file__).parents[2] / "figures" / "claims.csv")["id"])
    assert {rule.id for rule in RULES} <= known
