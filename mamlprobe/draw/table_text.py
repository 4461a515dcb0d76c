"""Tables: checks that a figure makes before it draws, and tables as text."""

import html
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from mamlprobe.base.errors import UserError

MISSING = "–"
VERDICTS = {"holds": "✓", "fails": "✗", "undecided": "?"}
"""The verdicts on a claim and the signs that stand for them without colour."""

Digits = int | Mapping[str, int]


def need(where: str, table: pd.DataFrame, columns: Sequence[str | None], *, numbers: Sequence[str] = ()) -> None:
    """Require of a table what a figure needs: some rows, these columns (None is skipped), and numbers in `numbers`.

    Raises:
        UserError: naming the column that is missing and those present, or the column that holds no numbers.
    """
    for column in columns:
        if column is not None and column not in table.columns:
            existing = ", ".join(map(str, table.columns)) or "none"
            raise UserError(
                where, f"the table must have the column '{column}'", existing, "rename one, or name the column to use"
            )
    if len(table) == 0:
        raise UserError(where, "the table must have a row", "none", "look at the filter or the run that made it")
    for column in numbers:
        if not is_numeric(table[column]):
            raise UserError(where, f"the column '{column}' must hold numbers", str(table[column].dtype), "convert it")


def single(where: str, table: pd.DataFrame, keys: Sequence[str | None]) -> None:
    """Require one row for each combination of `keys`: a figure takes no means.

    Raises:
        UserError: naming the first combination that has several rows.
    """
    names = [key for key in keys if key is not None]
    twice = table.duplicated(names, keep=False)
    if twice.any():
        row = table.loc[twice, names].iloc[0]
        these = int((table[names] == row).all(axis=1).sum())
        at = ", ".join(f"{name}={row[name]}" for name in names)
        raise UserError(where, f"the table must have one row for {at}", these, "aggregate it, or filter it")


def is_numeric(column: pd.Series) -> bool:
    """Tell whether the column holds numbers (booleans and categories are none)."""
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def levels(column: pd.Series) -> list[Hashable]:
    """List a column's distinct values: numbers ascending, categories in their order, others by first appearance."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories)
    distinct = list(pd.unique(column.dropna()))
    return sorted(distinct) if is_numeric(column) else distinct


def pinned(table: pd.DataFrame, columns: Sequence[str | None]) -> pd.DataFrame:
    """Make these columns categories, so that each part of the table keeps the order of the whole."""
    kinds = {name: pd.CategoricalDtype(levels(table[name])) for name in columns if name is not None}
    return table.astype(kinds)


def rows_of(table: pd.DataFrame, column: str | None, key: Hashable) -> pd.DataFrame:
    """Return the rows whose `column` is `key`; all rows if `column` is None."""
    return table if column is None else table[table[column] == key]


def present(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Drop the categories of `column` that no row has."""
    if isinstance(table[column].dtype, pd.CategoricalDtype):
        return table.assign(**{column: table[column].cat.remove_unused_categories()})
    return table


def cell(value: Any, digits: int = 3) -> str:
    """Format one entry as text: `digits` decimals for a fraction, a dash if it is missing."""
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and np.isnan(value))
    ):
        return MISSING
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return str(value)


def interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """Format a value with its interval, ``93.7 [92.9, 94.4]``; without brackets if the interval is missing."""
    if np.isnan(value) or np.isnan(low) or np.isnan(high):
        return cell(float(value), digits)
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def folded(
    table: pd.DataFrame, *, value: str = "value", low: str = "low", high: str = "high", digits: int = 1
) -> pd.DataFrame:
    """Fold value, low and high into one column of text, in the place of the value.

    Raises:
        UserError: one of the three is missing, or the table is empty.
    """
    need("draw.folded", table, [value, low, high], numbers=[value, low, high])
    triples = zip(table[value], table[low], table[high], strict=True)
    texts = [interval(v, a, b, digits) for v, a, b in triples]
    return table.assign(**{value: texts}).drop(columns=[low, high])


def _cells(table: pd.DataFrame, digits: Digits) -> list[list[str]]:
    def places(column: str) -> int:
        return digits if isinstance(digits, int) else digits.get(column, 3)

    columns = [[cell(entry, places(str(name))) for entry in table[name].tolist()] for name in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def markdown(table: pd.DataFrame, *, digits: Digits = 3) -> str:
    """Write the table as GitHub markdown, numbers to the right; `digits` for all fractions or by column."""
    heads = [str(name) for name in table.columns]
    rule = ["---:" if is_numeric(table[name]) else ":---" for name in table.columns]
    rows = [heads, rule, *_cells(table, digits)]
    escaped = [[text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ") for text in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in escaped) + "\n"


def html_table(table: pd.DataFrame, *, digits: Digits = 3, rows: int | None = None) -> str:
    """Write the table in HTML, every text escaped; only its first `rows`, if given. A verdict becomes a badge."""
    kinds = ["n" if is_numeric(table[name]) else "t" for name in table.columns]
    heads = "".join(f'<th class="{k}">{html.escape(str(n))}</th>' for k, n in zip(kinds, table.columns, strict=True))
    lines = []
    for row in _cells(table if rows is None else table.head(rows), digits):
        entries = [badge(t) if n == "verdict" else html.escape(t) for t, n in zip(row, table.columns, strict=True)]
        lines.append(
            "<tr>" + "".join(f'<td class="{k}">{t}</td>' for k, t in zip(kinds, entries, strict=True)) + "</tr>"
        )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def latex(table: pd.DataFrame, *, digits: Digits = 3) -> str:
    """Write the table as a LaTeX tabular with the rules of booktabs, every text escaped, numbers to the right."""
    kinds = "".join("r" if is_numeric(table[name]) else "l" for name in table.columns)
    texts = pd.DataFrame(_cells(table, digits), columns=[str(name) for name in table.columns])
    return str(texts.to_latex(index=False, escape=True, column_format=kinds))


def badge(verdict: str) -> str:
    """Write a verdict as an HTML badge: a sign and the word, so that colour is not needed."""
    word = verdict.split()[-1] if verdict.split() else "undecided"
    known = word if word in VERDICTS else "undecided"
    return f'<span class="badge {known}">{VERDICTS[known]} {html.escape(word)}</span>'


def claims(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Format the claims table for readers: claim, published, ours with its interval, verdict with its sign.

    Raises:
        UserError: a column of these is missing.
    """
    need("draw.claims", table, ["id", "claim", "published", "ours", "low", "high", "verdict"])
    lead = [name for name in ("id", "paper", "claim") if name in table.columns]
    triples = zip(table["ours"], table["low"], table["high"], strict=True)
    return table[lead].assign(
        published=[cell(entry, digits) for entry in table["published"]],
        ours=[interval(float(v), float(a), float(b), digits) for v, a, b in triples],
        verdict=[f"{VERDICTS.get(str(word), '?')} {word}" for word in table["verdict"]],
    )
