"""CCA, SVCCA and PWCCA against independent routes and under invariances."""

import numpy as np
import pytest
import scipy.linalg
import torch

from mamlprobe.measure import (
    ENOUGH_ROWS,
    SUMMARIES,
    cca,
    coefficients,
    pwcca,
    row_ratio,
    spectrum,
    summarise,
    svcca,
    truncate,
)


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def related(rows=120, f=6, g=9, seed=0):
    """Two inputs that share some directions more and some less, with means and unlike scales."""
    hidden = gaussian(seed, rows, f)
    x = hidden @ gaussian(seed + 1, f, f) + 2
    mixed = hidden * np.linspace(2, 0, f) @ gaussian(seed + 2, f, g)
    return x, mixed + gaussian(seed + 3, rows, g) * np.linspace(0.5, 3, g) - 5


def variates(x, y):
    """Canonical correlations and directions by the generalised eigenproblem Sxy Syy^-1 Syx w = rho^2 Sxx w."""
    x, y = x - x.mean(0), y - y.mean(0)
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    squares, w = scipy.linalg.eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    count = min(x.shape[1], y.shape[1])
    return np.sqrt(np.clip(squares[::-1][:count], 0, None)), w[:, ::-1][:, :count]


def joint_covariance_cca(x, y, epsilon=1e-10):
    """The reference library's algorithm: blocks of a scaled joint covariance, square roots of their pseudo-inverses."""
    f = x.shape[1]
    joint = np.cov(np.concatenate([x, y], 1).T)
    sxx, sxy, syy = joint[:f, :f], joint[:f, f:], joint[f:, f:]
    mx, my = np.abs(sxx).max(), np.abs(syy).max()
    sxx, syy, sxy = sxx / mx, syy / my, sxy / np.sqrt(mx * my)
    kx, ky = np.diag(sxx) >= epsilon, np.diag(syy) >= epsilon
    sxx, syy, sxy = sxx[kx][:, kx], syy[ky][:, ky], sxy[kx][:, ky]
    halves = []
    for block in (sxx, syy):
        values, vectors = np.linalg.eigh(np.linalg.pinv(block + epsilon * np.eye(len(block))))
        halves.append(vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T)
    return np.linalg.svd(halves[0] @ sxy @ halves[1], compute_uv=False)


def cut_at_98(rho):
    for count in range(1, len(rho) + 1):
        if sum(rho[:count]) >= 0.98 * sum(rho):
            return sum(rho[:count]) / count
    raise AssertionError


def explicit_pwcca(x, y):
    """Weights by loops: unit variates in sample space, then neurons of x one by one."""
    rho, w = variates(x, y)
    x = x - x.mean(0)
    total = weighted = 0.0
    for i in range(len(rho)):
        variate = x @ w[:, i]
        variate /= np.linalg.norm(variate)
        weight = 0.0
        for j in range(x.shape[1]):
            weight += abs(float(np.dot(variate, x[:, j])))
        total += weight
        weighted += weight * rho[i]
    return weighted / total


@pytest.mark.parametrize(("f", "g"), [(6, 9), (9, 6), (4, 4), (1, 5)])
def test_coefficients_solve_the_generalised_eigenproblem(f, g):
    x, y = related(f=f, g=g)
    rho = coefficients(spectrum(x), spectrum(y))
    np.testing.assert_allclose(rho, variates(x, y)[0], atol=1e-8)
    assert cca(x, y) == pytest.approx(rho.mean().item(), abs=1e-15)


@pytest.mark.parametrize(("f", "g"), [(6, 9), (9, 6)])
def test_agrees_with_the_joint_covariance_algorithm(f, g):
    x, y = related(f=f, g=g)
    rho = joint_covariance_cca(x, y)
    np.testing.assert_allclose(coefficients(spectrum(x), spectrum(y)), rho, atol=1e-7)
    assert cca(x, y, summary="top98") == pytest.approx(cut_at_98(rho), abs=1e-7)


def test_dead_channels_change_nothing_and_give_no_nan():
    x, y = related()
    dead = np.insert(np.insert(x, 2, 0.0, 1), 5, 7.7, 1)
    doubled = np.concatenate([x, x @ gaussian(9, x.shape[1], 2)], 1)
    assert cca(doubled, y) == pytest.approx(cca(x, y), abs=1e-10)
    for measure in (cca, svcca, pwcca):
        assert measure(dead, y) == pytest.approx(measure(x, y), abs=1e-10)
        assert measure(y, dead) == pytest.approx(measure(y, x), abs=1e-10)
    np.testing.assert_allclose(joint_covariance_cca(dead, y), joint_covariance_cca(x, y), atol=1e-7)


def test_one_feature_each_is_the_absolute_correlation():
    x, y = gaussian(0, 30, 1), gaussian(1, 30, 1)
    r = abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    assert cca(x, y) == pytest.approx(r)
    assert cca(x, y, summary="mean_squared") == pytest.approx(r**2)
    assert pwcca(x, y) == pytest.approx(r)


@pytest.mark.parametrize("condition", [1, 1e2, 1e4])
def test_unchanged_by_any_invertible_map_and_translation(condition):
    x, y = related()
    u, v = (np.linalg.qr(gaussian(seed, 6, 6))[0] for seed in (20, 21))
    mapped = x @ (u * np.geomspace(1, 1 / condition, 6) @ v) + 11
    assert cca(mapped, y) == pytest.approx(cca(x, y), abs=1e-9)
    rotated = x @ u * 3e-7 - 4
    assert svcca(rotated, y) == pytest.approx(svcca(x, y), abs=1e-9)


def test_svcca_and_pwcca_do_change_under_a_general_map():
    x, y = related()
    mapped = x * np.geomspace(1, 1e4, 6)
    assert abs(svcca(mapped, y) - svcca(x, y)) > 0.01
    assert abs(pwcca(mapped, y) - pwcca(x, y)) > 0.01


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_a_copy_gives_one(measure):
    x, _ = related()
    assert measure(x, x.copy()) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("summary", list(SUMMARIES))
def test_a_copy_gives_one_in_every_summary(summary):
    x, _ = related()
    assert cca(x, x, summary=summary) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_shuffled_samples_lose_the_similarity(measure):
    x, _ = related(rows=600)
    assert measure(x, x[np.random.default_rng(0).permutation(600)]) < 0.2


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_large_means_in_float32_do_not_matter(measure):
    x, y = (side.astype(np.float32) for side in related())
    assert measure(x + np.float32(100), y + np.float32(100)) == pytest.approx(measure(x, y), abs=1e-4)


def test_unrelated_inputs_have_the_null_of_their_shape():
    squares = [cca(gaussian(2 * i, 80, 20), gaussian(2 * i + 1, 80, 8), summary="mean_squared") for i in range(100)]
    assert np.mean(squares) == pytest.approx(20 / 79, abs=0.01)


@pytest.mark.parametrize(("rows", "expected"), [(80, 0.85), (640, 0.27), (6400, 0.08)])
def test_the_shape_alone_inflates_the_mean(rows, expected):
    x, y = gaussian(0, rows, 64), gaussian(1, rows, 64)
    assert cca(x, y) == pytest.approx(expected, abs=0.01)
    assert (row_ratio(x, y) < ENOUGH_ROWS) == (rows < 640)


def test_summaries_by_hand():
    rho = torch.tensor([0.9, 0.5, 0.4, 0.02, 0.01], dtype=torch.float64)
    assert summarise(rho, "mean") == pytest.approx(1.83 / 5)
    assert summarise(rho, "mean_squared") == pytest.approx((0.81 + 0.25 + 0.16 + 0.0004 + 0.0001) / 5)
    assert summarise(rho, "top98") == pytest.approx(0.6)
    assert summarise(torch.tensor([0.9, 0.5, 0.4, 0.05, 0.01]), "top98") == pytest.approx(1.85 / 4)
    assert summarise(torch.zeros(3), "top98") == 0


def test_the_mean_of_squares_is_the_explained_share_of_the_smaller_space():
    x, y = related(f=6, g=9)
    qx, qy = (np.linalg.qr(side - side.mean(0))[0] for side in (x, y))
    assert cca(x, y, summary="mean_squared") == pytest.approx(((qy.T @ qx) ** 2).sum() / 6)


def test_a_few_shared_directions_are_a_mean_of_ones_and_the_null():
    shared = gaussian(0, 4000, 3)
    x, y = (np.concatenate([shared, gaussian(seed, 4000, 3)], 1) for seed in (1, 2))
    rho = coefficients(spectrum(x), spectrum(y))
    np.testing.assert_allclose(rho[:3], 1, atol=1e-10)
    assert rho[3:].max() < 0.08


@pytest.mark.parametrize("rows", [60, 12])
def test_rank_five_data_keeps_five_directions(rows):
    hidden = gaussian(0, rows, 5)
    x, y = hidden @ gaussian(1, 5, 40), hidden @ gaussian(2, 5, 30)
    assert truncate(spectrum(x), 1.0).rank == 5
    assert truncate(spectrum(x), 0.99).rank <= 5
    assert svcca(x, y, variance=1.0) == pytest.approx(1, abs=1e-9)


def with_squares(squares, rows=30):
    """Centred rows whose squared singular values are `squares`."""
    noise = gaussian(0, rows, len(squares))
    return np.linalg.qr(noise - noise.mean(0))[0] * np.sqrt(squares)


@pytest.mark.parametrize(
    ("variance", "kept"), [(0.5, 1), (0.8, 1), (0.81, 2), (0.95, 2), (0.96, 3), (0.99, 3), (0.995, 4), (1.0, 4)]
)
def test_svcca_keeps_the_fewest_directions_that_reach_the_share_of_squares(variance, kept):
    assert truncate(spectrum(with_squares([80, 15, 4, 1])), variance).rank == kept


def test_svcca_is_cca_of_the_leading_principal_components():
    x, y = related()
    parts = []
    for side in (x, y):
        side = side - side.mean(0)
        values, vectors = np.linalg.eigh(side.T @ side)
        values, vectors = values[::-1], vectors[:, ::-1]
        count = next(k for k in range(1, 99) if values[:k].sum() >= 0.9 * values.sum())
        parts.append(side @ vectors[:, :count])
    assert parts[0].shape[1] < 6
    assert parts[1].shape[1] < 9
    for summary in SUMMARIES:
        assert svcca(x, y, variance=0.9, summary=summary) == pytest.approx(cca(*parts, summary=summary), abs=1e-9)


def test_the_whole_variance_is_plain_cca():
    x, y = related()
    assert svcca(x, y, variance=1.0) == pytest.approx(cca(x, y), abs=1e-12)


@pytest.mark.parametrize(("f", "g"), [(6, 9), (9, 6), (5, 5)])
def test_pwcca_is_the_weighted_mean_by_loops(f, g):
    x, y = related(f=f, g=g)
    assert pwcca(x, y) == pytest.approx(explicit_pwcca(x, y), abs=1e-7)


def test_pwcca_weights_come_from_the_first_input():
    x, y = related(f=7, g=7)
    assert abs(pwcca(x, y) - pwcca(y, x)) > 0.005
    assert pwcca(y, x) == pytest.approx(explicit_pwcca(y, x), abs=1e-7)
    loud = gaussian(5, 2000, 2) * [100, 1]
    first = loud[:, :1] + gaussian(6, 2000, 1)
    both = np.concatenate([first, gaussian(7, 2000, 1)], 1)
    assert pwcca(loud, both) > 0.97
    assert cca(loud, both) < 0.55
