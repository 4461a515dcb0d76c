"""Simulated studies: that what is planted is there, that the truth is the mean, and the table of coverages."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import coverage, planted

DESIGNS = 2 * 2 + 3 * 2 * 3 * 4
"""Rows of a quantity: one seed at share 0 by two estimators, others at four shares by three; each of 20 and 100."""


def close(values, wanted, errors=4.5):
    """Whether the means over the first axis are the wanted ones within so many standard errors."""
    return (np.abs(values.mean(0) - wanted) < errors * values.std(0) / np.sqrt(len(values)) + 1e-12).all()


def test_the_measures_are_the_packages():
    assert planted.agree() < 1e-12


def test_drawn_products_have_the_moments_of_those_of_rows():
    z, rows = np.full(4000, 0.3), 30
    stream = planted.rng("test")
    drawn, counted = planted.drawn_products(stream, z, rows), planted.products(*planted.inputs(stream, z, rows))
    rho = planted.correlations(z[:1])[0]
    mean = (rows - 1) * np.block([[np.eye(8), np.diag(rho)], [np.diag(rho), np.eye(8)]])
    for found in (drawn, counted):
        assert close(found, mean)
        assert close(found[:, :8, 8:] ** 2, (rows - 1) * (1 + rho**2 * np.eye(8)) + mean[:8, 8:] ** 2)


def test_the_variance_of_what_is_planted_is_shared_out():
    z = planted.latent(planted.rng("test"), 20_000, 2, 3, 0.3)
    assert z.shape == (20_000, 2, 3)
    assert close((z**2).reshape(20_000, -1)[:, :1], planted.SPREAD**2)
    for other, share in ((z[:, 0, 1], 0.3), (z[:, 1, 0], 0.7 * planted.TASK_SHARE), (z[:, 1, 1], 0)):
        assert close(z[:, 0, 0] * other, share * planted.SPREAD**2)


@pytest.mark.parametrize("name", planted.QUANTITIES)
def test_the_population_is_the_mean_of_what_is_planted(name):
    z = planted.SPREAD * planted.rng("test").standard_normal(20_000)
    quantity = planted.QUANTITIES[name]
    assert close(quantity.population(z), planted.population(quantity))


def test_an_interval_counts_where_it_holds_the_truth(monkeypatch):
    """Intervals from 0 to the number of the trial: four of five hold 1."""
    monkeypatch.setattr(coverage, "ESTIMATORS", {"word": lambda cells, trial: (0.0, float(trial))})
    [row] = coverage.covered(np.zeros((5, 2, 3)), 1.0)
    assert (row["estimator"], row["trials"], row["coverage"], row["width"]) == ("word", 5, 0.8, 2.0)
    assert 0.3 < row["coverage_low"] < 0.5 < 0.9 < row["coverage_high"] < 1


def test_designs_of_one_quantity():
    table = pd.DataFrame(coverage.rows(quantities=["cka_debiased"], trials=2, many=400))
    assert len(table) == DESIGNS
    assert not table.duplicated(["seeds", "tasks", "seed_share", "estimator"]).any()
    assert table[["truth", "population"]].nunique().tolist() == [1, 1]
    assert table["truth"].iloc[0] == pytest.approx(table["population"].iloc[0], abs=0.03)


def test_the_command_writes_its_table(tmp_path, capsys):
    """Of three trials either all are covered or too few: the exit code says so."""
    assert coverage.main(["--quantities", "accuracy", "--trials", "3", "--out", str(tmp_path / "t.csv")]) == 1
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == DESIGNS
    assert (table["truth"] == table["population"]).all()
    wrong = coverage.outside(table)
    assert len(wrong) == 2 * 2 * 4
    assert set(wrong["seeds"]) == {3, 5}
    assert "analysis of variance covers outside of 90%-98%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "coverage: trials must be at least 1, got 0; 500 tell 90 % from 95 %"),
        (["--quantities", "ckb"], "the quantity must be a known one, got 'ckb'; did you mean cca_mean, cca_squared"),
    ],
)
def test_mistakes(words, message, capsys):
    assert coverage.main(words) == 2
    assert message in capsys.readouterr().err
