"""CCA, SVCCA, PWCCA and CKA of rows that come in batches: one pass, and only their covariances stay in memory.

Every row becomes [x, y, |x|^2, |y|^2, 1] of the shifted x and y, and the inner products of these columns are summed.
These suffice, since moving the origin from the shift to the mean is a linear map of them.

Products are taken in float32 over 512 rows, at most 8 such sums summed, and these added in float64. As every step of a
sum rounds by about u / 3 of its value (u = 2^-24), this is off by u / 3 sqrt((512 + 8^2) 512 / R) where the steps err
independently, and by some u / 2 more where rows repeat (blank inputs). Squares of few digits would all round one way:
they are summed separately, in short sums or in float64. An error of channel i is magnified by its variance inflation
v_i = S_ii (C^+)_ii, S taken about the shift and C about the mean: the scales of channels do not enter it, collinear
channels and a shift far from the mean do. Independent errors move the mean of r correlations by |v|_2 / r of theirs,
others by |v|_1 / r. Where the sum exceeds `_ERROR`, the products are computed again in float64.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mamlprobe.base.arrays import given, to_float64
from mamlprobe.base.described import described
from mamlprobe.base.errors import UserError
from mamlprobe.measure.cca import cca, pwcca, svcca
from mamlprobe.measure.cka import Norms, alignment
from mamlprobe.measure.spectrum import TOLERANCE, Rows, Spectrum, eigen, same_rows, spectrum_of
from mamlprobe.measure.streamed_products import PIECE, PIECES, Products

Pair = tuple[Rows, Rows]
Batches = Callable[[], Iterable[Pair]]

_ERROR, _SMALLEST, _RANGE = 1e-6, 1e-9, 2.0**40
"""Largest error of a mean correlation expected from rounding; smallest eigenvalue ratio whose direction is sound in
float64; largest mean squared norm of a row for float32, and one over the smallest: it is squared once more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Covariances:
    """The sums over x [R, F] and y [R, G] after one pass, in float64; made by `stream`.

    rows             count R
    mean_x, mean_y   [F], [G]
    xx, xy, yy       covariances [F, F], [F, G], [G, G], over R - 1
    norms            sums over rows of k_x k_y, k_x^2, k_y^2, k_x, k_y, where k is the squared norm of a centred row
    products         the type in which rows were multiplied
    spectra          directions of x and of y, for the CCA family of these two; None where covariances do not give them
    """

    __repr__ = described

    rows: int
    mean_x: Tensor
    mean_y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor
    norms: Norms
    products: torch.dtype
    spectra: tuple[Spectrum, Spectrum] | None = field(repr=False)

    def cca(self, *, summary: str = "mean") -> float:
        """Compute `mamlprobe.measure.cca` of the rows."""
        return cca(*self._directions("cca"), summary=summary)

    def svcca(self, *, variance: float = 0.99, summary: str = "mean") -> float:
        """Compute `mamlprobe.measure.svcca` of the rows."""
        return svcca(*self._directions("svcca"), variance=variance, summary=summary)

    def pwcca(self) -> float:
        """Compute `mamlprobe.measure.pwcca` of the rows.

        Weights of nearly equal correlations are uncertain by their gap.
        """
        return pwcca(*self._directions("pwcca"))

    def cka(self, *, debiased: bool = True) -> float:
        """Compute `mamlprobe.measure.cka` of the rows; collinear channels do it no harm."""
        n = max(self.rows - 1, 1)
        return alignment(self.rows, (self.xy * n, self.xx * n, self.yy * n), self.norms if debiased else None)

    def _directions(self, where: str) -> tuple[Spectrum, Spectrum]:
        if self.spectra is None:
            raise UserError(
                where,
                "streamed channels must not be nearly collinear",
                f"eigenvalues of a covariance between {TOLERANCE**2 / 2:g} and {_SMALLEST:g} of the largest",
                "give all rows as one pair of tensors, for which there is the SVD, or use cka",
            )
        return self.spectra


def stream(source: Pair | Batches) -> Covariances:
    """Compute covariances of x and y in one pass over the rows, for every similarity of the two.

    `source` is (x [R, F], y [R, G]), or a function that returns such pairs, batches of any size, from the beginning
    whenever it is called: it is called again where float32 products are too coarse. Float64 and integer inputs are
    multiplied in float64, and so is everything on a GPU. Channels that do not vary are dropped as in `spectrum`. Where
    float64 covariances do not give the directions either, rows in memory are decomposed by SVD; batches then have a CKA
    but no CCA. Cost and memory grow with (F + G)^2: for R well above F + G.

    Raises:
        UserError: neither pair nor function; no batch, or batches of unlike widths; unequal or non-finite rows.

    Examples:
        >>> import numpy as np
        >>> from mamlprobe.measure import cka, stream
        >>> x = np.random.default_rng(0).normal(size=(1000, 8))
        >>> y = x[:, :4] ** 2 + x[:, 4:]
        >>> batches = lambda: ((x[i : i + 100], y[i : i + 100]) for i in range(0, 1000, 100))
        >>> abs(stream(batches).cka() - cka(x, y)) < 1e-9
        True
    """
    if not (callable(source) or (isinstance(source, tuple) and len(source) == 2)):
        must = "rows must be a pair (x, y) or a function that returns batches of such"
        raise UserError("stream", must, type(source).__name__, "write stream(lambda: batches)")
    function = source if callable(source) else lambda: [source]
    batches = function()
    covariances = _one_pass(batches, torch.float32)
    if covariances is None:
        again = function()
        if again is batches and isinstance(again, Iterator):
            must = "the function must start from the beginning whenever it is called"
            raise UserError("stream", must, "the same iterator twice", "make the iterator inside the function")
        covariances = _one_pass(again, torch.float64)
    assert covariances is not None
    if covariances.spectra is None and isinstance(source, tuple):
        by_svd = spectrum_of("stream", "x", source[0]), spectrum_of("stream", "y", source[1])
        return replace(covariances, spectra=by_svd)
    return covariances


def _one_pass(batches: Iterable[Pair], products: torch.dtype) -> Covariances | None:
    """Compute the covariances by products of this type; None where float32 products are, or prove, too coarse."""
    sums: Products | None = None
    for pair in batches:
        x, y = _tensor("x", pair[0]), _tensor("y", pair[1])
        _, f, g = same_rows("stream", x, y)
        if products is torch.float32 and not (_fits(x) and _fits(y)):
            return None
        sums = sums or Products(f, g, products, x.device)
        if (f, g) != (sums.f, sums.g):
            got, advice = f"F = {f}, G = {g} after F = {sums.f}, G = {sums.g}", "stream one layer at a time"
            raise UserError("stream", "all batches must have the same features", got, advice)
        sums.add(x, y.to(x.device))
    if sums is None:
        raise UserError("stream", "there must be at least one batch", "none", "see whether an iterator was used up")
    return _covariances(sums)


def _tensor(name: str, x: Rows) -> Tensor:
    """Return the batch itself if it is floating and its device can multiply in float64, else a float64 copy."""
    x = given("stream", name, x)
    if x.is_floating_point() and x.device.type != "mps":
        return x.detach()
    return to_float64("stream", name, x)


def _fits(x: Tensor) -> bool:
    """Tell whether `x` can use full float32 products: GPUs, and CPUs set to lower precision, keep fewer digits."""
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16) or x.device.type != "cpu":
        return False
    setting = getattr(torch.backends.mkldnn, "matmul", None)
    return (setting.fp32_precision if setting else torch.get_float32_matmul_precision()) in ("none", "ieee", "highest")


def _covariances(sums: Products) -> Covariances | None:
    """Return the result, or None where float32 products were too coarse for it."""
    about, centred, mean = sums.finish()
    coarse = sums.kind is torch.float32
    if not bool(centred.isfinite().all()):
        advice = "look for the update where the net diverged"
        if not coarse:
            raise UserError("stream", "x and y must be finite", "NaN or infinity", advice)
        return None
    rows = round(float(about[-1, -1]))
    xx, xy, yy = centred[sums.x, sums.x], centred[sums.x, sums.y], centred[sums.y, sums.y]
    kxy, kxx, kyy, kx, ky = (float(k) for k in (*centred[[-3, -3, -2], [-2, -3, -2]], xx.trace(), yy.trace()))
    spectra = _spectra(about, centred, rows, sums)
    if coarse and (spectra is None or not all(rows / _RANGE < k < rows * _RANGE for k in (kx, ky))):
        return None
    scale = max(rows - 1, 1)
    return Covariances(
        rows=rows,
        mean_x=mean[sums.x],
        mean_y=mean[sums.y],
        xx=xx / scale,
        xy=xy / scale,
        yy=yy / scale,
        norms=(kxy, kxx, kyy, kx, ky),
        products=sums.kind,
        spectra=spectra,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Streamed(Spectrum):
    """Directions of `rows` no longer in memory: `base` is any matrix with the same inner products, here I and X^T Y.

    `error` is the change of a mean correlation expected from rounding of the products.
    """

    rows: int
    error: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.V.shape[0]


def _spectra(about: Tensor, centred: Tensor, rows: int, sums: Products) -> tuple[Spectrum, Spectrum] | None:
    """Compute the directions of x and y if products about the shift and the mean are accurate enough, else None."""
    squares, cross = about.diagonal(), centred[sums.x, sums.y]
    x = _streamed(
        centred[sums.x, sums.x],
        squares[sums.x],
        rows,
        torch.eye(sums.f, dtype=cross.dtype, device=cross.device),
        sums.kind,
    )
    y = _streamed(centred[sums.y, sums.y], squares[sums.y], rows, cross, sums.kind)
    if x is None or y is None:
        return None
    one = torch.linalg.svdvals(x.mix.T @ cross @ y.mix) <= 1 + 1e-6
    return (x, y) if bool(one.all()) and x.error + y.error <= _ERROR else None


def _streamed(inner: Tensor, squares: Tensor, rows: int, base: Tensor, products: torch.dtype) -> _Streamed | None:
    """Compute the directions of one side from X^T X [F, F], and their expected error."""
    parts = eigen(inner, TOLERANCE, _SMALLEST)
    if parts is None:
        return None
    s, V, energy = parts
    v, u = squares * (V / s).square().sum(1), torch.finfo(products).eps / 2
    independent = u / 3 * ((PIECE + PIECES**2) * PIECE / rows) ** 0.5
    error = float(independent * v.norm() + u / 2 * v.sum()) / max(len(s), 1)
    return _Streamed(base=base, mix=V / s, s=s, V=V, energy=energy, rows=rows, error=error)
