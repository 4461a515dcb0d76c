"""Rows of a certificate: within the bound passes, and nothing else does."""

import math

import pytest

from mamlprobe.certificates.checks import FAILS, PASSES, bounded


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(0.0, PASSES), (1e-8, PASSES), (math.nextafter(1e-8, 1), FAILS), (math.inf, FAILS), (math.nan, FAILS)],
)
def test_an_error_up_to_its_bound_passes(error, verdict):
    assert bounded("check", "what", error, 1e-8).verdict == verdict


def test_a_row_has_error_and_bound_as_texts():
    row = bounded("plain loop", "query losses", 0.000_123, 1e-8)
    assert vars(row) == {
        "check": "plain loop",
        "what": "query losses",
        "value": "1.2e-04",
        "bound": "1e-08",
        "verdict": "fails",
    }
