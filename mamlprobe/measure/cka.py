"""Linear centred kernel alignment (Kornblith et al. 2019), debiased unless told otherwise (Song et al. 2012)."""

import math
from collections.abc import Iterable

from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.measure.spectrum import Rows, centred, inner, same_rows

_ROUNDING = 1e-12
"""A debiased self term below this part of its leading term is zero up to rounding (rows all equally far apart)."""


def cka(x: Rows, y: Rows, *, debiased: bool = True) -> float:
    """HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) of the linear kernels, with its sign.

    x [R, F], y [R, G]: rows are the same samples. Debiased: all three terms are the U-statistic, so unrelated inputs
    give 0 on average and single values may be negative. Biased: unrelated Gaussians give sqrt(FG / ((F+R)(G+R))).
    NaN only where a self term is not above 0: an input that does not vary, or (debiased) one whose rows are all
    equally far apart. Unchanged by rotation, one common scale and translation of the features, not by other maps.

    Raises:
        UserError: unequal or non-finite rows; fewer than 4 rows when debiased.
    """
    return _ratio(_terms("cka", x, y, debiased))


def hsic(x: Rows, y: Rows, *, debiased: bool = True) -> float:
    """Hilbert-Schmidt independence criterion of the linear kernels.

    x [R, F], y [R, G]: rows are the same samples. Debiased: the U-statistic (Song et al. 2012), whose mean over all
    subsets of one size is its value on all rows. Biased: ||X^T Y||_F^2 / (R - 1)^2 of the centred rows.

    Raises:
        UserError: as `cka`.
    """
    return _terms("hsic", x, y, debiased)[0]


def cka_batches(batches: Iterable[tuple[Rows, Rows]]) -> float:
    """Debiased CKA of rows that come in batches: its three terms are averaged apart, weighted by rows.

    Each batch is (x [R, F], y [R, G]) with at least 4 rows (Nguyen et al. 2021). Only the debiased terms have a mean
    that does not depend on the size of the batches. NaN as `cka`, and for no batch at all.

    Raises:
        UserError: as `cka`.
    """
    sums = [0.0] * 5
    for x, y in batches:
        sums = [have + len(x) * term for have, term in zip(sums, _terms("cka_batches", x, y, True), strict=True)]
    return _ratio((sums[0], sums[1], sums[2], sums[3], sums[4]))


def _terms(where: str, x: Rows, y: Rows, debiased: bool) -> tuple[float, float, float, float, float]:
    """HSIC of (x, y), (x, x), (y, y), and what the last two must exceed to count as positive."""
    rows, _, _ = same_rows(where, x, y)
    if debiased and rows < 4:
        raise UserError(where, "debiased HSIC needs at least 4 rows", rows, "pool more samples, or set debiased=False")
    cx, cy = centred(where, "x", x), centred(where, "y", y)
    cy = cy.to(cx.device)
    xy, xx, yy = squared_products(cx, cy)
    if not debiased:
        scale = 1 / max(rows - 1, 1) ** 2
        return xy * scale, xx * scale, yy * scale, 0.0, 0.0
    kx, ky = cx.square().sum(1), cy.square().sum(1)
    floor = _ROUNDING / (rows * (rows - 3))
    return _u(xy, kx, ky), _u(xx, kx, kx), _u(yy, ky, ky), xx * floor, yy * floor


def _u(product: float, kx: Tensor, ky: Tensor) -> float:
    """The U-statistic from ||X^T Y||_F^2 and the squared row norms of centred rows.

    Song's estimator needs the Gram matrices with their diagonals k set to zero. The full Gram matrix of centred rows
    has row sums 0, hence the emptied one has row sums -k and total -sum(k): nothing of size R x R is left.
    """
    n = len(kx)
    shared = float(kx @ ky)
    totals = float(kx.sum() * ky.sum())
    return (product - shared + totals / ((n - 1) * (n - 2)) - 2 * shared / (n - 2)) / (n * (n - 3))


def squared_products(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """||X^T Y||_F^2, ||X^T X||_F^2, ||Y^T Y||_F^2 of centred x [R, F], y [R, G], by features if few."""
    return by_features(x, y) if max(x.shape[1], y.shape[1]) < x.shape[0] else by_samples(x, y)


def by_features(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """The three products in O(R F G), for few features."""
    return _energy(inner(x, y)), _energy(inner(x, x)), _energy(inner(y, y))


def by_samples(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """The three products from the Gram matrices [R, R] in O(R^2 F), for many features."""
    gx, gy = x @ x.T, y @ y.T
    return float((gx * gy).sum()), _energy(gx), _energy(gy)


def _energy(matrix: Tensor) -> float:
    return float(matrix.square().sum())


def _ratio(terms: tuple[float, float, float, float, float]) -> float:
    xy, xx, yy, above_x, above_y = terms
    return xy / (math.sqrt(xx) * math.sqrt(yy)) if xx > above_x and yy > above_y else math.nan
