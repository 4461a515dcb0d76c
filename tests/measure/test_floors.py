"""Null floors against their exact means, verdicts, and what is refused."""

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import cca, cka, gaussian_floor, null_floor, spectrum
from mamlprobe.statistics.intervals import bootstrap, t_interval
from mamlprobe.statistics.verdict import verdict


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def squared(x, y):
    return cca(x, y, summary="mean_squared")


def test_the_permutation_null_of_squared_cca_is_exact_on_average():
    x = gaussian(0, 40, 8)
    mean, high = null_floor(squared, x, x, draws=300, seed=0)
    assert mean == pytest.approx(8 / 39, abs=0.008)
    assert mean < high < 0.4
    assert squared(x, x) == pytest.approx(1)


def test_the_gaussian_floor_of_squared_cca_is_exact_on_average():
    mean, high = gaussian_floor(squared, 40, 8, 5, draws=300, seed=0)
    assert mean == pytest.approx(8 / 39, abs=0.01)
    assert high > mean


def test_debiased_cka_has_floor_zero_and_biased_has_not():
    assert abs(gaussian_floor(cka, 25, 64, 64, draws=100, seed=0)[0]) < 0.02
    biased, _ = gaussian_floor(lambda x, y: cka(x, y, debiased=False), 25, 64, 64, draws=100, seed=0)
    assert biased == pytest.approx(64 / (64 + 25), abs=0.01)


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_spectra_have_the_floor_of_their_inputs(make):
    x, y = gaussian(0, 40, 5), gaussian(1, 40, 3)
    raw = null_floor(cca, make(x), make(y), seed=0)
    assert null_floor(cca, spectrum(x), spectrum(y), seed=0) == pytest.approx(raw, abs=1e-12)


def test_only_the_samples_of_y_move_and_all_are_kept():
    seen = []

    def measure(x, y):
        assert x is given
        seen.append(y[:, 0].tolist())
        return float(y[0, 0])

    given = np.zeros((100, 1))
    mean, high = null_floor(measure, given, np.arange(100.0)[:, None], draws=50, seed=0)
    assert all(sorted(order) == list(range(100)) for order in seen)
    assert len({tuple(order) for order in seen}) == 50
    firsts = [order[0] for order in seen]
    assert (mean, high) == (np.mean(firsts), np.quantile(firsts, 0.95))


def test_whole_images_move_when_positions_are_rows():
    seen = []

    def measure(x, y):
        seen.append(y[:, 0].reshape(4, 3).tolist())
        return 0.0

    null_floor(measure, np.zeros((12, 1)), np.arange(12.0)[:, None], draws=30, seed=0, groups=3)
    images = np.arange(12.0).reshape(4, 3).tolist()
    assert all(sorted(order) == images for order in seen)
    assert any(order != images for order in seen)


def test_positions_of_one_image_must_stay_together_for_an_honest_floor():
    maps = np.repeat(gaussian(0, 30, 4), 25, 0) + 0.1 * gaussian(1, 750, 4)
    scattered, together = (null_floor(cca, maps, maps, seed=0, groups=groups)[0] for groups in (1, 25))
    assert together > 3 * scattered


def test_floors_depend_on_the_seed_alone():
    x, y = gaussian(0, 30, 3), gaussian(1, 30, 3)
    for floor in (
        lambda seed: null_floor(cca, x, y, draws=3, seed=seed),
        lambda seed: gaussian_floor(cca, 30, 3, 3, draws=3, seed=seed),
    ):
        assert floor(0) == floor(0)
        assert floor(0) != floor(1)


TINY = np.zeros((6, 1))
IMAGES = (
    "null_floor: R must be two or more images of `groups` rows, got R = 6, groups = {}; groups is H * W of the maps"
)
LEVEL = "{}: level must be between 0 and 1, got {}; 0.95 is usual"
DRAWS = "{}: draws must be at least 1, got 0; 2000 for intervals, 20 for floors"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: bootstrap([1, 2, 3], clusters=[0, 1], seed=0),
            "bootstrap: clusters must name one cluster a value, got 2 for 3; give both the same length",
        ),
        (
            lambda: null_floor(cca, TINY, TINY[1:], seed=0),
            "null_floor: x and y must have the same samples as rows, got 6 and 5 rows; record both on one input",
        ),
        (lambda: null_floor(cca, TINY, TINY, seed=0, groups=4), IMAGES.format(4)),
        (lambda: null_floor(cca, TINY, TINY, seed=0, groups=6), IMAGES.format(6)),
        (lambda: null_floor(cca, TINY, TINY, seed=0, groups=0), IMAGES.format(0)),
        (lambda: bootstrap([1, 2], level=95, seed=0), LEVEL.format("bootstrap", 95)),
        (lambda: t_interval([1, 2], level=0), LEVEL.format("t_interval", 0)),
        (lambda: null_floor(cca, TINY, TINY, seed=0, level=1), LEVEL.format("null_floor", 1)),
        (lambda: gaussian_floor(cca, 9, 2, 2, seed=0, level=2), LEVEL.format("gaussian_floor", 2)),
        (lambda: bootstrap([1, 2], draws=0, seed=0), DRAWS.format("bootstrap")),
        (lambda: null_floor(cca, TINY, TINY, draws=0, seed=0), DRAWS.format("null_floor")),
        (lambda: gaussian_floor(cca, 9, 2, 2, draws=0, seed=0), DRAWS.format("gaussian_floor")),
        (
            lambda: verdict(0, 1, bound=0, side="abov"),
            "verdict: the side must be a known one, got 'abov'; did you mean above?",
        ),
    ],
)
def test_what_is_refused(call, line):
    with pytest.raises(UserError) as caught:
        call()
    assert str(caught.value) == line
