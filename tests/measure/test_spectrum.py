"""Reading and centring an input, and its singular directions by two routes."""

import numpy as np
import pytest
import torch

from mamlprobe.base.arrays import to_float64
from mamlprobe.base.errors import UserError
from mamlprobe.measure import coefficients, spectrum
from mamlprobe.measure.spectrum import by_covariance, by_svd, centred, inner


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def conditioned(seed, rows, width, ratio):
    """Rows whose centred singular values fall geometrically from 1 to `ratio`."""
    left, _ = np.linalg.qr(gaussian(seed, rows, width) - gaussian(seed, rows, width).mean(0))
    right, _ = np.linalg.qr(gaussian(seed + 1, width, width))
    return left * np.geomspace(1, ratio, width) @ right.T


def test_the_parts_give_back_the_centred_input():
    x = gaussian(0, 50, 7) @ gaussian(1, 7, 7) + 3
    found = spectrum(x)
    eye = torch.eye(7, dtype=torch.float64)
    torch.testing.assert_close(found.U @ torch.diag(found.s) @ found.V.T, torch.from_numpy(x - x.mean(0)))
    torch.testing.assert_close(found.U.T @ found.U, eye)
    torch.testing.assert_close(found.V.T @ found.V, eye)
    np.testing.assert_allclose(found.s, np.linalg.svd(x - x.mean(0), compute_uv=False))
    assert found.shape == (50, 7)
    assert found.energy == pytest.approx(((x - x.mean(0)) ** 2).sum())


@pytest.mark.parametrize("ratio", [0.5, 1e-2])
def test_both_routes_agree_where_the_covariance_is_sound(ratio):
    x, y = (centred("here", "x", conditioned(seed, 700, 9, ratio)) for seed in (0, 5))
    y = y + 0.5 * x
    fast, slow = ([route(side, 1e-6) for side in (x, y)] for route in (by_covariance, by_svd))
    assert None not in fast
    torch.testing.assert_close(coefficients(*fast), coefficients(*slow), rtol=0, atol=1e-10)
    torch.testing.assert_close(fast[0].s, slow[0].s, rtol=1e-9, atol=0)


def test_the_covariance_route_gives_up_where_it_would_show():
    x = centred("here", "x", conditioned(0, 300, 6, 1e-4))
    assert by_covariance(x, 1e-6) is None
    found = spectrum(x)
    assert found.rank == 6
    torch.testing.assert_close(found.U.T @ found.U, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-13)


def test_the_tolerance_is_relative_and_the_same_on_both_routes():
    x = gaussian(0, 200, 5)
    x[:, 4] *= 1e-7
    for scale in (1, 1e-9, 1e9):
        assert spectrum(x * scale).rank == 4
        assert by_svd(centred("here", "x", x * scale), 1e-6).rank == 4
        assert spectrum(x * scale, tolerance=1e-9).rank == 5


def test_dead_and_repeated_channels_are_dropped():
    x = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
    x[:, 1] = 0.1
    x[:, 3] = 0
    x[:, 5] = 2 * x[:, 0] - x[:, 2]
    found = spectrum(x)
    assert found.rank == 3
    assert found.V.shape == (6, 3)
    rows = centred("here", "x", x)
    fast, slow = by_covariance(rows, 1e-6), by_svd(rows, 1e-6)
    assert fast is not None
    assert fast.rank == slow.rank == 3


@pytest.mark.parametrize("width", [3, 30])
def test_a_constant_input_has_rank_zero(width):
    assert spectrum(np.full((20, width), 0.1, np.float32)).rank == 0


def test_more_features_than_rows_have_rank_r_minus_one():
    assert spectrum(gaussian(0, 12, 40)).rank == 11


@pytest.mark.parametrize("mean", [0, 1e2, 1e8])
def test_centring_leaves_no_trace_of_the_mean(mean):
    x = np.round(gaussian(0, 40, 3) * 1024) / 1024
    rows = centred("here", "x", x + mean).numpy()
    np.testing.assert_allclose(rows, x - x.mean(0), atol=1e-13)


def test_a_long_sum_in_pieces_is_the_product_to_the_last_digits():
    x, y = gaussian(0, 4000, 3) + 5, gaussian(1, 4000, 2)
    exact = (x.astype(np.longdouble).T @ y.astype(np.longdouble)).astype(float)
    np.testing.assert_allclose(inner(torch.from_numpy(x), torch.from_numpy(y)), exact, rtol=0, atol=1e-10)
    np.testing.assert_allclose(inner(torch.from_numpy(x), torch.from_numpy(x)), x.T @ x, rtol=1e-14)


def test_reordered_samples_keep_the_directions():
    x, order = gaussian(0, 30, 4), np.random.default_rng(1).permutation(30)
    found = spectrum(x).take(torch.from_numpy(order))
    np.testing.assert_allclose(found.U.numpy() * found.s.numpy() @ found.V.numpy().T, (x - x.mean(0))[order])


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_every_real_type_is_read_as_float64(kind):
    x = (gaussian(0, 5, 2) > 0).astype(kind)
    for value in (x, torch.from_numpy(x)):
        assert to_float64("here", "x", value).dtype is torch.float64
        assert to_float64("here", "x", value).tolist() == x.astype(float).tolist()


def test_the_copy_is_the_functions_own():
    x = gaussian(0, 6, 3)
    x.flags.writeable = False
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    for value in (x, x[::-1], x.T, tensor, tensor[:1].expand(6, 3)):
        before = value.tolist()
        copy = to_float64("here", "x", value)
        copy += 1
        assert not copy.requires_grad
        assert value.tolist() == before


def test_a_spectrum_does_not_see_what_is_done_to_its_input_later():
    x = torch.from_numpy(gaussian(0, 40, 4))
    found, before = spectrum(x), spectrum(x.clone())
    x.relu_()
    assert torch.equal(found.U, before.U)


@pytest.mark.parametrize("shape", [(5, 2, 3, 3), (7,), (0, 3), (4, 0)])
def test_anything_but_a_matrix_is_refused(shape):
    line = f"here: x must be a matrix [R, F], rows are samples, got {list(shape)}; "
    line += "choose how maps become rows: positions as rows, pooled, or flattened"
    for value in (np.zeros(shape), torch.zeros(shape)):
        with pytest.raises(UserError) as caught:
            centred("here", "x", value)
        assert str(caught.value) == line


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3])
def test_values_that_are_not_finite_are_refused(bad, row):
    x = gaussian(0, 6, 3)
    x[row, 1] = bad
    with pytest.raises(UserError, match=r"^spectrum: x must be finite, got NaN or infinity; look for the update"):
        spectrum(x)


@pytest.mark.parametrize("x", [np.ones((3, 2), complex), torch.ones(3, 2, dtype=torch.complex64), np.array([["a"]])])
def test_values_that_are_not_real_are_refused(x):
    with pytest.raises(UserError, match=r"^spectrum: x must hold real numbers, got .*; convert it$"):
        spectrum(x)
