"""How sure a number is, and what it would be by chance: intervals, null floors and verdicts."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.keys import key
from mamlprobe.base.resampling import CHUNK, mean_interval
from mamlprobe.measure.given import given
from mamlprobe.measure.spectrum import Rows, Spectrum, own, same_rows, sides

Side = TypeVar("Side", Tensor | Spectrum, Rows | Spectrum)
Values = Rows | Sequence[float]
Measure = Callable[[Any, Any], float]
Floats = npt.NDArray[np.float64]

_CHUNK = CHUNK


def bootstrap(
    values: Values,
    *,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int,
) -> tuple[float, float]:
    """Percentile interval (low, high) of the mean of `values` [n].

    With `clusters` [n], such as the seed that each task's value came from, whole clusters are drawn first and then as
    many items within each: the interval then covers new clusters too. It is too wide with few items a cluster and too
    narrow with few clusters. NaN values (a measure not defined there) are left out; (nan, nan) when fewer than two
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
    _check_draws("bootstrap", draws)
    return mean_interval(flat, labels, level=level, draws=draws, seed=seed, chunk=_CHUNK)


def paired_interval(
    a: Values,
    b: Values,
    *,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int,
) -> tuple[float, float]:
    """Bootstrap interval of the mean of a - b, where a[i] and b[i] [n] were measured on the same episode.

    A pair with a NaN is left out; otherwise as `bootstrap`.

    Raises:
        UserError: unequal lengths, and as `bootstrap`.
    """
    first, second = numbers_of("paired_interval", a), numbers_of("paired_interval", b)
    if first.shape != second.shape:
        got = f"{len(first)} and {len(second)}"
        raise UserError("paired_interval", "a and b must be of the same episodes", got, "score both on one list")
    return bootstrap(first - second, clusters=clusters, level=level, draws=draws, seed=seed)


def t_interval(values: Values, *, level: float = 0.95) -> tuple[float, float]:
    """Student's interval (low, high) of the mean of `values` [n] without the NaN ones; (nan, nan) for fewer than two.

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


def null_floor(
    measure: Measure,
    x: Rows | Spectrum,
    y: Rows | Spectrum,
    *,
    draws: int = 20,
    seed: int,
    groups: int = 1,
    level: float = 0.95,
) -> tuple[float, float]:
    """What `measure(x, y)` gives when the samples of y are shuffled: (mean, the `level` quantile) over `draws`.

    x [R, F], y [R, G], or their spectra, which are then not computed again. `groups` is the number of rows of one
    image, which stay together and in order: with positions as rows it is H * W, or the floor comes out too low.

    Raises:
        UserError: R not a multiple of `groups`, or fewer than two images; `level` not in (0, 1); `draws` < 1.
    """
    sides("null_floor", x, y)
    arrays = np.ndarray | Spectrum | Tensor  # which a measure of the user's may know what to do with
    x, y = (
        side if isinstance(side, arrays) and not getattr(side, "is_sparse", False) else given("null_floor", "x", side)
        for side in (x, y)
    )
    rows, _, _ = same_rows("null_floor", x, y)
    if groups < 1 or rows % groups or rows == groups:
        got = f"R = {rows}, groups = {groups}"
        raise UserError(
            "null_floor", "R must be two or more images of `groups` rows", got, "groups is H * W of the maps"
        )
    check_level("null_floor", level)
    _check_draws("null_floor", draws)
    return _mean_and_high([measure(x, other) for other in shuffled(y, draws, seed=seed, groups=groups)], level)


def shuffled(y: Side, draws: int, *, seed: int, groups: int = 1) -> Iterator[Side]:
    """Yield y [R, G], or its spectrum, in `draws` other orders of its images; `groups` rows are those of one."""
    rng = _rng(seed, "null_floor")
    order = np.arange(y.shape[0]).reshape(-1, groups)
    for _ in range(draws):
        yield _take(y, rng.permutation(order).ravel())


def gaussian_floor(
    measure: Measure, rows: int, f: int, g: int, *, draws: int = 20, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """What `measure` gives on independent Gaussians: (mean, the `level` quantile) over `draws`.

    The inputs drawn are x [rows, f] and y [rows, g], of variance 1.

    Raises:
        UserError: `level` not in (0, 1); `draws` < 1; and what `measure` raises on the shape.
    """
    check_level("gaussian_floor", level)
    _check_draws("gaussian_floor", draws)
    rng = _rng(seed, "gaussian_floor")
    pairs = ((rng.standard_normal((rows, f)), rng.standard_normal((rows, g))) for _ in range(draws))
    return _mean_and_high([measure(x, y) for x, y in pairs], level)


def verdict(low: float, high: float, *, bound: float, side: str) -> str:
    """Whether the interval [low, high] is on the claimed `side` of `bound`: "holds", "fails" or "undecided".

    "above": holds from low >= bound on, fails if high < bound; "below" is its mirror image. NaN is undecided.

    Raises:
        UserError: unknown `side`.
    """
    if side == "above":
        holds, fails = low >= bound, high < bound
    elif side == "below":
        holds, fails = high <= bound, low > bound
    else:
        raise unknown("verdict", "side", side, ("above", "below"))
    if math.isnan(low) or math.isnan(high):
        return "undecided"
    return "holds" if holds else "fails" if fails else "undecided"


def _take(y: Side, index: npt.NDArray[np.intp]) -> Side:
    if isinstance(y, Spectrum):
        return y.take(torch.from_numpy(index).to(y.base.device))
    return y[torch.from_numpy(index).to(y.device)] if isinstance(y, Tensor) else y[index]


def _mean_and_high(found: list[float], level: float) -> tuple[float, float]:
    return float(np.mean(found)), float(np.quantile(found, level))


def numbers_of(where: str, values: Values) -> Floats:
    """The values [n] in float64, NaN among them, for a door called `where`.

    Raises:
        UserError: no real numbers, an infinite one.
    """
    found: Floats = own(where, "values", values).cpu().numpy().ravel()
    if np.isinf(found).any():
        raise UserError(where, "values must be finite, or NaN where there is none", "infinity", "leave it out")
    return found


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(key(seed, purpose) % 2**64)


def check_level(where: str, level: float) -> None:
    """Refuses a confidence level that is none."""
    if not 0 < level < 1:
        raise UserError(where, "level must be between 0 and 1", level, "0.95 is usual")


def _check_draws(where: str, draws: int) -> None:
    if draws < 1:
        raise UserError(where, "draws must be at least 1", draws, "2000 for intervals, 20 for floors")
