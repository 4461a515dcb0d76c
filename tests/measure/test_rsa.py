"""RSA against loops over pairs, scipy's correlations, and its invariances."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import rsa


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def pair(rows=12, f=6, g=9):
    x = gaussian(0, rows, f)
    return x, x @ gaussian(1, f, g) + 2 * gaussian(2, rows, g)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return sum(p * q for p, q in zip(a, b)) / math.sqrt(sum(p * p for p in a) * sum(q * q for q in b))


APART = {
    "correlation": lambda a, b: 1 - correlation(a, b),
    "euclidean": lambda a, b: math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b))),
    "cosine": lambda a, b: 1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)),
}
AGREE = {
    "spearman": lambda a, b: scipy.stats.spearmanr(a, b).statistic,
    "pearson": lambda a, b: scipy.stats.pearsonr(a, b).statistic,
}


@pytest.mark.parametrize("metric", APART)
@pytest.mark.parametrize("word", AGREE)
def test_is_that_of_a_loop_over_pairs(metric, word):
    x, y = pair()
    pairs = [(i, j) for i in range(12) for j in range(i)]
    sides = [[APART[metric](side[i], side[j]) for i, j in pairs] for side in (x, y)]
    assert rsa(x, y, metric=metric, correlation=word) == pytest.approx(AGREE[word](*sides), abs=1e-9)


def test_the_papers_metric_and_ranks_are_the_default():
    x, y = pair()
    assert rsa(x, y) == rsa(x, y, metric="correlation", correlation="spearman")
    assert len({rsa(x, y, metric=metric, correlation=word) for metric in APART for word in AGREE}) == 6


def test_ties_have_their_mean_rank():
    x = np.array([[0.0], [1], [1], [3], [4]])
    y = np.array([[0.0], [2], [3], [4], [4]])
    pairs = [(i, j) for i in range(5) for j in range(i)]
    sides = [[abs(float(side[i, 0] - side[j, 0])) for i, j in pairs] for side in (x, y)]
    found = rsa(x, y, metric="euclidean")
    assert found == pytest.approx(scipy.stats.spearmanr(*sides).statistic, abs=1e-12)


def test_rounding_makes_no_ranks():
    """Rows of two features are correlated by 1 or -1: of the pairs within a half all are at no distance."""
    x = gaussian(0, 40, 2)
    y = np.where(x[:, :1] > x[:, 1:], [[1.0, 0.0]], [[0.0, 1.0]])
    assert rsa(x, y) == pytest.approx(1, abs=1e-12)


def test_what_leaves_it_unchanged():
    x, y = pair()
    turn = np.linalg.qr(gaussian(5, 9, 9))[0]
    assert rsa(x, 3 * y @ turn + 1, metric="euclidean") == pytest.approx(rsa(x, y, metric="euclidean"), abs=1e-9)
    assert rsa(x, y @ gaussian(6, 9, 9), metric="euclidean") != pytest.approx(rsa(x, y, metric="euclidean"), abs=1e-3)
    each = 3 * y * np.linspace(1, 2, 12)[:, None] + np.linspace(0, 5, 12)[:, None]  # scale and offset of every row
    assert rsa(x, each) == pytest.approx(rsa(x, y), abs=1e-9)
    assert rsa(y, x) == pytest.approx(rsa(x, y), abs=1e-12)
    order = np.random.default_rng(0).permutation(12)
    assert rsa(x[order], y[order]) == pytest.approx(rsa(x, y), abs=1e-9)
    assert rsa(x[order], y) != pytest.approx(rsa(x, y), abs=1e-3)
    assert rsa(x, x) == pytest.approx(1, abs=1e-12)


def test_unrelated_inputs_are_at_zero_on_average():
    values = [rsa(gaussian((0, i), 10, 5), gaussian((1, i), 10, 7)) for i in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)


def test_tensors_and_arrays_are_read_alike_and_kept():
    x, y = pair()
    kept = y.copy()
    assert rsa(torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)) == rsa(x, y)
    assert (y == kept).all()


@pytest.mark.parametrize(
    ("side", "metric"),
    [
        (np.ones((6, 3)), "euclidean"),
        (np.eye(6), "euclidean"),
        (np.eye(6), "correlation"),
        (np.vstack([gaussian(0, 5, 3), np.ones((1, 3))]), "correlation"),
        (gaussian(0, 6, 1), "correlation"),
        (np.vstack([gaussian(0, 5, 3), np.zeros((1, 3))]), "cosine"),
    ],
)
def test_where_there_is_no_value(side, metric):
    other = gaussian(1, 6, 4)
    assert math.isnan(rsa(side, other, metric=metric))
    assert math.isnan(rsa(other, side, metric=metric))


@pytest.mark.parametrize(
    ("x", "words", "message"),
    [
        (
            gaussian(0, 9, 3),
            {},
            "x and y must have the same samples as rows, got 9 and 10 rows; record both on one input",
        ),
        (
            np.full((10, 3), np.inf),
            {},
            "x must be finite, got NaN or infinity; look for the update where the net diverged",
        ),
        (
            gaussian(0, 10, 3),
            {"metric": "euclid"},
            "the metric must be a known one, got 'euclid'; did you mean euclidean?",
        ),
        (
            gaussian(0, 10, 3),
            {"correlation": "rank"},
            "the correlation must be a known one, got 'rank'; did you mean spearman?",
        ),
    ],
)
def test_messages(x, words, message):
    with pytest.raises(UserError) as caught:
        rsa(x, gaussian(1, 10, 3), **words)
    assert str(caught.value) == f"rsa: {message}"


def test_two_rows_have_one_distance():
    with pytest.raises(UserError) as caught:
        rsa(gaussian(0, 2, 3), gaussian(1, 2, 3))
    assert str(caught.value) == "rsa: RSA needs at least 3 rows, so that distances can differ, got 2; pool more samples"
