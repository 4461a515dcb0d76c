"""Canonical correlation of two representations of the same samples: mean CCA, SVCCA and PWCCA.

All come from the thin SVDs of the centred inputs: the canonical correlations are the singular values of U_x^T U_y.
They do not change under any invertible linear map of the features. A `Spectrum` may stand for an input everywhere,
so one "before" compared with many "after" is decomposed once.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.base.arrays import given
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.measure.once import once
from mamlprobe.measure.spectrum import Rows, Spectrum, inner, same_rows, sides, spectrum_of

ENOUGH_ROWS = 10.0
"""Below this `row_ratio` the shape alone inflates the correlations: flag the value, show the null floor beside it."""


def _top98(rho: Tensor) -> Tensor:
    """Mean over the smallest leading set that holds 98 % of the sum (the released code of Raghu et al. 2017)."""
    running = rho.cumsum(0)
    return rho[: int((running < 0.98 * running[-1]).sum()) + 1].mean()


SUMMARIES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda rho: rho.mean(),
    "mean_squared": lambda rho: rho.square().mean(),
    "top98": _top98,
}
"""One number of the correlations: their mean, the mean of their squares (R^2_CCA), the mean of the leading ones."""


def cca(x: Rows | Spectrum, y: Rows | Spectrum, *, summary: str = "mean") -> float:
    """Summary of all min(rank x, rank y) canonical correlations; NaN where an input does not vary at all.

    x [R, F], y [R, G]: rows are the same samples. `summary` is a key of SUMMARIES. Where x and y are unrelated the mean
    of the squares is max(F, G) / (R - 1) on average, not 0.

    Raises:
        UserError: R - 1 <= max(F, G), where every correlation is 1 whatever the data; unequal or non-finite rows.
    """
    _known(summary)
    x, y = sides("cca", x, y)
    _refuse_wide("cca", x, y)
    return summarise(coefficients(*_pair("cca", x, y)), summary)


def svcca(x: Rows | Spectrum, y: Rows | Spectrum, *, variance: float = 0.99, summary: str = "mean") -> float:
    """CCA of the leading principal directions that hold `variance` of each input (Raghu et al. 2017, section 2).

    x [R, F], y [R, G]: rows are the same samples. The share is of the squared singular values, the fewest directions
    that reach it are kept, and the summary is over these. NaN where an input does not vary at all.

    Raises:
        UserError: R - 1 <= max(F, G) and the kept directions are more than R - 1 together, so that some correlations
            are 1 by counting alone; `variance` not in (0, 1]; unequal or non-finite rows.
    """
    _known(summary)
    x, y = sides("svcca", x, y)
    rows, f, g = same_rows("svcca", x, y)
    sx, sy = (truncate(side, variance) for side in _pair("svcca", x, y))
    if rows - 1 <= max(f, g) and sx.rank + sy.rank > rows - 1:
        raise UserError(
            "svcca",
            "with R - 1 <= max(F, G) the kept directions must be at most R - 1 together",
            f"{sx.rank} + {sy.rank} of R = {rows} rows, F = {f}, G = {g}",
            "take positions as rows, pool the maps, lower the variance, or use cka",
        )
    return summarise(coefficients(sx, sy), summary)


def pwcca(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Mean canonical correlation, each weighted by how much of x lies along its variate (Morcos et al. 2018).

    x [R, F], y [R, G]: rows are the same samples. The weight of variate h_i, orthonormal in sample space, is the sum
    over the centred neurons of x of |<h_i, neuron>|. The weights are of x only: pwcca(x, y) differs from pwcca(y, x).
    NaN where an input does not vary at all.

    Raises:
        UserError: as `cca`.
    """
    x, y = sides("pwcca", x, y)
    _refuse_wide("pwcca", x, y)
    sx, sy = _pair("pwcca", x, y)
    left, rho, _ = torch.linalg.svd(cross(sx, sy), full_matrices=False)
    weights = (left.T @ (sx.s[:, None] * sx.V.T)).abs().sum(1)
    return float((weights * _clipped(rho)).sum() / weights.sum())


def truncate(x: Spectrum, variance: float) -> Spectrum:
    """The fewest leading directions that hold at least `variance` of the sum of squares.

    Raises:
        UserError: no spectrum; `variance` not in (0, 1].
    """
    _decomposed("truncate", "x", x)
    if not 0 < variance <= 1:
        raise UserError("svcca", "variance must be in (0, 1]", variance, "0.99 is the paper's")
    reached = x.s.square().cumsum(0) >= variance * x.energy * (1 - 1e-12)
    count = min(int((~reached).sum()) + 1, x.rank)
    return replace(x, mix=x.mix[:, :count], s=x.s[:count], V=x.V[:, :count])


def coefficients(x: Spectrum, y: Spectrum) -> Tensor:
    """Canonical correlations [min(rank x, rank y)] of two spectra, falling, in [0, 1].

    Raises:
        UserError: no spectra, unequal rows.
        ArithmeticError: a correlation above 1 + 1e-6, so that one spectrum is not orthonormal.
    """
    for name, side in (("x", x), ("y", y)):
        _decomposed("coefficients", name, side)
    same_rows("coefficients", x, y)
    return _clipped(torch.linalg.svdvals(cross(x, y)))


def summarise(rho: Tensor, summary: str = "mean") -> float:
    """One number of the canonical correlations `rho` [r], falling; NaN when there are none."""
    _known(summary)
    rho = given("summarise", "rho", rho)
    return float(SUMMARIES[summary](rho)) if len(rho) else math.nan


def row_ratio(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Rows per direction, R / max(F, G), to be held against ENOUGH_ROWS; of a `Spectrum` the kept directions count."""
    rows, f, g = same_rows("row_ratio", x, y)
    f, g = (side.rank if isinstance(side, Spectrum) else width for side, width in ((x, f), (y, g)))
    return rows / max(f, g, 1)


def cross(x: Spectrum, y: Spectrum) -> Tensor:
    """U_x^T U_y [rank x, rank y], without forming either U."""
    return x.mix.T @ once("products", _products, x.base, y.base) @ y.mix.to(x.mix.device)


def _products(x: Tensor, y: Tensor) -> Tensor:
    return inner(x, y.to(x.device))


def _clipped(rho: Tensor) -> Tensor:
    if len(rho) and float(rho[0]) > 1 + 1e-6:
        raise ArithmeticError(f"canonical correlation {float(rho[0])} > 1: a spectrum is not orthonormal")
    return rho.clamp(0, 1)


def _decomposed(where: str, name: str, x: object) -> None:
    if not isinstance(x, Spectrum):
        raise UserError(where, f"{name} must be a spectrum", f"a {type(x).__name__}", "give spectrum(rows), or use cca")


def _known(summary: str) -> None:
    if summary not in SUMMARIES:
        raise unknown("cca", "summary", summary, SUMMARIES)


def _pair(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> tuple[Spectrum, Spectrum]:
    same_rows(where, x, y)
    sx = x if isinstance(x, Spectrum) else spectrum_of(where, "x", x)
    return sx, y if isinstance(y, Spectrum) else spectrum_of(where, "y", y)


def _refuse_wide(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> None:
    """Centred rows span R - 1 directions at most; as many features span them all, and every correlation is 1."""
    rows, f, g = same_rows(where, x, y)
    if rows - 1 <= max(f, g):
        raise UserError(
            where,
            "R - 1 > max(F, G) must hold, else every correlation is 1 whatever the data",
            f"R = {rows}, F = {f}, G = {g}",
            "take positions as rows, pool the maps, or use cka",
        )
