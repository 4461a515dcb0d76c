"""Intervals within the range of their quantity, and axes on which a point is as high."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.ranges import bounded, same_height
from mamlprobe.draw.style import canvas


def table(*rows):
    return pd.DataFrame(rows, columns=["value", "low", "high"])


def test_intervals_that_stay_within_are_left_as_they_are():
    good = table((0.5, 0.2, 0.8), (1.0, 1.0, 1.0), (0.3, np.nan, np.nan))
    assert bounded(good, 0, 1) is good


def test_an_interval_of_an_accuracy_is_the_logits():
    """With a standard error s of p the logit has s / (p (1 - p)), by the delta method; formed by hand here."""
    p, half = 0.95, 0.08
    got = bounded(table((p, p - half, p + half), (0.5, 0.4, 0.6)), 0, 1)
    reach = half / (p * (1 - p))
    odds = p / (1 - p)
    wanted = [odds * np.exp(side * reach) / (1 + odds * np.exp(side * reach)) for side in (-1, 1)]
    np.testing.assert_allclose(got.loc[0, ["low", "high"]].to_numpy(float), wanted)
    assert (got["low"] > 0).all()
    assert (got["high"] < 1).all()
    assert got["high"][1] == pytest.approx(0.6, abs=0.003)  # far from the ends little changes


def test_an_interval_of_a_correlation_is_fishers():
    r, half = 0.9, 0.2
    got = bounded(table((r, r - half, r + half)), -1, 1).iloc[0]
    wanted = np.tanh(np.arctanh(r) + np.array([-1, 1]) * half / (1 - r * r))
    np.testing.assert_allclose([got["low"], got["high"]], wanted)


def test_at_an_end_of_the_range_the_interval_is_cut_and_percent_are_known_too():
    got = bounded(table((100.0, 98.0, 102.0), (50.0, 45.0, 55.0)), 0, 100)
    assert got["high"][0] == 100
    assert got["low"][0] == 98
    assert got["value"].tolist() == [100, 50]


def test_what_is_only_positive_has_the_logarithms_interval():
    got = bounded(table((2.0, -1.0, 5.0), (4.0, 3.0, 5.0)), 0, np.inf)
    np.testing.assert_allclose(got["low"], [2 * np.exp(-1.5), 4 * np.exp(-0.25)])
    np.testing.assert_allclose(got["high"], [2 * np.exp(1.5), 4 * np.exp(0.25)])


def test_a_value_beyond_its_range_is_refused():
    with pytest.raises(UserError) as error:
        bounded(table((1.2, 1.0, 1.4)), 0, 1)
    assert str(error.value) == ("draw.bounded: values must lie in 0 to 1, got 1.2; give the range of this quantity")


def test_a_point_is_as_high_in_each():
    _, axes = canvas(1, 2)
    axes[0, 0].set_ylim(40, 50)
    axes[0, 1].set_ylim(20, 90)
    same_height(list(axes.flat))
    assert axes[0, 1].get_ylim() == (20, 90)
    assert axes[0, 0].get_ylim() == (10, 80)
    with pytest.raises(UserError) as error:
        same_height([])
    assert str(error.value) == "draw.same_height: there must be an axes, got none; give those to be compared"
