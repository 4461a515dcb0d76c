"""How far two dicts of tensors are apart."""

import math
from collections.abc import Mapping

from torch import Tensor


def relative_error(actual: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, part: bool = False) -> float:
    """Find the largest difference of two dicts of tensors, relative to the largest entry of `wanted`.

    `part`: `actual` has some of the names, and only they count. Infinite if the names differ otherwise, NaN if a
    difference is NaN; the absolute difference if everything wanted is zero.
    """
    if not (actual.keys() <= wanted.keys() if part else actual.keys() == wanted.keys()):
        return math.inf
    gaps = [float((value - wanted[name]).abs().max()) for name, value in actual.items()]
    gap = math.nan if any(map(math.isnan, gaps)) else max(gaps)
    largest = max(float(wanted[name].abs().max()) for name in actual)
    return gap / largest if largest else gap
