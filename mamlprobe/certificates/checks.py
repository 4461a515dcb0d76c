"""Rows of a certificate, and the error that they bound."""

from dataclasses import dataclass

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
