"""How close two representations come by a rotation: orthogonal Procrustes (Schoenemann 1966; Ding et al. 2021)."""

import math

import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.measure.cca import cross
from mamlprobe.measure.spectrum import Rows, Spectrum, centred, inner, sides


@door()
def procrustes(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Compute 1 - d^2 / 2 of the `procrustes_distance` d: the nuclear norm of X^T Y over |X| |Y|, in [0, 1].

    x [R, F], y [R, G]: rows are the same samples; they are centred. Unchanged by rotation, one scale and translation
    of the features, not by other maps. Unrelated inputs are not at 0, and with F and G well above R they are near 1:
    take positions as rows. NaN where an input does not vary. Of two spectra it costs what a CCA does, and is lower by
    the directions they dropped, some 1e-6 at most.

    Raises:
        UserError: unequal or non-finite rows.

    Examples:
        >>> import numpy as np
        >>> from mamlprobe.measure import procrustes
        >>> random = np.random.default_rng(0)
        >>> x, y = random.normal(size=(2, 500, 5))
        >>> rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
        >>> round(procrustes(x, 2 * x @ rotation), 6), round(procrustes(x, y), 2)
        (1.0, 0.07)
    """
    x, y = sides("procrustes", x, y)
    if isinstance(x, Spectrum) and isinstance(y, Spectrum):
        return _ratio(x.s[:, None] * cross(x, y) * y.s.to(x.s.device), x.energy, y.energy)
    cx, cy = (_centred(name, side) for name, side in (("x", x), ("y", y)))
    shared = inner(_narrow(cx), _narrow(cy.to(cx.device)))
    return _ratio(shared, float(cx.square().sum()), float(cy.square().sum()))


@door()
def procrustes_distance(x: Rows | Spectrum, y: Rows | Spectrum) -> float:
    """Compute the minimum over orthogonal Q of |X - Y Q|_F, of centred inputs of norm 1, in [0, sqrt(2)].

    x [R, F], y [R, G]: as `procrustes`, which loses the digits of distances below 1e-7; the narrower one is padded with
    features of zeros.

    Raises:
        UserError: as `procrustes`.
    """
    return math.sqrt(2 - 2 * procrustes(x, y))


def _ratio(shared: Tensor, x: float, y: float) -> float:
    """Divide the sum of singular values of `shared` by the norms whose squares are x and y."""
    sizes = math.sqrt(x) * math.sqrt(y)
    return min(float(torch.linalg.svdvals(shared).sum()) / sizes, 1.0) if sizes > 0 else math.nan


def _centred(name: str, x: Rows | Spectrum) -> Tensor:
    return (x.U * x.s) @ x.V.T if isinstance(x, Spectrum) else centred("procrustes", name, x)


def _narrow(x: Tensor) -> Tensor:
    """Return x [R, F], or if F > R a matrix [R, R] whose rows have the same inner products."""
    return x if x.shape[1] <= x.shape[0] else torch.linalg.qr(x.T, mode="r")[1].T
