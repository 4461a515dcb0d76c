"""Procrustes similarity against scipy's rotation, a search over rotations, and its invariances."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import procrustes, procrustes_distance, spectrum


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def pair(rows, f, g, mix=0.7):
    x = gaussian(0, rows, f)
    return x, mix * x @ gaussian(1, f, g) + gaussian(2, rows, g)


def unit(x, width):
    """Centred, of norm 1, and with columns of zeros up to the width."""
    x = x - x.mean(0)
    return np.pad(x / np.linalg.norm(x), ((0, 0), (0, width - x.shape[1])))


SHAPES = [(30, 5, 5), (30, 4, 7), (30, 7, 4), (6, 20, 15), (6, 20, 3), (2, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_distance_is_what_the_best_rotation_leaves(shape):
    x, y = pair(*shape)
    a, b = (unit(side, max(shape[1:])) for side in (x, y))
    turn, total = scipy.linalg.orthogonal_procrustes(b, a)
    left = np.linalg.norm(a - b @ turn)
    assert procrustes_distance(x, y) == pytest.approx(left, abs=1e-7)
    assert procrustes(x, y) == pytest.approx(total, abs=1e-10)
    assert procrustes(x, y) == pytest.approx(1 - left**2 / 2, abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_of_singular_values_in_numpy(shape):
    x, y = pair(*shape)
    a, b = unit(x, x.shape[1]), unit(y, y.shape[1])
    assert procrustes(x, y) == pytest.approx(np.linalg.svd(a.T @ b, compute_uv=False).sum(), abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_spectra_stand_for_their_inputs(shape):
    x, y = pair(*shape)
    value, sx, sy = procrustes(x, y), spectrum(x), spectrum(y)
    for one, two in ((sx, sy), (x, sy), (sx, y)):
        assert procrustes(one, two) == pytest.approx(value, abs=1e-10)
    assert procrustes_distance(sx, sy) == pytest.approx(procrustes_distance(x, y), abs=1e-8)
    assert math.isnan(procrustes(sx, spectrum(np.ones((shape[0], 2)))))


def test_in_the_plane_by_search_over_angles():
    x, y = pair(12, 2, 2)
    a, b = unit(x, 2), unit(y, 2)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    c, s = np.cos(angles), np.sin(angles)
    turned = [np.stack([np.stack([c, -s]), sign * np.stack([s, c])]) for sign in (1, -1)]
    best = max(np.einsum("rf,rg,fga->a", a, b, turn).max() for turn in turned)
    assert procrustes(x, y) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("shape", [(30, 5, 6), (8, 40, 30)])
def test_rotation_scale_and_translation_do_not_matter_and_a_general_map_does(shape):
    x, y = pair(*shape)
    value, g = procrustes(x, y), shape[2]
    turn = np.linalg.qr(gaussian(5, g, g))[0]
    assert procrustes(x, 3 * y @ turn + gaussian(6, g)) == pytest.approx(value, abs=1e-10)
    assert procrustes(y, x) == pytest.approx(value, abs=1e-10)
    assert procrustes(x, 2 * x @ np.linalg.qr(gaussian(5, shape[1], shape[1]))[0] - 1) == pytest.approx(1, abs=1e-10)
    assert abs(procrustes(x, y * np.linspace(1, 9, g)) - value) > 1e-3


def test_of_more_features_than_rows_unrelated_inputs_are_near_one():
    assert procrustes(gaussian(0, 20, 4000), gaussian(1, 20, 4000)) > 0.97
    assert procrustes(gaussian(0, 4000, 20), gaussian(1, 4000, 20)) < 0.1


def test_tensors_and_arrays_of_any_type_are_read_alike_and_kept():
    x, y = pair(20, 4, 4)
    expected = procrustes(x, y)
    kept = x.copy()
    assert procrustes(torch.from_numpy(x).requires_grad_(), y) == expected
    assert procrustes(torch.from_numpy(x).float(), y) == pytest.approx(expected, abs=1e-6)
    assert (x == kept).all()


def test_what_does_not_vary_has_no_value():
    x = gaussian(0, 10, 3)
    for one, two in ((x, np.full((10, 2), 0.1)), (np.zeros((10, 2)), x), (x[:1], x[:1])):
        assert math.isnan(procrustes(one, two))
        assert math.isnan(procrustes_distance(one, two))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (gaussian(0, 9, 3), "x and y must have the same samples as rows, got 9 and 10 rows; record both on one input"),
        (
            np.where(np.arange(10)[:, None] == 3, np.nan, gaussian(0, 10, 3)),
            "x must be finite, got NaN or infinity; look for the update where the net diverged",
        ),
    ],
)
def test_messages(x, message):
    with pytest.raises(UserError) as caught:
        procrustes(x, gaussian(1, 10, 3))
    assert str(caught.value) == f"procrustes: {message}"
