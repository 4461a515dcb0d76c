"""The centred rows of an input and their singular directions: what every CCA and CKA is computed from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mamlprobe.base.arrays import given, to_float64
from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError

Rows = Tensor | npt.NDArray[Any]
"""A matrix of rows; tables of numbers and nested lists are converted to arrays."""

TOLERANCE = 1e-6
"""Singular values below this part of the largest are rounding of a float32 net (exactly dependent or dead channels)."""

_SOUND = 1e-5
"""Smallest eigenvalue ratio kept when decomposing the covariance: correlations are off by rounding over this."""

_PIECE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """The thin singular value decomposition of centred rows, x = U diag(s) V^T, of numerical rank r.

    base    [R, P]  rows in sample space, of which U is a linear map (the centred x, or U itself)
    mix     [P, r]  that map: U = base @ mix
    s       [r]     singular values, falling
    V       [F, r]  orthonormal directions in feature space
    energy          sum of all squared singular values, the sum of squares of the centred x
    """

    __repr__ = described

    base: Tensor
    mix: Tensor
    s: Tensor
    V: Tensor
    energy: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return (R, F) of the input."""
        return self.base.shape[0], self.V.shape[0]

    @property
    def rank(self) -> int:
        """Return the number of directions kept."""
        return self.s.shape[0]

    @property
    def U(self) -> Tensor:
        """Compute the orthonormal directions in sample space [R, r]."""
        return self.base @ self.mix

    def take(self, index: Tensor) -> "Spectrum":
        """Return the same directions with the samples in another order; `index` [R] is a permutation."""
        return replace(self, base=self.base[index])


@door()
def spectrum(x: Rows, *, tolerance: float = TOLERANCE) -> Spectrum:
    """Compute the thin SVD of the centred `x`, once for comparison with many others.

    x [R, F]: rows are samples. Directions whose singular value is not above `tolerance` times the largest are
    dropped, so dead and exactly dependent channels have no effect; a constant x has rank 0.

    With F < R it comes from the eigenvectors of the covariance if these are sound in float64 (every kept eigenvalue
    above 1e-5 of the largest, every other below rounding), else from the SVD itself: same numbers, several times the
    cost.

    Raises:
        UserError: not a matrix, no rows or features, not real, or not finite.
    """
    return spectrum_of("spectrum", "x", x, tolerance)


def spectrum_of(where: str, name: str, x: Rows, tolerance: float = TOLERANCE) -> Spectrum:
    """Compute `spectrum` for the public function `where`; error messages call the input `name`."""
    rows = centred(where, name, x)
    result = by_covariance(rows, tolerance) if rows.shape[1] < rows.shape[0] else None
    return result if result is not None else by_svd(rows, tolerance)


def by_covariance(rows: Tensor, tolerance: float) -> Spectrum | None:
    """Compute the spectrum of centred `rows` [R, F] from X^T X; None if squaring the condition number is harmful."""
    parts = eigen(inner(rows, rows), tolerance, _SOUND)
    if parts is None:
        return None
    s, V, energy = parts
    return Spectrum(base=rows, mix=V / s, s=s, V=V, energy=energy)


def eigen(products: Tensor, tolerance: float, sound: float) -> tuple[Tensor, Tensor, float] | None:
    """Compute s, V and energy of a `Spectrum` from X^T X [F, F].

    None if an eigenvalue is neither at least `sound` times the largest nor below what `tolerance` drops.
    """
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.flip(0), vectors.flip(1)
    ratio = values / values[0].clamp_min(torch.finfo(values.dtype).tiny)
    keep = ratio >= sound
    if not bool((keep | (ratio.abs() < tolerance**2 / 2)).all()):
        return None
    return values[keep].sqrt(), vectors[:, keep], float(values.sum())


def by_svd(rows: Tensor, tolerance: float) -> Spectrum:
    """Compute the spectrum of centred `rows` [R, F] from their SVD, accurate at any condition number."""
    U, s, Vt = torch.linalg.svd(rows, full_matrices=False)
    keep = (s > tolerance * s[0]) & (s > 0)
    rank = int(keep.sum())
    mix = torch.eye(rank, dtype=rows.dtype, device=rows.device)
    return Spectrum(base=U[:, keep], mix=mix, s=s[keep], V=Vt[keep].T, energy=float(s.square().sum()))


def inner(x: Tensor, y: Tensor) -> Tensor:
    """Compute X^T Y [F, G] of x [R, F], y [R, G] in pieces of rows: one long sum loses two digits at R = 100,000."""
    if len(x) <= _PIECE:
        return x.T @ y
    return torch.stack([x[i : i + _PIECE].T @ y[i : i + _PIECE] for i in range(0, len(x), _PIECE)]).sum(0)


def centred(where: str, name: str, x: Rows) -> Tensor:
    """Copy `x` [R, F] to float64 and centre its columns.

    The first row is subtracted before the mean: a constant column becomes exactly zero, and large means cost no digits.
    """
    x = given(where, name, x)
    rows_and_width(where, name, x)
    rows = to_float64(where, name, x)
    rows -= rows[0].clone()
    mean = rows.mean(0)
    if not bool(mean.isfinite().all()):
        raise UserError(
            where, f"{name} must be finite", "NaN or infinity", "look for the update where the net diverged"
        )
    rows -= mean
    return rows


def rows_and_width(where: str, name: str, x: Rows | Spectrum) -> tuple[int, int]:
    """Return (R, F) of an input that must be a matrix with at least one row and one feature."""
    shape = tuple(x.shape if isinstance(x, Spectrum | np.ndarray) else given(where, name, x).shape)
    if len(shape) != 2 or 0 in shape:
        raise UserError(
            where,
            f"{name} must be a matrix [R, F], rows are samples",
            list(shape),
            "choose how maps become rows: positions as rows, pooled, or flattened",
        )
    return shape[0], shape[1]


def sides(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> tuple[Tensor | Spectrum, Tensor | Spectrum]:
    """Return both inputs of the public function `where`, of the same samples: a spectrum as is, all else as a tensor.

    Raises:
        UserError: as `given` and `same_rows`.
    """
    pair = [side if isinstance(side, Spectrum) else given(where, name, side) for name, side in (("x", x), ("y", y))]
    same_rows(where, *pair)
    return pair[0], pair[1]


def same_rows(where: str, x: Rows | Spectrum, y: Rows | Spectrum) -> tuple[int, int, int]:
    """Return (R, F, G) of two inputs that must have the same samples as rows."""
    (rows, f), (others, g) = rows_and_width(where, "x", x), rows_and_width(where, "y", y)
    if rows != others:
        raise UserError(
            where, "x and y must have the same samples as rows", f"{rows} and {others} rows", "record both on one input"
        )
    return rows, f, g
