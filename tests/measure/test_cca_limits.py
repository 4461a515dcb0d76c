"""What CCA, SVCCA and PWCCA accept, where they refuse, and what they say."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import cca, coefficients, pwcca, row_ratio, spectrum, svcca, truncate


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def related(rows=120, f=6, g=9, seed=0):
    """Two inputs that share some directions more and some less, with means and unlike scales."""
    hidden = gaussian(seed, rows, f)
    x = hidden @ gaussian(seed + 1, f, f) + 2
    mixed = hidden * np.linspace(2, 0, f) @ gaussian(seed + 2, f, g)
    return x, mixed + gaussian(seed + 3, rows, g) * np.linspace(0.5, 3, g) - 5


def test_a_spectrum_stands_for_its_input():
    x, y = related()
    sx, sy = spectrum(x), spectrum(y)
    for measure in (cca, svcca, pwcca):
        for pair in ((sx, y), (x, sy), (sx, sy)):
            assert measure(*pair) == pytest.approx(measure(x, y), abs=1e-14)


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
@pytest.mark.parametrize(("f", "g"), [(1, 1), (1, 8), (8, 1), (8, 8)])
def test_arrays_and_tensors_of_every_shape_give_the_same_plain_float_in_range(measure, f, g):
    x, y = gaussian(0, 25, f), gaussian(1, 25, g)
    value = measure(x, y)
    assert type(value) is float
    assert 0 < value < 1
    assert measure(torch.from_numpy(x), torch.from_numpy(y).requires_grad_()) == pytest.approx(value, abs=1e-14)


def test_inputs_are_never_written_to():
    x, y = related()
    tx, ty = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    x.flags.writeable = y.flags.writeable = False
    for measure in (cca, svcca, pwcca):
        measure(x, y)
        measure(tx, ty)
    assert torch.equal(tx, torch.tensor(x))
    assert tx._version == ty._version == 0


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_an_input_that_does_not_vary_gives_nan(measure):
    x, y = np.full((30, 4), 0.1, np.float32), gaussian(0, 30, 3)
    assert math.isnan(measure(x, y))
    assert math.isnan(measure(y, x))
    assert math.isnan(measure(x, x))


def test_row_ratio_counts_features_or_kept_directions():
    x, y = gaussian(0, 100, 4), gaussian(1, 100, 20)
    assert row_ratio(x, y) == 5
    assert row_ratio(x, spectrum(gaussian(2, 100, 5) @ gaussian(3, 5, 20))) == 20
    assert row_ratio(spectrum(np.ones((9, 2))), spectrum(np.ones((9, 2)))) == 9


@pytest.mark.parametrize("measure", [cca, pwcca])
@pytest.mark.parametrize(("rows", "f", "g"), [(6, 6, 2), (7, 6, 2), (7, 2, 6), (5, 64, 64)])
def test_too_few_rows_are_refused(measure, rows, f, g):
    with pytest.raises(UserError) as caught:
        measure(gaussian(0, rows, f), gaussian(1, rows, g))
    assert str(caught.value) == (
        f"{measure.__name__}: R - 1 > max(F, G) must hold, else every correlation is 1 whatever the data, "
        f"got R = {rows}, F = {f}, G = {g}; take positions as rows, pool the maps, or use cka"
    )


def test_the_bound_is_where_the_shape_stops_deciding():
    def lowest(rows):
        return coefficients(spectrum(gaussian(0, rows, 6)), spectrum(gaussian(1, rows, 2)))[-1].item()

    assert lowest(7) == pytest.approx(1, abs=1e-10)
    assert lowest(8) < 1 - 1e-6
    assert cca(gaussian(0, 8, 6), gaussian(1, 8, 2)) < 1


def test_svcca_refuses_only_what_counting_decides():
    x, y = gaussian(0, 80, 1600), gaussian(1, 80, 64)
    with pytest.raises(UserError) as caught:
        svcca(x, y)
    kept = [truncate(spectrum(side), 0.99).rank for side in (x, y)]
    assert str(caught.value) == (
        "svcca: with R - 1 <= max(F, G) the kept directions must be at most R - 1 together, "
        f"got {kept[0]} + {kept[1]} of R = 80 rows, F = 1600, G = 64; "
        "take positions as rows, pool the maps, lower the variance, or use cka"
    )
    low = gaussian(2, 80, 5) @ gaussian(3, 5, 1600)
    assert svcca(low, y[:, :5]) < 0.6
    assert svcca(x[:, :64], y) < 1


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_unequal_rows_are_refused(measure):
    with pytest.raises(UserError) as caught:
        measure(gaussian(0, 30, 3), gaussian(1, 29, 3))
    assert str(caught.value) == (
        f"{measure.__name__}: x and y must have the same samples as rows, got 30 and 29 rows; record both on one input"
    )


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_an_input_that_is_not_finite_is_named(measure):
    x, y = related()
    y[3, 2] = np.nan
    with pytest.raises(UserError, match=rf"^{measure.__name__}: y must be finite, got NaN or infinity"):
        measure(x, y)


@pytest.mark.parametrize("variance", [0, -0.1, 1.01])
def test_a_share_outside_its_range_is_refused(variance):
    with pytest.raises(UserError) as caught:
        svcca(*related(), variance=variance)
    assert str(caught.value) == f"svcca: variance must be in (0, 1], got {variance}; 0.99 is the paper's"


@pytest.mark.parametrize("call", [cca, svcca])
def test_an_unknown_summary_is_refused(call):
    with pytest.raises(UserError, match=r"^cca: the summary must be a known one, got 'top99'; did you mean top98\?$"):
        call(*related(), summary="top99")


def test_a_correlation_above_one_is_a_fault_and_is_not_clipped_away():
    found = spectrum(related()[0])
    with pytest.raises(ArithmeticError, match=r"canonical correlation 1\.2\d* > 1: a spectrum is not orthonormal"):
        coefficients(found, dataclasses.replace(found, mix=found.mix * 1.2))
    nearly = coefficients(found, dataclasses.replace(found, mix=found.mix * (1 + 1e-9)))
    assert nearly.max() == 1
