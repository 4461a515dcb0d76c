"""Ours beside the authors' curves on Omniglot: intervals of differences, claims, and which data they are for."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.reproduce.omniglot import agreement, gap, omniglot_table
from mamlprobe.reproduce.study import Study

KEYS = {"head": "zeroed", "update": 60}


def drawn(trials: int, *, over_seeds: float, over_tasks: float, seeds: int, ours: int = 1) -> pd.DataFrame:
    """Differences of accuracies that are equal in truth, a row a trial."""
    source = np.random.default_rng(0)
    arms = [str(trial) for trial in range(trials)]
    theirs = source.normal(0, over_seeds, (seeds, trials))
    mean, sd = theirs.mean(0), theirs.std(0)
    found = source.normal(0, over_seeds, (ours, trials)).mean(0) + source.normal(0, over_tasks, trials)
    half = 1.959964 * np.sqrt(over_tasks**2 + (over_seeds**2 / ours if ours > 1 else 0))
    mine = {"arm": arms, **KEYS, "quantity": "accuracy", "value": found, "low": found - half, "high": found + half}
    published = {"arm": arms, **KEYS, "value": mean, "low": mean - sd, "high": mean + sd, "seeds": seeds}
    return agreement(pd.DataFrame({**mine, "seeds": ours}), pd.DataFrame({**published, "source": "file"}))


@pytest.mark.parametrize("seeds", [3, 4])
def test_intervals_of_differences_hold_the_truth_as_often_as_they_say(seeds):
    """Exactly where all spread is over seeds, nearly where it is over tasks or over seeds of ours besides."""

    def covered(**words: float) -> float:
        rows = drawn(20_000, seeds=seeds, **words)
        return ((rows["low"] <= 0) & (rows["high"] >= 0)).mean()

    assert covered(over_seeds=1.0, over_tasks=0.0) == pytest.approx(0.95, abs=0.006)
    assert 0.93 < covered(over_seeds=1.0, over_tasks=1.0) < 0.98
    assert 0.93 < covered(over_seeds=1.0, over_tasks=0.2, ours=3) < 0.98
    assert covered(over_seeds=0.0, over_tasks=1.0) == pytest.approx(0.95, abs=0.006)


def test_one_published_seed_gives_no_interval():
    rows = drawn(3, over_seeds=1.0, over_tasks=1.0, seeds=1)
    assert rows["value"].notna().all()
    assert rows[["low", "high"]].isna().all(axis=None)
    assert set(rows["quantity"]) == {"ours - published"}


def test_a_claim_stands_beside_what_was_published_at_the_same_update():
    def row(whose: str, quantity: str, arm: str, head: str, update: int, value: float) -> dict[str, object]:
        told = {"whose": whose, "quantity": quantity, "arm": arm, "head": head, "update": update, "value": value}
        return told | {"low": value - 1, "high": value + 1, "shot": 1, "last": 90, "source": "file"}

    table = pd.DataFrame(
        [
            row("ours", "difference", "a - b", "zeroed", 90, 3.0),
            row("ours", "lift", "b", "zeroed - as trained", 90, -3.0),
            *(
                row("published", "accuracy", arm, head, update, value)
                for arm, head, update, value in (
                    *(("a", "zeroed", 60, 9.0), ("b", "zeroed", 60, 7.5), ("b", "as trained", 60, 5.0)),
                    *(("a", "zeroed", 30, 1.0), ("b", "zeroed", 30, 1.0), ("b", "as trained", 30, 1.0)),
                )
            ),
        ]
    )
    found = gap(table, "K0", "a above b", quantity="difference")
    assert (found["published"], found["published_source"], found["verdict"]) == (1.5, "file, update 60", "holds")
    assert found["claim"] == "a above b, after 90 updates"
    found = gap(table, "K0", "lifted", quantity="lift")
    assert (found["published"], found["verdict"]) == (2.5, "fails")


def test_a_table_of_both(tmp_path, monkeypatch):
    stage = Study(preset="smoke", dataset="glyphs", folder=tmp_path, repeats=1)
    table = omniglot_table(stage, {"random": "random init", "zeroing": "zeroing"}, [("zeroing", "random init")])
    ours, theirs = (table[table["whose"] == whose] for whose in ("ours", "published"))
    assert set(ours["panel"]) >= {"zeroed, 1 shot", "as trained, 5 shots"}
    assert set(ours["seeds"]) == {1}
    assert set(theirs["update"]) == {60}
    assert set(theirs["arm"]) == {"random init", "zeroing"}
    gaps = ours[ours["quantity"] == "ours - published"]
    assert len(gaps) == 8
    keys = ["arm", "head", "shot", "update"]
    values = [rows.set_index(keys)["value"] for rows in (ours[ours["quantity"] == "accuracy"], theirs, gaps)]
    mine, published, difference = values
    pd.testing.assert_series_equal(difference, (mine - published).dropna().loc[difference.index], check_names=False)
