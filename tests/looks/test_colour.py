"""Contrast, colour spaces and simulated colour blindness against numbers that are published."""

import numpy as np
import pytest

from tests.looks.colour import BLINDNESS, contrast, distance, lab, over, seen_by


def rgb(text: str) -> list[float]:
    return [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]


@pytest.mark.parametrize(("a", "ratio"), [("#000000", 21.0), ("#767676", 4.54), ("#FF0000", 4.0), ("#FFFFFF", 1.0)])
def test_contrast_to_white_is_that_of_wcag(a, ratio):
    assert contrast(rgb(a), rgb("#FFFFFF")) == pytest.approx(ratio, abs=0.005)
    assert contrast(rgb("#FFFFFF"), rgb(a)) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(
    ("colour", "wanted"),
    [("#FFFFFF", (100, 0, 0)), ("#FF0000", (53.24, 80.09, 67.20)), ("#0000FF", (32.30, 79.19, -107.86))],
)
def test_lab_is_that_of_the_standard(colour, wanted):
    np.testing.assert_allclose(lab(rgb(colour)), wanted, atol=0.02)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_greys_look_the_same_to_all(kind):
    np.testing.assert_allclose(np.sum(BLINDNESS[kind], axis=1), 1, atol=2e-6)
    np.testing.assert_allclose(seen_by(kind, (0.4, 0.4, 0.4)), 0.4, atol=1e-5)


def test_confusions_are_those_of_each_kind():
    def near(kind, a, b):
        return np.linalg.norm(lab(seen_by(kind, rgb(a))) - lab(seen_by(kind, rgb(b))))

    assert near("deutan", "#A06400", "#667F00") < 15 < 50 < near("all colours", "#A06400", "#667F00") + 20
    assert near("tritan", "#0072B2", "#D55E00") > 50
    assert near("grey", "#D55E00", "#009E73") < 5


def test_distance_is_the_smallest_of_all_sights():
    assert distance(rgb("#D55E00"), rgb("#009E73")) < 5  # the same grey
    assert distance(rgb("#000000"), rgb("#FFFFFF")) == pytest.approx(100, abs=0.01)


def test_a_translucent_colour_is_mixed_with_its_ground():
    np.testing.assert_allclose(over((1, 0, 0), 0.25, (1, 1, 1)), (1, 0.75, 0.75))
