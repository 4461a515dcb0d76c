"""Representational similarity analysis: are the same pairs of samples far apart? (Kriegeskorte et al. 2008)."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.spatial.distance import pdist

from mamlprobe.base.arrays import given, to_float64
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.measure.spectrum import Rows, same_rows
from mamlprobe.statistics.intervals import Floats

METRICS = ("correlation", "euclidean", "cosine")
"""Distances of two rows: one minus their correlation over features, as in the paper; ranks of squares are the same."""

FEWEST = 3
_ROUNDING = 12
"""Distances that agree to this many digits of the largest are ties: rounding must not rank them."""

CORRELATIONS: dict[str, Callable[[Floats], Floats]] = {"spearman": stats.rankdata, "pearson": lambda values: values}


@door()
def rsa(x: Rows, y: Rows, *, metric: str = "correlation", correlation: str = "spearman") -> float:
    """Correlate, over all pairs of rows, their distance in x and their distance in y.

    x [R, F], y [R, G]: rows are the same samples, not centred. `metric` is one of METRICS, `correlation` a key of
    CORRELATIONS. Unrelated inputs give 0 on average. NaN where a metric is not defined for some row (correlation: one
    whose features are all alike; cosine: one of zeros) and where all distances of an input are alike.

    Raises:
        UserError: unequal or non-finite rows, fewer than 3; unknown `metric` or `correlation`.

    Examples:
        >>> import numpy as np
        >>> from mamlprobe.measure import rsa
        >>> x, y = np.random.default_rng(0).normal(size=(2, 50, 20))
        >>> round(rsa(x, 3 * x), 6), abs(rsa(x, y)) < 0.1
        (1.0, True)
    """
    x, y = given("rsa", "x", x), given("rsa", "y", y)
    rows, _, _ = same_rows("rsa", x, y)
    if metric not in METRICS:
        raise unknown("rsa", "metric", metric, METRICS)
    if correlation not in CORRELATIONS:
        raise unknown("rsa", "correlation", correlation, CORRELATIONS)
    if rows < FEWEST:
        raise UserError(
            "rsa", f"RSA needs at least {FEWEST} rows, so that distances can differ", rows, "pool more samples"
        )
    apart = [_distances(name, side, metric) for name, side in (("x", x), ("y", y))]
    a, b = (CORRELATIONS[correlation](each) for each in apart)
    a, b = a - a.mean(), b - b.mean()
    sizes = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(a @ b) / sizes if sizes > 0 else math.nan


def _distances(name: str, x: Rows, metric: str) -> Floats:
    """Compute distances [R (R - 1) / 2] of all pairs of rows, over the largest; NaN where the metric is undefined."""
    rows = to_float64("rsa", name, x)
    if not bool(torch.isfinite(rows).all()):
        raise UserError(
            "rsa", f"{name} must be finite", "NaN or infinity", "look for the update where the net diverged"
        )
    distances: Floats = pdist(rows.cpu().numpy(), metric)
    largest = float(distances.max())
    return np.round(distances / largest, _ROUNDING) if largest > 0 else distances
