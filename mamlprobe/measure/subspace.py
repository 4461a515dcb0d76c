"""Distance between subspaces."""

import torch

from mamlprobe.base.arrays import to_float64
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.measure.spectrum import Rows


@door()
def subspace_distance(x: Rows, y: Rows) -> float:
    """Compute the sine of the largest principal angle from the columns of x to the span of y's, in [0, 1]; float64.

    x [F, k], y [F, m] of full column rank: the spectral norm of (I - P_y) U_x, U_x an orthonormal basis of x's columns
    (Collins et al. 2022, definition 1).

    Raises:
        UserError: unlike numbers of rows, more columns than rows, or values that are not finite.
    """
    a, b = to_float64("subspace_distance", "x", x), to_float64("subspace_distance", "y", y)
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[0] or max(a.shape[1], b.shape[1]) > a.shape[0]:
        got = f"{list(a.shape)} and {list(b.shape)}"
        raise UserError("subspace_distance", "x and y must be [F, k] with k <= F", got, "give columns that span")
    for name, side in (("x", a), ("y", b)):
        if not bool(side.isfinite().all()):
            raise UserError("subspace_distance", f"{name} must be finite", "NaN or infinity", "leave such columns out")
    basis, span = torch.linalg.qr(a)[0], torch.linalg.qr(b)[0]
    rest = basis - span @ (span.mT @ basis)
    return float(torch.linalg.matrix_norm(rest, ord=2))
