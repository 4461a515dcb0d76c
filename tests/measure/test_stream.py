"""One streamed pass against the SVD of all rows, and when it takes float64 products, the SVD, or refuses."""

import math
import weakref

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import cca, cka, pwcca, stream, svcca
from mamlprobe.measure import streamed_products as products
from mamlprobe.measure.spectrum import Spectrum, by_svd, centred
from mamlprobe.native.build import compiler
from mamlprobe.native.load import kernels

ROWS = 9000
"""More than two chunks of 4,096."""

MEASURES = {
    "cca": (lambda found: found.cca(), cca),
    "mean_squared": (
        lambda found: found.cca(summary="mean_squared"),
        lambda x, y: cca(x, y, summary="mean_squared"),
    ),
    "top98": (lambda found: found.cca(summary="top98"), lambda x, y: cca(x, y, summary="top98")),
    "svcca": (lambda found: found.svcca(), svcca),
    "svcca_half": (lambda found: found.svcca(variance=0.5), lambda x, y: svcca(x, y, variance=0.5)),
    "pwcca": (lambda found: found.pwcca(), pwcca),
}


@pytest.fixture(params=["compiled kernels", "torch alone"], autouse=True)
def _route(request, monkeypatch):
    """Everything holds for both."""
    if request.param == "torch alone":
        monkeypatch.setattr(products, "supported", lambda x: False)
    elif compiler() is None:
        pytest.skip("no compiler, no compiled kernels")
    else:
        assert kernels() is not None


def gaussian(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(rows=ROWS, dtype=torch.float32, mean=3.0):
    """Well conditioned x [R, 8], y [R, 6] that share some directions more and some less, of unlike scales."""
    hidden = gaussian(0, rows, 8)
    x = hidden * torch.linspace(1, 2, 8) + mean
    y = hidden[:, :6] * torch.linspace(2, 0.1, 6) + gaussian(1, rows, 6) - 2 * mean
    return x.to(dtype), y.to(dtype)


def nearly_collinear(gap, rows=ROWS):
    """Two channels of x that differ by `gap` of their spread."""
    x, y = related(rows)
    x[:, 1] = x[:, 0] + gap * gaussian(2, rows).float()
    return x, y


def batches(x, y, size):
    return lambda: zip(x.split(size), y.split(size))


def agrees(found, x, y, tolerance):
    """All similarities are those of the SVDs of all rows, and the debiased and biased CKA of all rows."""
    sides = [by_svd(centred("here", "x", side), 1e-6) for side in (x, y)]
    for name, (streamed, whole) in MEASURES.items():
        assert streamed(found) == pytest.approx(whole(*sides), abs=tolerance), name
    for debiased in (True, False):
        assert found.cka(debiased=debiased) == pytest.approx(cka(x, y, debiased=debiased), abs=tolerance)


def test_covariances_and_means_are_those_of_all_rows():
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-7)):
        x, y = related(dtype=dtype)
        found, joint = stream((x, y)), np.cov(torch.cat([x, y], 1).double().numpy().T)
        assert found.rows == ROWS
        assert found.products is dtype
        for block, wanted in ((found.xx, joint[:8, :8]), (found.xy, joint[:8, 8:]), (found.yy, joint[8:, 8:])):
            np.testing.assert_allclose(block, wanted, rtol=0, atol=tolerance * joint.max())
        np.testing.assert_allclose(found.mean_x, x.double().mean(0), atol=tolerance)
        np.testing.assert_allclose(found.mean_y, y.double().mean(0), atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_similarities_are_those_of_the_svd(dtype, tolerance):
    x, y = related(dtype=dtype)
    found = stream((x, y))
    assert found.products is dtype
    agrees(found, x, y, tolerance)
    agrees(stream((y, x)), y, x, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_are_about_the_mean_wherever_the_first_rows_lie(dtype):
    x, y = related(dtype=dtype)
    order = x[:, 0].argsort()
    x, y = x[order] * 3, y[order]
    agrees(stream((x, y)), x, y, 1e-10 if dtype is torch.float64 else 1e-6)
    kx, ky = ((side.double() - side.double().mean(0)).square().sum(1) for side in (x, y))
    wanted = [kx @ ky, kx @ kx, ky @ ky, kx.sum(), ky.sum()]
    np.testing.assert_allclose(stream((x, y)).norms, wanted, rtol=1e-12 if dtype is torch.float64 else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 7, 512, 4095, 4097])
def test_how_rows_are_cut_into_batches_changes_no_bit(size, dtype):
    x, y = related(dtype=dtype)
    whole, cut = stream((x, y)), stream(batches(x, y, size))
    assert cut.products is dtype
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        assert torch.equal(getattr(whole, name), getattr(cut, name))
    assert (whole.norms, whole.rows) == (cut.norms, cut.rows)
    assert (whole.cca(), whole.cka()) == (cut.cca(), cut.cka())


@pytest.mark.parametrize("rows", [20, 511, 513])
def test_few_rows_are_no_exception(rows):
    x, y = related(rows)
    agrees(stream((x, y)), x, y, 1e-6)


def test_a_batch_is_let_go_before_the_next_but_one():
    x, y = related()
    alive = []

    def fresh():
        for a, b in zip(x.split(900), y.split(900)):
            assert sum(reference() is not None for reference in alive) <= 2  # this one and the last
            a, b = a.clone(), b.clone()
            alive.append(weakref.ref(a))
            yield a, b

    stream(fresh)
    assert len(alive) == 10
    assert not any(reference() is not None for reference in alive)


def test_dead_channels_are_dropped_and_need_no_float64():
    x, y = related()
    dead = torch.cat([x[:, :2], torch.zeros(ROWS, 1), x[:, 2:], torch.full((ROWS, 1), 0.1)], 1)
    found = stream((dead, torch.cat([torch.zeros(ROWS, 2), y], 1)))
    assert found.products is torch.float32
    assert [side.rank for side in found.spectra] == [8, 6]
    assert float(found.xx[2].abs().max()) == float(found.xx[9].abs().max()) == 0
    agrees(found, x, y, 1e-6)


def test_the_scales_of_channels_need_no_float64():
    x, y = related()
    found = stream((x * torch.logspace(-4, 0, 8), y))
    assert found.products is torch.float32
    assert found.cca() == pytest.approx(cca(x, y), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 1e15])
def test_numbers_whose_squares_float32_does_not_hold_are_multiplied_in_float64(scale):
    x, y = related()
    found = stream((x * scale, y))
    assert found.products is torch.float64
    agrees(found, x * scale, y, 1e-10)


@pytest.mark.parametrize("mean", [100.0, 1e4])
def test_large_means_cost_no_digits(mean):
    x, y = related(mean=mean)
    found = stream((x, y))
    assert found.products is torch.float32
    agrees(found, x, y, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_multiplied_in_float32(dtype):
    x, y = related(dtype=dtype)
    found = stream((x, y))
    assert found.products is torch.float32
    agrees(found, x, y, 1e-6)


@pytest.mark.parametrize("kind", ["relu", "grid", "half", "mean"])
def test_numbers_that_come_again_and_again_do_not_pile_up_rounding(kind):
    x = gaussian(0, 4 * ROWS, 6).float()
    x = {
        "relu": (x - 0.2).relu(),
        "grid": (x * 1024).round() / 1024,
        "half": x.bfloat16().float(),
        "mean": x + 1e4,
    }[kind]
    found, wanted = stream((x, x)), torch.cov(x.double().T)
    scale = wanted.diagonal().sqrt()
    assert float(((found.xx - wanted) / scale / scale[:, None]).abs().max()) < 3e-8


@pytest.mark.parametrize("gap", [1e-2, 1e-3])
def test_nearly_collinear_channels_are_multiplied_again_in_float64(gap):
    x, y = nearly_collinear(gap)
    calls = []

    def counted():
        calls.append(1)
        return zip(x.split(1000), y.split(1000))

    found = stream(counted)
    assert len(calls) == 2
    assert found.products is torch.float64
    agrees(found, x, y, 1e-7)
    agrees(stream((x, y)), x, y, 1e-7)


def test_dependent_channels_are_dropped_in_float64():
    x, y = related()
    doubled = torch.cat([x, x[:, :1] - 2 * x[:, 1:2], y[:, :1].expand(-1, 2)], 1)
    found = stream((doubled, y))
    assert found.products is torch.float64
    assert found.spectra[0].rank == 9
    agrees(found, doubled, y, 1e-9)


def test_a_shift_far_from_the_mean_is_taken_in_float64():
    x, y = related()
    late = torch.arange(ROWS)[:, None] >= 8192
    x, y = x + 3e3 * late, y + 3e3 * late * torch.linspace(1, 2, 6)
    found = stream((x, y))
    assert found.products is torch.float64
    agrees(found, x, y, 1e-6)


def test_what_covariances_do_not_tell_is_decomposed_by_svd_where_rows_are_in_memory():
    x, y = nearly_collinear(1e-5)
    found = stream((x, y))
    assert [type(side) for side in found.spectra] == [Spectrum, Spectrum]
    agrees(found, x, y, 1e-9)


@pytest.mark.parametrize("name", ["cca", "svcca", "pwcca"])
def test_what_covariances_do_not_tell_is_refused_for_batches_but_for_cka(name):
    x, y = nearly_collinear(1e-5)
    found = stream(batches(x, y, 1000))
    assert found.spectra is None
    assert found.cka() == pytest.approx(cka(x, y), abs=1e-10)
    with pytest.raises(UserError) as caught:
        getattr(found, name)()
    line = f"{name}: streamed channels must not be nearly collinear, "
    line += "got eigenvalues of a covariance between 5e-13 and 1e-09 of the largest; "
    line += "give all rows as one pair of tensors, for which there is the SVD, or use cka"
    assert str(caught.value) == line


def test_an_input_is_all_similar_to_itself():
    x, _ = related()
    found = stream((x, x))
    assert found.products is torch.float32
    assert found.cca() == pytest.approx(1, abs=1e-6)
    assert found.cka() == pytest.approx(1, abs=1e-6)


def test_arrays_are_read_as_tensors_are_and_left_alone():
    x, y = related()
    want, before = stream((x, y)), x.clone()
    a, b = x.numpy().copy(), y.numpy()
    a.flags.writeable = False
    for left in (a, np.asfortranarray(a), a[::-1][::-1], x.clone().requires_grad_(), x.T.contiguous().T):
        found = stream((left, b))
        assert found.products is torch.float32
        assert torch.equal(found.xx, want.xx)
        assert not found.xx.requires_grad
    assert torch.equal(x, before)


def test_integers_and_mixed_types_are_multiplied_in_float64():
    x, y = related()
    whole = (x * 10).round()
    for left in (whole.long(), whole.int().numpy(), whole.double()):
        found = stream((left, y))
        assert found.products is torch.float64
        agrees(found, whole, y, 1e-10)
    late = stream(lambda: iter([(x[:5000], y[:5000]), (x[5000:].double(), y[5000:])]))
    assert late.products is torch.float64
    agrees(late, x, y, 1e-10)


def test_where_float32_products_keep_fewer_digits_they_are_not_taken():
    x, y = related()
    torch.set_float32_matmul_precision("medium")
    try:
        assert stream((x, y)).products is torch.float64
    finally:
        torch.set_float32_matmul_precision("highest")
    assert stream((x, y)).products is torch.float32


def test_gradients_of_who_makes_the_batches_are_not_switched_off():
    weight = torch.ones(2, requires_grad=True)

    def made():
        assert torch.is_grad_enabled()
        yield gaussian(0, 20, 2) * weight, gaussian(1, 20, 2) * weight

    assert not stream(made).xx.requires_grad


def test_an_input_that_does_not_vary_has_no_similarity():
    x, _ = related()
    found = stream((torch.full((ROWS, 3), 0.1), x))
    for name in ("cca", "svcca", "pwcca", "cka"):
        assert math.isnan(getattr(found, name)())


def test_doors_still_refuse_what_they_refuse():
    x, y = related(8)
    with pytest.raises(UserError, match=r"^cca: R - 1 > max\(F, G\) must hold.*, got R = 8, F = 8, G = 6; take pos"):
        stream((x, y)).cca()
    with pytest.raises(UserError, match=r"^svcca: variance must be in \(0, 1\], got 2; "):
        stream((x, y)).svcca(variance=2)
    with pytest.raises(UserError, match=r"^cka: debiased HSIC needs at least 4 rows, got 3; pool more"):
        stream((x[:3], y[:3])).cka()
    assert stream((x[:3], y[:3])).cka(debiased=False) == pytest.approx(cka(x[:3], y[:3], debiased=False))


@pytest.mark.parametrize("source", [[(1, 2)], iter([]), (1, 2, 3), torch.zeros(3, 2)])
def test_anything_but_a_pair_or_a_function_is_refused(source):
    line = "stream: rows must be a pair (x, y) or a function that returns batches of such, "
    line += f"got {type(source).__name__}; write stream(lambda: batches)"
    with pytest.raises(UserError) as caught:
        stream(source)
    assert str(caught.value) == line


def test_an_iterator_that_was_used_up_is_refused():
    x, y = nearly_collinear(1e-3)
    used = iter([(x, y)])
    line = "stream: the function must start from the beginning whenever it is called, got the same iterator twice; "
    line += "make the iterator inside the function"
    with pytest.raises(UserError) as caught:
        stream(lambda: used)
    assert str(caught.value) == line
    with pytest.raises(UserError) as caught:
        stream(lambda: used)
    line = "stream: there must be at least one batch, got none; see whether an iterator was used up"
    assert str(caught.value) == line


def test_batches_of_other_shapes_are_refused():
    x, y = related(20)
    with pytest.raises(UserError) as caught:
        stream(lambda: [(x, y), (x[:, :3], y)])
    line = "stream: all batches must have the same features, got F = 3, G = 6 after F = 8, G = 6; "
    assert str(caught.value) == line + "stream one layer at a time"
    with pytest.raises(UserError, match=r"^stream: x and y must have the same samples as rows, got 20 and 19 rows; "):
        stream((x, y[1:]))
    with pytest.raises(UserError, match=r"^stream: y must be a matrix \[R, F\], rows are samples, got \[20\]; "):
        stream((x, y[:, 0]))
    with pytest.raises(UserError, match=r"^stream: x must hold real numbers, got torch.complex64; convert it$"):
        stream((x.to(torch.complex64), y))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("row", [0, 8500])
def test_rows_that_are_not_finite_are_refused(bad, dtype, row):
    x, y = related(dtype=dtype)
    y[row, 2] = bad
    with pytest.raises(UserError) as caught:
        stream((x, y))
    line = "stream: x and y must be finite, got NaN or infinity; look for the update where the net diverged"
    assert str(caught.value) == line
