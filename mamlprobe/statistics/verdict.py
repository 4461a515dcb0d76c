"""Whether an interval bears out a claim."""

import math

from mamlprobe.base.errors import unknown


def verdict(low: float, high: float, *, bound: float, side: str) -> str:
    """Tell whether the interval [low, high] is on the claimed `side` of `bound`: "holds", "fails" or "undecided".

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
