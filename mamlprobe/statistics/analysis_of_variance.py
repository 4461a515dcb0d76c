"""Intervals of a mean over trained models (seeds) and test tasks, from the mean squares of an analysis of variance.

Three seeds cannot be resampled: a bootstrap over them has half the variance it should have and no Student quantile.
Here seeds and tasks are random effects, v_st = mu + a_s + b_t + e_st; the variance of the mean is a combination of
mean squares (Searle, Casella and McCulloch, "Variance components", chapter 4), and its degrees of freedom are those
of Satterthwaite (1946). A component that comes out negative is zero, and its mean square is then left out or pooled.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from mamlprobe.base.errors import UserError
from mamlprobe.statistics.intervals import Floats, Values, check_level, numbers_of, t_interval

Labels = Sequence[Any] | npt.NDArray[Any]


def two_way_interval(values: Values, *, rows: Labels, columns: Labels, level: float = 0.95) -> tuple[float, float]:
    """Compute the interval (low, high) of the mean over seeds and tasks, if every seed was tested on the same tasks.

    values [n], rows [n], columns [n]: what was measured, under which seed, on which task. A cell measured several
    times is averaged. A row with no value at all is left out, then every column that lacks a value in some row; the
    interval lies about the mean of what is left. With one row left it is Student's over the columns, and says nothing
    about other seeds; with one column Student's over the rows; (nan, nan) with fewer than two cells.

    In simulations (`benchmarks/coverage.py`) it covers 91-98 % with three seeds or more, and 86-98 % with two.

    Raises:
        UserError: rows or columns not one a value; no column in more than one row; `level` not in (0, 1).
    """
    check_level("two_way_interval", level)
    cells = _complete(_cells(numbers_of("two_way_interval", values), rows, columns))
    m, n = cells.shape
    if min(m, n) < 2:
        return t_interval(cells, level=level)
    anchor = cells[0, 0]
    cells = cells - anchor  # so that equal values have variance 0, not that of their rounding
    mean, by_row, by_column = cells.mean(), cells.mean(1), cells.mean(0)
    rest = cells - by_row[:, None] - by_column + mean
    da, db = m - 1, n - 1
    a = n * float(np.square(by_row - mean).sum()) / da
    b = m * float(np.square(by_column - mean).sum()) / db
    e = float(np.square(rest).sum()) / (da * db)
    if a > e and b > e:
        total = a + b - e
        df = max(total**2 / (a**2 / da + b**2 / db + e**2 / (da * db)), min(da, db))
    elif a > e or b > e:
        total, df = (a, da) if a > e else (b, db)
    else:
        total, df = float(np.square(cells - mean).sum()) / (m * n - 1), m * n - 1
    return _about(anchor + mean, total / (m * n), df, level)


def nested_interval(values: Values, *, clusters: Labels, level: float = 0.95) -> tuple[float, float]:
    """Compute the interval (low, high) of the mean of all values, if every seed was tested on tasks of its own.

    values [n], clusters [n]: what was measured, and under which seed. NaN values are left out. With one cluster, or
    one value in each, it is Student's over the values; (nan, nan) with fewer than two values.

    Raises:
        UserError: clusters not one a value; `level` not in (0, 1).
    """
    check_level("nested_interval", level)
    given = numbers_of("nested_interval", values)
    labels = _codes("nested_interval", "clusters", clusters, len(given))
    known = ~np.isnan(given)
    given, labels = given[known], np.unique(labels[known], return_inverse=True)[1]
    sizes = np.bincount(labels)
    n, m = len(given), len(sizes)
    if m < 2 or m == n:
        return t_interval(given, level=level)
    anchor = given[0]
    given = given - anchor
    mean, centres = given.mean(), np.bincount(labels, given) / sizes
    a = float((sizes * np.square(centres - mean)).sum()) / (m - 1)
    e = float(np.square(given - centres[labels]).sum()) / (n - m)
    if a <= e:
        return _about(anchor + mean, float(np.square(given - mean).sum()) / (n - 1) / n, n - 1, level)
    squares = float(np.square(sizes).sum()) / n
    between = squares / n * (m - 1) / (n - squares)  # weight of a; 1 / n where all sizes are one
    within = 1 / n - between
    variance = between * a + within * e
    df = variance**2 / ((between * a) ** 2 / (m - 1) + (within * e) ** 2 / (n - m))
    return _about(anchor + mean, variance, df, level)


def _cells(values: Floats, rows: Labels, columns: Labels) -> Floats:
    """Compute the means of the cells [rows, columns], NaN for a cell with no value or a NaN."""
    where = "two_way_interval"
    row, column = (_codes(where, name, of, len(values)) for name, of in (("rows", rows), ("columns", columns)))
    if not len(values):
        return np.empty((0, 0))
    shape = row.max() + 1, column.max() + 1
    at = row * shape[1] + column
    count = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
    if shape[0] > 1 and int((count > 0).sum(0).max()) < 2:
        got = f"{shape[1]} columns, each in one row"
        raise UserError(
            where, "some columns must be in several rows", got, "use nested_interval for tasks of their own"
        )
    sums = np.bincount(at, values, minlength=shape[0] * shape[1]).reshape(shape)
    return np.divide(sums, count, out=np.full(shape, math.nan), where=count > 0)


def _complete(cells: Floats) -> Floats:
    """Drop the rows of cells that have no value, and then the columns that lack one."""
    known = ~np.isnan(cells)
    measured = cells[known.any(1)]
    return measured[:, ~np.isnan(measured).any(0)]


def _codes(where: str, name: str, labels: Labels, count: int) -> npt.NDArray[np.intp]:
    """Replace the labels by numbers from 0 on."""
    codes: npt.NDArray[np.intp] = np.unique(np.asarray(labels), return_inverse=True)[1].ravel()
    if len(codes) != count:
        got = f"{len(codes)} for {count}"
        raise UserError(where, f"{name} must be one label a value", got, "give both the same length")
    return codes


def _about(mean: float, variance: float, df: float, level: float) -> tuple[float, float]:
    half = float(stats.t.ppf((1 + level) / 2, df)) * math.sqrt(variance)
    return float(mean) - half, float(mean) + half
