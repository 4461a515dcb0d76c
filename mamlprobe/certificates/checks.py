"""Rows of a certificate, each a bound on an error."""

from dataclasses import dataclass

PASSES, FAILS, NOT_AVAILABLE = "passes", "fails", "not available"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One check: what was compared, the value, and the bound on it."""

    check: str
    what: str
    value: str = ""
    bound: str = ""
    verdict: str


def bounded(check: str, what: str, error: float, bound: float) -> Row:
    """Return the check that an error is within its bound; NaN is not."""
    verdict = PASSES if error <= bound else FAILS
    return Row(check=check, what=what, value=f"{error:.1e}", bound=f"{bound:.0e}", verdict=verdict)
