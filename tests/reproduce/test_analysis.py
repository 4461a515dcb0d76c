"""Claims as values: which row they look up, and what their interval decides."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.reproduce.analysis import Analysis, Claim, claim, only


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product([["a", "b"], [0, 1], range(30)], names=["method", "seed", "task"]).to_frame(False)
    hard = rng.normal(size=60)
    return grid.assign(value=np.where(grid["method"] == "a", 2.0, 1.0) + np.tile(hard, 2), run=grid["method"] + "-run")


@pytest.mark.parametrize(
    ("low", "high", "side", "verdict"),
    [(1, 3, "above", "holds"), (-1, 3, "above", "undecided"), (-3, -1, "above", "fails"), (-3, -1, "below", "holds")],
)
def test_a_claim_goes_by_its_whole_interval(low, high, side, verdict):
    row = pd.Series({"value": (low + high) / 2, "low": low, "high": high, "run": "r-s0-1", "seeds": 2, "tasks": 30})
    found = claim("X", "text", row, side=side, bound=0.0, unit="points")
    assert found["verdict"] == verdict
    assert (found["runs"], found["seeds"], found["tasks"]) == ("r-s0-1", 2, 30)


def test_an_exact_number_needs_no_interval():
    row = pd.Series({"value": 1e-15, "low": np.nan, "high": np.nan, "interval": "exact"})
    assert claim("D1", "text", row, side="below", bound=1e-10, unit="error")["verdict"] == "holds"


def test_only_refuses_none_and_many(rows):
    with pytest.raises(LookupError, match="60 rows"):
        only(rows, method="a")


def test_a_claim_looks_up_its_row_and_says_where_its_number_stands():
    table = pd.DataFrame(
        {"arm": ["a", "b"], "value": [3.0, 1.0], "low": [2.0, 0.5], "high": [4.0, 1.5], "run": ["r", "s"]}
    )
    above = Claim(
        id="X", text="a is above 1", where={"arm": "a"}, above=1.0, unit="points", published=2.5, source="table 1"
    )
    row = above.check(table)
    assert row == claim(
        "X", "a is above 1", table.iloc[0], side="above", bound=1.0, unit="points", published=2.5, source="table 1"
    )
    assert (row["verdict"], row["ours"], row["published_source"], row["runs"]) == ("holds", 3.0, "table 1", "r")
    below = Claim(id="X", text="b is below 1", where={"arm": "b"}, below=1.0, unit="points")
    assert below.check(table)["verdict"] == "undecided"
    with pytest.raises(LookupError, match="0 rows"):
        Claim(id="X", text="", where={"arm": "c"}, above=0.0, unit="").check(table)
    with pytest.raises(ValueError, match="no bound"):
        Claim(id="X", text="", where={"arm": "a"}, unit="").check(table)


def test_an_analysis_judges_by_values_or_by_a_function():
    table = pd.DataFrame({"arm": ["a"], "value": [3.0], "low": [2.0], "high": [4.0]})
    one = Claim(id="X", text="t", where={"arm": "a"}, above=1.0, unit="points")
    facts = {"paper": "p", "title": "t", "order": 1, "table": lambda study: table, "figure": lambda table: None}
    assert Analysis(**facts, claims=(one,)).judged(table) == [one.check(table)]
    assert Analysis(**facts, claims=lambda rows: [one.check(rows)]).judged(table) == [one.check(table)]
    assert Analysis(**facts).judged(table) == []
