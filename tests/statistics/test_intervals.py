"""Intervals against closed forms, other implementations, and by simulated coverage."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from mamlprobe.statistics.intervals import bootstrap, t_interval


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def clustered(seed, clusters, items, between=1.0, within=1.0):
    """Values of mean 0 whose clusters have offsets of their own, and the labels."""
    rng = np.random.default_rng(seed)
    offsets = between * rng.standard_normal((clusters, 1))
    return (offsets + within * rng.standard_normal((clusters, items))).ravel(), np.repeat(np.arange(clusters), items)


def test_bootstrap_is_the_percentile_interval_of_scipy():
    values = np.random.default_rng(0).exponential(size=40)
    low, high = bootstrap(values, level=0.9, draws=20_000, seed=0)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.01)
    assert high == pytest.approx(theirs.high, abs=0.01)


def test_bootstrap_of_many_values_is_the_normal_interval():
    values = gaussian(0, 5000)
    half = 1.96 * values.std() / math.sqrt(5000)
    assert bootstrap(values, seed=0) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def covered(interval, runs):
    return np.mean([low <= 0 <= high for low, high in (interval(run) for run in range(runs))])


def test_coverage_of_the_plain_interval():
    coverage = covered(lambda run: bootstrap(gaussian(run, 30), draws=400, seed=run), 400)
    assert 0.90 < coverage < 0.97


def test_coverage_of_the_t_interval():
    assert covered(lambda run: t_interval(gaussian(run, 4)), 1000) == pytest.approx(0.95, abs=0.025)
    assert covered(lambda run: t_interval(gaussian(run, 4), level=0.5), 1000) == pytest.approx(0.5, abs=0.05)


def test_coverage_over_clusters_needs_the_hierarchy():
    def interval(run, hierarchical):
        values, labels = clustered(run, 15, 8)
        return bootstrap(values, clusters=labels if hierarchical else None, draws=300, seed=run)

    assert covered(lambda run: interval(run, True), 300) > 0.90
    assert covered(lambda run: interval(run, False), 300) < 0.75


def test_t_interval_by_the_book():
    values = [0.61, 0.72, 0.58]
    low, high = t_interval(values)
    assert (low, high) == pytest.approx(
        scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values)), abs=1e-12
    )
    assert t_interval(torch.tensor(values, dtype=torch.float64)) == (low, high)


def test_nan_values_are_left_out():
    values, labels = clustered(0, 4, 5)
    holes = values.copy()
    holes[[2, 7, 8]] = np.nan
    kept = ~np.isnan(holes)
    assert bootstrap(holes, seed=0) == bootstrap(values[kept], seed=0)
    assert bootstrap(holes, clusters=labels, seed=0) == bootstrap(values[kept], clusters=labels[kept], seed=0)
    assert t_interval(holes) == t_interval(values[kept])
    whole = np.where(labels == 1, np.nan, values)
    assert bootstrap(whole, clusters=labels, seed=0) == bootstrap(
        values[labels != 1], clusters=labels[labels != 1], seed=0
    )


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_fewer_than_two_values_have_no_interval(values):
    for low, high in (bootstrap(values, seed=0), t_interval(values)):
        assert math.isnan(low)
        assert math.isnan(high)


def test_one_cluster_says_nothing_about_clusters():
    assert all(math.isnan(end) for end in bootstrap(gaussian(0, 50), clusters=["a"] * 50, seed=0))


def test_the_seed_decides_and_nothing_else():
    values = gaussian(0, 20)
    np.random.seed(0)  # noqa: NPY002
    first = bootstrap(values, seed=5)
    np.random.seed(1)  # noqa: NPY002
    assert bootstrap(values, seed=5) == first
    assert bootstrap(values, seed=6) != first


def test_arrays_lists_and_tensors_are_read_alike():
    values = gaussian(0, 12)
    expected = bootstrap(values, seed=0)
    for same in (values.tolist(), torch.from_numpy(values), torch.from_numpy(values).requires_grad_()):
        assert bootstrap(same, seed=0) == expected
