"""Linear centred kernel alignment (Kornblith et al. 2019), debiased by default (Song et al. 2012)."""

import math
from collections.abc import Iterable

from torch import Tensor

from mamlprobe.base.arrays import given
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.measure.once import once
from mamlprobe.measure.spectrum import Rows, centred, inner, same_rows

Norms = tuple[float, float, float, float, float]
"""Sums over rows of k_x k_y, k_x^2, k_y^2, k_x and k_y, where k is the squared norm of a centred row."""

Terms = tuple[float, float, float, float, float]
"""HSIC of (x, y), (x, x), (y, y), and what the last two must exceed to count as positive."""

_COLUMNS = 1024
"""Features that are processed at a time for a Gram matrix."""

_ROUNDING = 1e-12
"""A debiased self term below this part of its leading term is zero up to rounding (rows all equally far apart)."""


@door()
def cka(x: Rows, y: Rows, *, debiased: bool = True) -> float:
    """Compute HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) of the linear kernels, with its sign.

    x [R, F], y [R, G]: rows are the same samples. Debiased: all three terms are the U-statistic, so unrelated inputs
    give 0 on average and single values may be negative. Biased: unrelated Gaussians give sqrt(FG / ((F+R)(G+R))).
    NaN only where a self term is not above 0: an input that does not vary, or (debiased) one whose rows are all
    equally far apart. Unchanged by rotation, one common scale and translation of the features, not by other maps.
    With max(F, G) < R it takes O(R F G) and a float64 copy of both; else O(R^2 (F + G)) and two matrices [R, R] plus
    some columns of one input: flattened maps are not copied. `stream` takes rows in batches, for many rows.

    Kornblith et al. 2019; the U-statistic: Song et al. 2012.

    Raises:
        UserError: unequal or non-finite rows; fewer than 4 rows when debiased.

    Examples:
        >>> import numpy as np
        >>> import mamlprobe as mp
        >>> random = np.random.default_rng(0)
        >>> x = random.normal(size=(200, 5))
        >>> rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
        >>> round(mp.cka(x, 3 * x @ rotation + 1), 6)
        1.0
        >>> few, other = random.normal(size=(2, 50, 500))  # fewer rows than features, unrelated
        >>> round(mp.cka(few, other, debiased=False), 2), abs(mp.cka(few, other)) < 0.1
        (0.91, True)
    """
    return _ratio(_terms("cka", x, y, debiased))


@door()
def hsic(x: Rows, y: Rows, *, debiased: bool = True) -> float:
    """Compute the Hilbert-Schmidt independence criterion of the linear kernels.

    x [R, F], y [R, G]: rows are the same samples. Debiased: the U-statistic (Song et al. 2012), whose mean over all
    subsets of one size is its value on all rows. Biased: ||X^T Y||_F^2 / (R - 1)^2 of the centred rows.

    Raises:
        UserError: as `cka`.
    """
    return _terms("hsic", x, y, debiased)[0]


@door()
def cka_batches(batches: Iterable[tuple[Rows, Rows]]) -> float:
    """Compute debiased CKA of rows that come in batches: each of its three terms is averaged, weighted by rows.

    Each batch is (x [R, F], y [R, G]) with at least 4 rows (Nguyen et al. 2021). Only the debiased terms have a mean
    that does not depend on the size of the batches. NaN as `cka`, and for no batch at all.

    Raises:
        UserError: as `cka`.
    """
    sums = [0.0] * 5
    for x, y in batches:
        x, y = given("cka_batches", "x", x), given("cka_batches", "y", y)
        sums = [have + len(x) * term for have, term in zip(sums, _terms("cka_batches", x, y, True), strict=True)]
    return _ratio((sums[0], sums[1], sums[2], sums[3], sums[4]))


def _terms(where: str, x: Rows, y: Rows, debiased: bool) -> Terms:
    x, y = given(where, "x", x), given(where, "y", y)
    rows, f, g = same_rows(where, x, y)
    _enough(where, rows, debiased)
    if max(f, g) < rows:
        cx, cy = centred(where, "x", x), centred(where, "y", y)
        cy = cy.to(cx.device)
        products, kx, ky = by_features(cx, cy), cx.square().sum(1), cy.square().sum(1)
    else:
        gx = once("gram", lambda rows, _: gram(where, "x", rows), x, x)
        gy = once("gram", lambda rows, _: gram(where, "y", rows), y, y)
        gy = gy.to(gx.device)
        products, kx, ky = by_grams(gx, gy), gx.diagonal(), gy.diagonal()
    return _scaled(rows, products, _norms(kx, ky) if debiased else None)


def alignment(rows: int, products: tuple[Tensor, Tensor, Tensor], norms: Norms | None) -> float:
    """Compute `cka` from sums over the centred rows: X^T Y [F, G], X^T X, Y^T Y, and `norms` if debiased.

    Raises:
        UserError: fewer than 4 rows when debiased.
    """
    _enough("cka", rows, norms is not None)
    xy, xx, yy = products
    return _ratio(_scaled(rows, (_energy(xy), _energy(xx), _energy(yy)), norms))


def _enough(where: str, rows: int, debiased: bool) -> None:
    if debiased and rows < 4:
        raise UserError(where, "debiased HSIC needs at least 4 rows", rows, "pool more samples, or set debiased=False")


def _norms(kx: Tensor, ky: Tensor) -> Norms:
    """Compute the sums `Norms` from the squared norms [R] of the centred rows."""
    return float(kx @ ky), float(kx @ kx), float(ky @ ky), float(kx.sum()), float(ky.sum())


def _scaled(rows: int, products: tuple[float, float, float], norms: Norms | None) -> Terms:
    """Compute the terms from the squared norms of X^T Y, X^T X, Y^T Y; debiased if `norms` are given."""
    xy, xx, yy = products
    if norms is None:
        scale = 1 / max(rows - 1, 1) ** 2
        return xy * scale, xx * scale, yy * scale, 0.0, 0.0
    kxy, kxx, kyy, kx, ky = norms
    floor = _ROUNDING / (rows * (rows - 3))
    u = (_u(rows, xy, kxy, kx * ky), _u(rows, xx, kxx, kx * kx), _u(rows, yy, kyy, ky * ky))
    return *u, xx * floor, yy * floor


def _u(n: int, product: float, shared: float, totals: float) -> float:
    """Compute the U-statistic of n centred rows from ||X^T Y||_F^2, sum of k_x k_y and (sum of k_x) (sum of k_y).

    Song's estimator needs the Gram matrices with their diagonals k set to zero. The full Gram matrix of centred rows
    has row sums 0, hence the one with zero diagonal has row sums -k and total -sum(k): no R x R matrix is needed.
    """
    return (product - shared + totals / ((n - 1) * (n - 2)) - 2 * shared / (n - 2)) / (n * (n - 3))


def by_features(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Compute ||X^T Y||_F^2, ||X^T X||_F^2, ||Y^T Y||_F^2 of centred x [R, F], y [R, G] in O(R F G): few features."""
    return _energy(inner(x, y)), _energy(inner(x, x)), _energy(inner(y, y))


def by_grams(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Compute the three of `by_features` from the Gram matrices [R, R] of the centred rows: many features."""
    return float((x * y).sum()), _energy(x), _energy(y)


def gram(where: str, name: str, x: Rows) -> Tensor:
    """Compute X X^T [R, R] of the centred x [R, F], in float64; some columns at a time, so x is never copied whole.

    Raises:
        UserError: as `centred`.
    """
    x = given(where, name, x)
    parts = (centred(where, name, x[:, i : i + _COLUMNS]) for i in range(0, x.shape[1], _COLUMNS))
    first = next(parts)
    total = first @ first.T
    for part in parts:
        total.addmm_(part, part.T)
    return total


def _energy(matrix: Tensor) -> float:
    return float(matrix.square().sum())


def _ratio(terms: Terms) -> float:
    xy, xx, yy, above_x, above_y = terms
    return xy / (math.sqrt(xx) * math.sqrt(yy)) if xx > above_x and yy > above_y else math.nan
