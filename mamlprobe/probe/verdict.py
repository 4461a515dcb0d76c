"""Rows of a certificate, and the error that they bound."""

import math
from dataclasses import dataclass

from mamlprobe.nets.params import Params

PASSES, FAILS, NOT_AVAILABLE = "passes", "fails", "not available"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One check: what was looked at, what was found, what was allowed."""

    check: str
    what: str
    value: str = ""
    bound: str = ""
    verdict: str


def bounded(check: str, what: str, error: float, bound: float) -> Row:
    """The check that an error is within its bound; one that is not a number is not."""
    verdict = PASSES if error <= bound else FAILS
    return Row(check=check, what=what, value=f"{error:.1e}", bound=f"{bound:.0e}", verdict=verdict)


def relative_error(found: Params, wanted: Params, *, part: bool = False) -> float:
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
