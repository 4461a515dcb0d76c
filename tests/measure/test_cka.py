"""CKA and HSIC against brute force, under invariances, and where estimators are known to go wrong."""

import importlib
import itertools
import math

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import cka, cka_batches, hsic
from mamlprobe.measure.cka import by_features, by_grams, gram
from mamlprobe.measure.spectrum import centred


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def related(rows=40, f=6, g=9, seed=0):
    x = gaussian(seed, rows, f) + 2
    return x, x @ gaussian(seed + 1, f, g) + 2 * gaussian(seed + 2, rows, g) - 5


def brute_force_hsic(x, y):
    """Mean over all ordered quadruples of distinct samples of K_ij (L_ij + L_qr - 2 L_iq)."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    terms = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.product(range(n), repeat=4)
        if len({i, j, q, r}) == 4
    ]  # fmt: skip
    return float(np.mean(terms))


def song_hsic(x, y):
    """The closed form of the U-statistic, on Gram matrices with an empty diagonal."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    whole = (
        np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return float(whole / (n * (n - 3)))


def biased_hsic(x, y):
    """tr(K H L H) / (n - 1)^2 with the centring matrix written out."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(x @ x.T @ h @ y @ y.T @ h)) / (n - 1) ** 2


@pytest.mark.parametrize(("rows", "f", "g"), [(4, 2, 3), (6, 2, 9), (7, 8, 8), (7, 3, 2)])
def test_debiased_hsic_is_the_mean_over_quadruples(rows, f, g):
    x, y = related(rows, f, g)
    assert hsic(x, y) == pytest.approx(brute_force_hsic(x, y), rel=1e-9, abs=1e-9)
    assert hsic(x, x) == pytest.approx(brute_force_hsic(x, x), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("rows", "f", "g"), [(40, 6, 9), (20, 30, 5), (20, 5, 30), (20, 25, 30)])
def test_both_estimators_against_their_matrix_forms(rows, f, g):
    x, y = related(rows, f, g)
    for debiased, oracle in ((True, song_hsic), (False, biased_hsic)):
        assert hsic(x, y, debiased=debiased) == pytest.approx(oracle(x, y), rel=1e-10)
        expected = oracle(x, y) / math.sqrt(oracle(x, x) * oracle(y, y))
        assert cka(x, y, debiased=debiased) == pytest.approx(expected, abs=1e-10)


def test_the_estimators_are_what_their_names_say():
    x, y = related(12)
    assert hsic(x, y) == hsic(x, y, debiased=True)
    assert cka(x, y) == cka(x, y, debiased=True)
    assert abs(hsic(x, y, debiased=False) - hsic(x, y)) > 0.1


def test_biased_cka_is_the_ratio_of_norms_of_products():
    x, y = related()
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    assert cka(x, y, debiased=False) == pytest.approx(norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y)))


def test_one_feature_each_is_the_squared_correlation_and_no_angle():
    x, y = gaussian(0, 30, 1), gaussian(1, 30, 1)
    r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    assert cka(x, y, debiased=False) == pytest.approx(r**2)
    assert cka(x, x, debiased=False) == pytest.approx(1)


@pytest.mark.parametrize(("rows", "f", "g"), [(30, 6, 9), (12, 20, 5), (12, 5, 20), (9, 9, 9)])
def test_feature_form_and_sample_form_are_equal(rows, f, g):
    x, y = (centred("here", "x", side) for side in related(rows, f, g))
    np.testing.assert_allclose(by_features(x, y), by_grams(x @ x.T, y @ y.T), rtol=1e-12)


def test_gram_of_many_columns_is_that_of_all_at_once(monkeypatch):
    x = gaussian(0, 9, 23) + 5.0
    whole = centred("here", "x", x)
    monkeypatch.setattr(importlib.import_module("mamlprobe.measure.cka"), "_COLUMNS", 4)
    np.testing.assert_allclose(gram("here", "x", x), whole @ whole.T, atol=1e-12)
    y = gaussian(1, 9, 5)
    assert cka(x, y) == pytest.approx(cka(np.pad(x, ((0, 0), (0, 9))), y), abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_both_forms_give_one_value_across_the_switch(debiased):
    x, y = related(20, 6, 9)
    padded = np.concatenate([x, np.zeros((20, 30))], 1)
    assert cka(padded, y, debiased=debiased) == pytest.approx(cka(x, y, debiased=debiased), abs=1e-10)


@pytest.mark.parametrize("debiased", [True, False])
def test_a_copy_gives_one(debiased):
    for rows, f in ((50, 6), (10, 30)):
        x = gaussian(0, rows, f)
        assert cka(x, x.copy(), debiased=debiased) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("debiased", [True, False])
def test_unchanged_by_rotation_scale_and_translation_but_not_by_a_general_map(debiased):
    x, y = related()
    rotation, _ = np.linalg.qr(gaussian(7, 6, 6))
    value = cka(x, y, debiased=debiased)
    assert cka(x @ rotation * 0.03 + 8, y, debiased=debiased) == pytest.approx(value, abs=1e-10)
    assert cka(y, x, debiased=debiased) == pytest.approx(value, abs=1e-12)
    assert abs(cka(x * np.geomspace(1, 30, 6), y, debiased=debiased) - value) > 0.05


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e12])
def test_the_scale_of_a_layer_does_not_matter(scale):
    x, y = related()
    assert cka(x * scale, y) == pytest.approx(cka(x, y), abs=1e-12)


def test_shuffled_samples_lose_the_similarity():
    x = gaussian(0, 500, 6)
    assert abs(cka(x, x[np.random.default_rng(1).permutation(500)])) < 0.02


@pytest.mark.parametrize(("rows", "f"), [(25, 64), (80, 400), (100, 10)])
def test_unrelated_inputs_give_zero_on_average(rows, f):
    values = [cka(gaussian(2 * i, rows, f), gaussian(2 * i + 1, rows, f)) for i in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)
    assert np.std(values) < 0.1


@pytest.mark.parametrize(
    ("rows", "f", "g", "expected"), [(25, 64, 64, 0.72), (80, 1600, 1600, 0.95), (500, 50, 50, 0.09), (25, 64, 5, 0.35)]
)
def test_the_biased_estimate_is_mostly_shape(rows, f, g, expected):
    """Expected products of Wishart matrices: E|X^T Y|^2 = n F G and E|X^T X|^2 = n F (F + n + 1) at n = R - 1."""
    values = [cka(gaussian(i, rows, f), gaussian(1000 + i, rows, g), debiased=False) for i in range(40)]
    assert np.mean(values) == pytest.approx(math.sqrt(f * g / ((f + rows) * (g + rows))), abs=0.02)
    assert np.mean(values) == pytest.approx(expected, abs=0.02)


def test_negative_estimates_keep_their_sign():
    values = [cka(gaussian(2 * i, 10, 20), gaussian(2 * i + 1, 10, 20)) for i in range(40)]
    assert min(values) < -0.05
    assert max(values) > 0.05


@pytest.mark.parametrize("mean", [1, 10, 100])
def test_large_means_in_float32_do_not_matter(mean):
    shared = gaussian(0, 64, 256)
    x, y = (0.1 * shared, 0.08 * shared + 0.06 * gaussian(1, 64, 256))
    value = cka(x, y)
    moved = [(side + mean).astype(np.float32) for side in (x, y)]
    assert 0.3 < value < 0.8
    assert cka(*moved) == pytest.approx(value, abs=1e-4)
    assert cka(*(torch.from_numpy(side) for side in moved)) == cka(*moved)


def test_hsic_of_all_rows_is_the_mean_over_its_minibatches():
    x, y = related(8, 3, 4)
    subsets = [list(rows) for rows in itertools.combinations(range(8), 5)]
    for a, b in ((x, y), (x, x)):
        assert np.mean([hsic(a[rows], b[rows]) for rows in subsets]) == pytest.approx(hsic(a, b), rel=1e-10)
    biased = np.mean([hsic(x[rows], y[rows], debiased=False) for rows in subsets])
    assert abs(biased / hsic(x, y, debiased=False) - 1) > 0.02


def test_cka_of_batches_averages_the_three_terms_apart():
    x, y = related(8, 3, 4)
    subsets = [list(rows) for rows in itertools.combinations(range(8), 5)]
    assert cka_batches((x[rows], y[rows]) for rows in subsets) == pytest.approx(cka(x, y), abs=1e-12)
    assert abs(np.mean([cka(x[rows], y[rows]) for rows in subsets]) - cka(x, y)) > 1e-3


def test_cka_of_one_batch_is_cka_and_of_unequal_batches_is_weighted_by_rows():
    x, y = related(20)
    assert cka_batches([(x, y)]) == pytest.approx(cka(x, y), abs=1e-14)
    parts = [(x[:14], y[:14]), (x[14:], y[14:])]
    xy, xx, yy = (sum(len(a) * hsic(*pick(a, b)) for a, b in parts) for pick in PICKS)
    assert cka_batches(parts) == pytest.approx(xy / math.sqrt(xx * yy), abs=1e-12)
    assert math.isnan(cka_batches([]))


PICKS = (lambda a, b: (a, b), lambda a, b: (a, a), lambda a, b: (b, b))


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("width", [3, 40])
def test_an_input_that_does_not_vary_gives_nan(debiased, width):
    x, y = np.full((12, width), 0.1, np.float32), gaussian(0, 12, 5)
    assert math.isnan(cka(x, y, debiased=debiased))
    assert math.isnan(cka(y, x, debiased=debiased))


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_rows_that_are_all_equally_far_apart_give_nan_and_not_a_quotient_of_roundings(scale):
    rotation, _ = np.linalg.qr(gaussian(0, 12, 12))
    x, y = rotation * scale, gaussian(1, 12, 5)
    assert math.isnan(cka(x, y))
    assert math.isnan(cka(y, x))
    assert 0 < cka(x, y, debiased=False) < 1


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize(("f", "g"), [(1, 1), (1, 30), (30, 1), (30, 30)])
def test_arrays_and_tensors_of_every_shape_give_one_plain_float_within_one(debiased, f, g):
    x, y = gaussian(0, 10, f), gaussian(1, 10, g)
    value = cka(x, y, debiased=debiased)
    assert type(value) is float
    assert abs(value) < 1
    assert cka(torch.from_numpy(x), torch.from_numpy(y).requires_grad_(), debiased=debiased) == value


def test_inputs_are_never_written_to():
    x, y = related()
    tx, ty = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    x.flags.writeable = y.flags.writeable = False
    assert cka(x, y) == cka(tx, ty)
    assert torch.equal(tx, torch.tensor(x))
    assert tx._version == ty._version == 0


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_fewer_than_four_rows_are_refused_when_debiased(rows):
    x = gaussian(0, rows, 2)
    calls = {"cka": cka, "hsic": hsic, "cka_batches": lambda a, b: cka_batches([(a, b)])}
    for where, call in calls.items():
        with pytest.raises(UserError) as caught:
            call(x, x)
        line = f"{where}: debiased HSIC needs at least 4 rows, got {rows}; pool more samples, or set debiased=False"
        assert str(caught.value) == line
    assert math.isnan(cka(x, x, debiased=False)) == (rows == 1)


def test_unequal_rows_maps_and_values_that_are_not_finite_are_refused():
    x, y = related()
    with pytest.raises(UserError, match=r"^cka: x and y must have the same samples as rows, got 40 and 39 rows"):
        cka(x, y[1:])
    with pytest.raises(UserError, match=r"^cka: x must be a matrix \[R, F\].* or flattened$"):
        cka(np.zeros((5, 2, 3, 3)), y[:5])
    y[0, 0] = np.inf
    with pytest.raises(UserError, match=r"^cka: y must be finite"):
        cka(x, y)
