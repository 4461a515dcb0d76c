"""How close two representations come by a rotation: orthogonal Procrustes (Schoenemann 1966; Ding et al. 2021)."""

import math

import torch
from torch import Tensor

from mamlprobe.measure.spectrum import Rows, centred, inner, same_rows


def procrustes(x: Rows, y: Rows) -> float:
    """1 - d^2 / 2 of the `procrustes_distance` d: the nuclear norm of X^T Y over |X| |Y|, in [0, 1].

    x [R, F], y [R, G]: rows are the same samples; they are centred. Unchanged by rotation, one scale and translation
    of the features, not by other maps. Unrelated inputs are not at 0, and with F and G well above R they are near 1:
    take positions as rows. NaN where an input does not vary.

    Raises:
        UserError: unequal or non-finite rows.
    """
    same_rows("procrustes", x, y)
    cx, cy = centred("procrustes", "x", x), centred("procrustes", "y", y)
    cy = cy.to(cx.device)
    sizes = float(cx.norm()) * float(cy.norm())
    if sizes == 0:
        return math.nan
    shared = torch.linalg.svdvals(inner(_narrow(cx), _narrow(cy))).sum()
    return min(float(shared) / sizes, 1.0)


def procrustes_distance(x: Rows, y: Rows) -> float:
    """min over orthogonal Q of |X - Y Q|_F, of centred inputs of norm 1, in [0, sqrt(2)].

    x [R, F], y [R, G]: as `procrustes`, which loses the digits of distances below 1e-7; the narrower one is thought
    to have features of zeros beside its own.

    Raises:
        UserError: as `procrustes`.
    """
    return math.sqrt(2 - 2 * procrustes(x, y))


def _narrow(x: Tensor) -> Tensor:
    """x [R, F] itself, or of more features than rows the [R, R] of the same inner products between rows."""
    return x if x.shape[1] <= x.shape[0] else torch.linalg.qr(x.T, mode="r")[1].T
