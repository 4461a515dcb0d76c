"""Means of values drawn again and again, and the interval that they span."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mamlprobe.base.keys import key

Floats = npt.NDArray[np.float64]

CHUNK = 4_000_000
"""Values drawn at a time."""
DRAWS = 2000


def mean_interval(
    values: Floats,
    labels: npt.NDArray[Any] | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    chunk: int = CHUNK,
) -> tuple[float, float]:
    """Compute the percentile interval (low, high) of the mean of values [n] without NaNs, drawn by their labels [n].

    (nan, nan) for fewer than two values, or fewer than two labels, which are whole numbers; None: each has its own.
    """
    labels = np.arange(len(values)) if labels is None else labels
    known = ~np.isnan(values)
    rng = np.random.default_rng(key(seed, "bootstrap") % 2**64)
    means = _resampled(values[known], labels[known], draws, rng, chunk)
    if means is None:
        return math.nan, math.nan
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(
    values: Floats, labels: npt.NDArray[Any], draws: int, rng: np.random.Generator, chunk: int
) -> Floats | None:
    """Compute means [draws] of values drawn by label, then within labels; None if fewer than two labels are left."""
    sizes = np.unique(labels, return_counts=True)[1]
    if len(sizes) < 2:
        return None
    values = values[np.argsort(labels, kind="stable")]
    starts, longest = np.cumsum(sizes) - sizes, int(sizes.max())
    means = np.empty(draws)
    step = max(1, chunk // (len(sizes) * longest))
    for at in range(0, draws, step):
        drawn = rng.integers(len(sizes), size=(min(step, draws - at), len(sizes)))
        count = sizes[drawn][..., None]
        item = rng.integers(count, size=(*drawn.shape, longest))
        used = np.arange(longest) < count
        picked = np.where(used, values[starts[drawn][..., None] + item], 0.0)
        means[at : at + step] = picked.sum((1, 2)) / count.sum((1, 2))
    return means
