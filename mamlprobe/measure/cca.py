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
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.measure.once import once
from mamlprobe.measure.spectrum import Rows, Spectrum, inner, same_rows, sides, spectrum_of

ENOUGH_ROWS = 10.0
"""Below this `row_ratio` the shape alone inflates the correlations: flag the value, show the null floor with it."""


def _top98(rho: Tensor) -> Tensor:
    """Average the smallest leading set that holds 98 % of the sum (the released code of Raghu et al. 2017)."""
    running = rho.cumsum(0)
    return rho[: int((running < 0.98 * running[-1]).sum()) + 1].mean()


SUMMARIES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda rho: rho.mean(),
    "mean_squared": lambda rho: rho.square().mean(),
    "top98": _top98,
}
"""One number of the correlations: their mean, the mean of their squares (R^2_CCA), the mean of the leading ones."""


@door()
def cca(x: Rows | Spectrum, y: Rows | Spectrum, *, summary: str = "mean") -> float:
    """Summarise all min(rank x, rank y) canonical correlations; NaN where an input does not vary at all.

    x [R, F], y [R, G]: rows are the same samples. `summary` is a key of SUMMARIES. Where x and y are unrelated the mean
    of the squares is max(F, G) / (R - 1) on average, not 0.

    Hotelling 1936; their mean as a similarity of layers: Raghu et al. 2017.

    Raises:
        UserError: R - 1 <= max(F, G), where every correlation is 1 whatever the data; unequal or non-finite rows.

    Examples:
        >>> import numpy as np
        >>> import mamlprobe as mp
        >>> random = np.random.default_rng(0)
        >>> x = random.normal(size=(200, 5))
        >>> rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
        >>> [round(mp.cca(x, y), 6) for y in (x @ rotation, x * [1, 1, 1, 1, 100])]  # linear maps
        [1.0, 1.0]
        >>> round(mp.cca(x, random.normal(size=(200, 5))), 2)  # by chance, not 0
        0.15
        >>> mp.cca(x[:5], x[:5])
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: cca: R - 1 > max(F, G) must hold, else every correlation is
        1 whatever the data, got R = 5, F = 5, G = 5; take positions as rows, pool the maps, or use
        cka
    """
    _known(summary)
    x, y = sides("cca", x, y)
    _refuse_wide("cca", x, y)
    return summarise(coefficients(*_pair("cca", x, y)), summary)


@door()
def svcca(x: Rows | Spectrum, y: Rows | Spectrum, *, variance: float = 0.99, summary: str = "mean") -> float:
    """Compute CCA of the leading principal directions with `variance` of each input (Raghu et al. 2017, section 2).

    x [R, F], y [R, G]: rows are the same samples. The share is of the squared singular values, the fewest directions
    that reach it are kept, and the summary is over these. NaN where an input does not vary at all.

    Raises:
        UserError: R - 1 <= max(F, G) and the kept directions are more than R - 1 together, so that some correlations
            are 1 by counting alone; `variance` not in (0, 1]; unequal or non-finite rows.

    Examples:
        >>> import numpy as np
        >>> import mamlprobe as mp
        >>> random = np.random.default_rng(0)
        >>> x = random.normal(size=(200, 5))
        >>> rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
        >>> noises = random.normal(size=(2, 200, 50)) / 1000
        >>> x, y = (np.hstack([x, noises[0]]), np.hstack([x @ rotation, noises[1]]))
        >>> round(mp.cca(x, y), 2), round(mp.svcca(x, y), 2)
        (0.49, 1.0)
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


@door()
def pwcca(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Average the canonical correlations, weighted by how much of x lies along each variate (Morcos et al. 2018).

    x [R, F], y [R, G]: rows are the same samples. The weight of variate h_i, orthonormal in sample space, is the sum
    over the centred neurons of x of |<h_i, neuron>|. The weights are of x only: pwcca(x, y) differs from pwcca(y, x).
    NaN where an input does not vary at all.

    Raises:
        UserError: as `cca`.

    Examples:
        >>> import numpy as np
        >>> import mamlprobe as mp
        >>> random = np.random.default_rng(0)
        >>> x = random.normal(size=(200, 5))
        >>> y = np.hstack([x[:, :2], random.normal(size=(200, 3))])  # shares two directions with x
        >>> strong = x * [10, 10, 1, 1, 1]
        >>> round(mp.cca(strong, y), 2), round(mp.pwcca(strong, y), 2)
        (0.45, 0.86)
    """
    x, y = sides("pwcca", x, y)
    _refuse_wide("pwcca", x, y)
    sx, sy = _pair("pwcca", x, y)
    left, rho, _ = torch.linalg.svd(cross(sx, sy), full_matrices=False)
    weights = (left.T @ (sx.s[:, None] * sx.V.T)).abs().sum(1)
    return float((weights * _clipped(rho)).sum() / weights.sum())


@door()
def truncate(x: Spectrum, variance: float) -> Spectrum:
    """Keep the fewest leading directions that hold at least `variance` of the sum of squares.

    Raises:
        UserError: x is not a spectrum; `variance` not in (0, 1].
    """
    if not 0 < variance <= 1:
        raise UserError("svcca", "variance must be in (0, 1]", variance, "0.99 is the paper's")
    reached = x.s.square().cumsum(0) >= variance * x.energy * (1 - 1e-12)
    count = min(int((~reached).sum()) + 1, x.rank)
    return replace(x, mix=x.mix[:, :count], s=x.s[:count], V=x.V[:, :count])


@door()
def coefficients(x: Spectrum, y: Spectrum) -> Tensor:
    """Compute the canonical correlations [min(rank x, rank y)] of two spectra, in falling order, in [0, 1].

    Raises:
        UserError: x or y is not a spectrum; unequal rows.
        ArithmeticError: a correlation above 1 + 1e-6, so that one spectrum is not orthonormal.
    """
    same_rows("coefficients", x, y)
    return _clipped(torch.linalg.svdvals(cross(x, y)))


@door()
def summarise(rho: Rows, summary: str = "mean") -> float:
    """Summarise the canonical correlations `rho` [r], in falling order, by one number; NaN when there are none."""
    _known(summary)
    rho = given("summarise", "rho", rho)
    return float(SUMMARIES[summary](rho)) if len(rho) else math.nan


@door()
def row_ratio(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Compute rows per direction, R / max(F, G), to compare with ENOUGH_ROWS; a `Spectrum` counts kept directions."""
    rows, f, g = same_rows("row_ratio", x, y)
    f, g = (side.rank if isinstance(side, Spectrum) else width for side, width in ((x, f), (y, g)))
    return rows / max(f, g, 1)


def cross(x: Spectrum, y: Spectrum) -> Tensor:
    """Compute U_x^T U_y [rank x, rank y], without forming either U."""
    return x.mix.T @ once("products", _products, x.base, y.base) @ y.mix.to(x.mix.device)


def _products(x: Tensor, y: Tensor) -> Tensor:
    return inner(x, y.to(x.device))


def _clipped(rho: Tensor) -> Tensor:
    if len(rho) and float(rho[0]) > 1 + 1e-6:
        raise ArithmeticError(f"canonical correlation {float(rho[0])} > 1: a spectrum is not orthonormal")
    return rho.clamp(0, 1)


def _known(summary: str) -> None:
    if summary not in SUMMARIES:
        raise unknown("cca", "summary", summary, SUMMARIES)


def _pair(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> tuple[Spectrum, Spectrum]:
    same_rows(where, x, y)
    sx = x if isinstance(x, Spectrum) else spectrum_of(where, "x", x)
    return sx, y if isinstance(y, Spectrum) else spectrum_of(where, "y", y)


def _refuse_wide(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> None:
    """Refuse R - 1 <= max(F, G): centred rows span at most R - 1 directions, so every correlation would be 1."""
    rows, f, g = same_rows(where, x, y)
    if rows - 1 <= max(f, g):
        raise UserError(
            where,
            "R - 1 > max(F, G) must hold, else every correlation is 1 whatever the data",
            f"R = {rows}, F = {f}, G = {g}",
            "take positions as rows, pool the maps, or use cka",
        )
