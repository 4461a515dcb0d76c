"""A figure or table of the papers as a value: where it stands, what it is trained on, how it is made and judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.statistics.verdict import verdict

if TYPE_CHECKING:
    from mamlprobe.reproduce.study import Study as Study
else:
    Study = Any  # which imports torch; drawing from a table needs none

Row = dict[str, object]
"""A row of the table of claims."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about one row of an analysis's table, with the bound that its whole interval must keep.

    Exactly one of `above` and `below` is given, in `unit`.

    Examples:
        >>> import pandas as pd
        >>> from mamlprobe.reproduce.analysis import Claim
        >>> rows = [{"variant": "nil", "value": 3.0, "low": 1.5, "high": 4.5}]
        >>> text, where = "NIL loses at most 2 points", {"variant": "nil"}
        >>> claim = Claim(id="R5", text=text, where=where, above=-2.0, unit="points")
        >>> claim.check(pd.DataFrame(rows))["verdict"]
        'holds'
    """

    id: str
    """A letter of the paper and a number."""
    text: str
    """The statement."""
    where: Mapping[str, object]
    """Columns and values that one row has, and no other."""
    above: float | None = None
    """The whole interval must lie above this."""
    below: float | None = None
    """The whole interval must lie below this."""
    unit: str
    """Of value, interval and bound: points are hundredths of accuracy."""
    published: float | str = ""
    """The paper's number, if it gives one."""
    source: str = ""
    """Where in the paper the published number stands."""

    def check(self, table: pd.DataFrame) -> Row:
        """Return the row of the table of claims.

        Raises:
            LookupError: not exactly one row has these values.
        """
        return self.of(only(table, **self.where))

    def of(self, row: "pd.Series[Any]") -> Row:
        """Return the same for a row that was looked up otherwise."""
        side = "above" if self.above is not None else "below"
        bound = self.above if self.above is not None else self.below
        if bound is None:
            raise ValueError(f"claim {self.id} has no bound")
        facts = {"unit": self.unit, "published": self.published, "source": self.source}
        return claim(self.id, self.text, row, side=side, bound=bound, **facts)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What a script in ``analyses/`` says of itself.

    Examples:
        >>> import pandas as pd
        >>> import mamlprobe as mp
        >>> from mamlprobe.reproduce.analysis import Analysis, Claim
        >>> rows = pd.DataFrame({"quantity": ["gain"], "value": [3.0], "low": [1.5], "high": [4.5]})
        >>> where = {"quantity": "gain"}
        >>> claim = Claim(id="X1", text="it gains", where=where, above=0.0, unit="points")
        >>> made = {"table": lambda study: rows, "figure": mp.draw, "claims": [claim]}
        >>> analysis = Analysis(paper="ours", title="A gain", order=1, **made)
        >>> [row["verdict"] for row in analysis.judged(rows)]
        ['holds']
    """

    paper: str
    """The publication, and the figure or table in it."""
    title: str
    """Of the figure, in the gallery."""
    order: int
    """Place in the gallery."""
    table: Callable[[Study], pd.DataFrame]
    """Computes the table from the study: its runs and test tasks."""
    figure: Callable[[pd.DataFrame], Figure]
    """Draws from the table as it stands in its file."""
    claims: Callable[[pd.DataFrame], Sequence[Row]] | Sequence[Claim] = ()
    """What is claimed of the table."""
    recipes: tuple[str, ...] = ()
    """Trainings that it stands on."""
    uncertainty: str = "Whiskers and bands are 95 % intervals over seeds and tasks."
    """What whiskers and bands are: a sentence for the caption and the text in place of the picture."""
    dataset: str | None = None
    """None takes the study's own."""
    core: bool = True
    """Part of ``make reproduce``."""
    quick_seeds: int | None = None
    """Models a training at the preset quick, where its claims need more than usual."""
    needs: tuple[str, ...] = ()
    """Scripts whose tables it reads: they are made before it."""
    last: bool = False
    """Runs when all others have ended, as one with needs does too."""
    missing: Callable[[Study], str] | None = None
    """Says why it cannot run; empty if it can."""

    def judged(self, table: pd.DataFrame) -> list[Row]:
        """Return the rows of the table of claims."""
        if callable(self.claims):
            return list(self.claims(table))
        return [each.check(table) for each in self.claims]


def only(table: pd.DataFrame, **where: object) -> "pd.Series[Any]":
    """Return the one row of the table with these values.

    Raises:
        LookupError: there is none, or more than one.
    """
    rows = picked(table, **where)
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows for {where}")
    return rows.iloc[0]


def picked(table: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows of the table with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def claim(
    name: str,
    text: str,
    row: "pd.Series[Any]",
    *,
    side: str,
    bound: float,
    unit: str,
    published: float | str = "",
    source: str = "",
) -> Row:
    """Return a claim from a row of `means`; it holds if the whole interval is on `side` of `bound`."""
    ends = ("value", "value") if row.get("interval", "") == "exact" else ("low", "high")
    low, high = (float(row[end]) for end in ends)
    return {
        "id": name,
        "claim": text,
        "published": published,
        "published_source": source,
        "ours": row["value"],
        "low": low,
        "high": high,
        "unit": unit,
        "seeds": row.get("seeds", 1),
        "tasks": row.get("tasks", ""),
        "verdict": verdict(low, high, bound=bound, side=side),
        "runs": row.get("run") or "made by the script itself",
    }
