"""How far two dicts of tensors are apart."""

import math
from collections.abc import Mapping

from torch import Tensor


def relative_error(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, part: bool = False) -> float:
    """Find the largest difference of two dicts of tensors, relative to the largest entry wanted.

    `part`: `found` holds some of the names, and they alone count. Infinite for other names than those wanted, NaN where
    a difference is; where all that is wanted is zero, the difference itself.
    """
    if not (found.keys() <= wanted.keys() if part else found.keys() == wanted.keys()):
        return math.inf
    gaps = [float((value - wanted[name]).abs().max()) for name, value in found.items()]
    gap = math.nan if any(map(math.isnan, gaps)) else max(gaps)
    largest = max(float(wanted[name].abs().max()) for name in found)
    return gap / largest if largest else gap
