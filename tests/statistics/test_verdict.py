"""A verdict goes by where the whole interval lies."""

import math

import pytest

from mamlprobe.statistics.verdict import verdict


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.6, 0.8, "holds", "fails"),
        (0.5, 0.8, "holds", "undecided"),
        (0.4, 0.6, "undecided", "undecided"),
        (0.2, 0.5, "undecided", "holds"),
        (0.2, 0.4, "fails", "holds"),
        (math.nan, math.nan, "undecided", "undecided"),
        (0.6, math.nan, "undecided", "undecided"),
        (math.nan, 0.4, "undecided", "undecided"),
    ],
)
def test_verdicts(low, high, above, below):
    assert verdict(low, high, bound=0.5, side="above") == above
    assert verdict(low, high, bound=0.5, side="below") == below
