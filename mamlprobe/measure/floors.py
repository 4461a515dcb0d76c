"""What a measure gives by chance: on shuffled samples, and on independent Gaussians."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mamlprobe.base.arrays import given
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.keys import key
from mamlprobe.measure.spectrum import Rows, Spectrum, same_rows, sides
from mamlprobe.statistics.intervals import check_draws, check_level

Side = TypeVar("Side", Tensor | Spectrum, Rows | Spectrum)
Measure = Callable[[Any, Any], float]


@door()
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
    """Compute `measure(x, y)` with the samples of y shuffled: (mean, the `level` quantile) over `draws`.

    `seed` decides the shuffles. x [R, F], y [R, G], or their spectra, which are then not computed again. `groups` is
    the number of rows of one image, which stay together and in order: with positions as rows it is H * W, or the floor
    comes out too low.

    Raises:
        UserError: R not a multiple of `groups`, or fewer than two images; `level` not in (0, 1); `draws` < 1.

    Examples:
        >>> import numpy as np
        >>> from mamlprobe.measure import cca, null_floor
        >>> x, noise = np.random.default_rng(0).normal(size=(2, 50, 10))
        >>> y = x + 2 * noise
        >>> mean, high = null_floor(cca, x, y, seed=0)
        >>> round(cca(x, y), 2), round(mean, 2)  # of the two, and by chance
        (0.52, 0.38)
    """
    sides("null_floor", x, y)
    arrays = np.ndarray | Spectrum | Tensor  # passed as they are: the user's measure may take these types
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
    check_draws("null_floor", draws)
    return _mean_and_high([measure(x, other) for other in shuffled(y, draws, seed=seed, groups=groups)], level)


def shuffled(y: Side, draws: int, *, seed: int, groups: int = 1) -> Iterator[Side]:
    """Yield y [R, G], or its spectrum, with its images shuffled, `draws` times; one image is `groups` rows."""
    rng = _rng(seed, "null_floor")
    order = np.arange(y.shape[0]).reshape(-1, groups)
    for _ in range(draws):
        yield _take(y, rng.permutation(order).ravel())


@door()
def gaussian_floor(
    measure: Measure, rows: int, f: int, g: int, *, draws: int = 20, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Compute `measure` on independent Gaussians: (mean, the `level` quantile) over `draws`.

    The inputs drawn from `seed` are x [rows, f] and y [rows, g], of variance 1.

    Raises:
        UserError: `level` not in (0, 1); `draws` < 1; and what `measure` raises on the shape.

    Examples:
        >>> from mamlprobe.measure import cca, gaussian_floor
        >>> [round(gaussian_floor(cca, rows, 10, 10, seed=0)[0], 1) for rows in (20, 100, 1000)]
        [0.7, 0.3, 0.1]
    """
    check_level("gaussian_floor", level)
    check_draws("gaussian_floor", draws)
    rng = _rng(seed, "gaussian_floor")
    pairs = ((rng.standard_normal((rows, f)), rng.standard_normal((rows, g))) for _ in range(draws))
    return _mean_and_high([measure(x, y) for x, y in pairs], level)


def _take(y: Side, index: npt.NDArray[np.intp]) -> Side:
    if isinstance(y, Spectrum):
        return y.take(torch.from_numpy(index).to(y.base.device))
    return y[torch.from_numpy(index).to(y.device)] if isinstance(y, Tensor) else y[index]


def _mean_and_high(values: list[float], level: float) -> tuple[float, float]:
    return float(np.mean(values)), float(np.quantile(values, level))


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(key(seed, purpose) % 2**64)
