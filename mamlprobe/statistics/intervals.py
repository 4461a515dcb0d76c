"""Intervals of a mean: Student's over tasks, or by drawing values again and again."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from mamlprobe.base.errors import UserError
from mamlprobe.statistics.resampling import mean_interval

Values = Any
"""Numbers [n]: an array, a tensor, a list."""
Floats = npt.NDArray[np.float64]


def bootstrap(
    values: Values,
    *,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int,
) -> tuple[float, float]:
    """Compute the percentile interval (low, high) of the mean of `values` [n], by bootstrap.

    With `clusters` [n], such as the seed that each task's value came from, whole clusters are drawn first and then as
    many items within each: the interval then covers new clusters too. It is too wide with few items a cluster and too
    narrow with few clusters. NaN values (where a measure is not defined) are left out; (nan, nan) when fewer than two
    values or clusters are left.

    Raises:
        UserError: clusters not one a value; `level` not in (0, 1); `draws` < 1.
    """
    flat = numbers_of("bootstrap", values)
    labels = np.arange(len(flat)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if labels.shape != flat.shape:
        got = f"{labels.size} for {len(flat)}"
        raise UserError("bootstrap", "clusters must name one cluster a value", got, "give both the same length")
    check_level("bootstrap", level)
    check_draws("bootstrap", draws)
    return mean_interval(flat, labels, level=level, draws=draws, seed=seed)


def t_interval(values: Values, *, level: float = 0.95) -> tuple[float, float]:
    """Compute Student's interval (low, high) of the mean of `values` [n] without NaNs; (nan, nan) for fewer than two.

    Raises:
        UserError: `level` not in (0, 1).
    """
    check_level("t_interval", level)
    flat = numbers_of("t_interval", values)
    flat = flat[~np.isnan(flat)]
    if len(flat) < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, len(flat) - 1)) * float(flat.std(ddof=1)) / math.sqrt(len(flat))
    return float(flat.mean()) - half, float(flat.mean()) + half


def numbers_of(where: str, values: Values) -> Floats:
    """Convert the values [n] to float64, NaNs too, for the function named `where`.

    Raises:
        UserError: no real numbers, an infinite one.
    """
    if type(values) is np.ndarray and values.dtype.kind == "f":
        numbers = values.astype(np.float64).ravel()
    else:
        from mamlprobe.base.arrays import to_float64  # it imports torch

        numbers = to_float64(where, "values", values).cpu().numpy().ravel()
    if np.isinf(numbers).any():
        raise UserError(where, "values must be finite, or NaN where there is none", "infinity", "leave it out")
    return numbers


def check_level(where: str, level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise UserError(where, "level must be between 0 and 1", level, "0.95 is usual")


def check_draws(where: str, draws: int) -> None:
    """Refuse a number of draws below 1."""
    if draws < 1:
        raise UserError(where, "draws must be at least 1", draws, "2000 for intervals, 20 for floors")
