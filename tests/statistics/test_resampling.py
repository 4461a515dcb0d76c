"""Resampled means against closed forms and a loop that draws item by item."""

import math

import numpy as np
import pytest

from mamlprobe.statistics.resampling import mean_interval


def clustered(seed, clusters, items, between=1.0, within=1.0):
    """Values of mean 0 whose clusters have offsets of their own, and the labels."""
    rng = np.random.default_rng(seed)
    offsets = between * rng.standard_normal((clusters, 1))
    return (offsets + within * rng.standard_normal((clusters, items))).ravel(), np.repeat(np.arange(clusters), items)


def test_hierarchical_bootstrap_has_the_variance_of_two_stage_resampling():
    values, labels = clustered(0, 12, 7)
    table = values.reshape(12, 7)
    variance = table.mean(1).var() / 12 + table.var(1).mean() / (12 * 7)
    low, high = mean_interval(values, labels, draws=20_000, seed=0)
    assert (high - low) / (2 * 1.96) == pytest.approx(math.sqrt(variance), rel=0.03)


def test_hierarchical_bootstrap_of_unequal_clusters_is_that_of_a_loop():
    rng = np.random.default_rng(3)
    groups = [rng.standard_normal(size) + 2 * rng.standard_normal() for size in (1, 4, 9, 3, 6)]
    means = []
    for _ in range(6000):
        drawn = [groups[i] for i in rng.integers(5, size=5)]
        means.append(np.concatenate([rng.choice(group, len(group)) for group in drawn]).mean())
    labels = np.repeat(range(5), [len(group) for group in groups])
    order = rng.permutation(23)
    found = mean_interval(np.concatenate(groups)[order], labels[order], draws=6000, seed=0)
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.1)


def test_clusters_of_one_item_are_no_clusters():
    values = np.random.default_rng(0).standard_normal(30)
    plain = mean_interval(values, draws=20_000, seed=0)
    assert mean_interval(values, np.arange(30)[::-1], draws=20_000, seed=1) == pytest.approx(plain, abs=0.02)


def test_draws_in_pieces_fill_the_whole():
    values, labels = clustered(0, 6, 4)
    whole = mean_interval(values, labels, draws=3001, seed=0)
    assert mean_interval(values, labels, draws=3001, seed=0, chunk=24 * 100) == pytest.approx(whole, abs=0.1)
