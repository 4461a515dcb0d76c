"""A report as files: CSV, LaTeX, Parquet, HTML."""

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pandas as pd

from mamlprobe.base.described import described
from mamlprobe.base.errors import UserError
from mamlprobe.draw.table_text import folded, html_table, is_numeric, latex
from mamlprobe.reports.report_page import report_page
from mamlprobe.reports.shown_tables import is_constant
from mamlprobe.runs.writing import write

ROWS = 20
"""Rows of a table that a notebook shows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """Tables by name, and the ways to write them."""

    __repr__ = described

    title: str
    """Names of the learners, or their number."""
    tables: dict[str, pd.DataFrame]
    """One row a learner and key; `SCHEMA` says what the columns are."""
    by_run: dict[str, pd.DataFrame] = field(default_factory=dict)
    """The tables of numbers with one row a run and key, and the column ``run``."""
    notes: tuple[tuple[str, str], ...] = ()
    """Name of a run and a line: what was assumed of it, and tasks of classes that it was trained on."""

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the page as HTML, which needs no other file; with a path write it there too.

        Raises:
            UserError: the path cannot be written to.
        """
        text = report_page(self.title, self.tables, self.notes)
        if path is not None:
            write(Path(path), text.encode())
        return text

    def to_csv(self, folder: str | Path) -> list[Path]:
        """Write every table to a CSV file in the folder, and return their paths; those by run end in ``-runs``.

        Raises:
            UserError: the folder cannot be written to.
        """
        return self._write(folder, ".csv", lambda table: table.to_csv(index=False, lineterminator="\n").encode())

    def to_latex(self, folder: str | Path) -> list[Path]:
        r"""Write every table with the rules of booktabs, and return the paths, to be taken in by ``\input``.

        Value and interval are one column; what is the same in all rows is said in a comment above.

        Raises:
            UserError: the folder cannot be written to.
        """
        return self._write(folder, ".tex", lambda table: latex_text(table).encode())

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """Write every table to a Parquet file in the folder, and return their paths.

        Raises:
            UserError: the package pyarrow is missing, or the folder cannot be written to.
        """
        need_parquet()
        return self._write(folder, ".parquet", _parquet)

    def _write(self, folder: str | Path, suffix: str, encode: Callable[[pd.DataFrame], bytes]) -> list[Path]:
        """Write tables, and those by run where learners have several."""
        several = len(self.tables["runs"]) > self.tables["runs"]["learner"].nunique()
        by_run = {f"{name}-runs": table for name, table in self.by_run.items()} if several else {}
        paths = []
        for name, table in (self.tables | by_run).items():
            paths.append(Path(folder) / f"{name}{suffix}")
            write(paths[-1], encode(table))
        return paths

    def _repr_html_(self) -> str:
        """Show the first rows of every table in a notebook."""
        parts = []
        for name, table in self.tables.items():
            size = f"{len(table)} rows" if len(table) <= ROWS else f"the first {ROWS} of {len(table)} rows"
            shown = f'<div style="overflow-x:auto">{html_table(table, rows=ROWS)}</div>' if len(table) else ""
            opened = " open" if name == "claims" and len(table) else ""
            parts.append(f"<details{opened}><summary>{html.escape(name)}: {size}</summary>{shown}</details>")
        return f"<div><p>Report on {html.escape(self.title)}</p>{''.join(parts)}</div>"


def need_parquet() -> None:
    """Refuse where Parquet files cannot be written.

    Raises:
        UserError: the package pyarrow is missing.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        advice = "pip install mamlprobe[parquet], or write csv"
        raise UserError("report", "Parquet files need the package pyarrow", "none", advice) from None


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def latex_text(table: pd.DataFrame) -> str:
    """Write a table of a report as a LaTeX tabular: value and interval in one column, constant columns in a comment."""
    if table.empty:
        return f"% no rows; columns: {', '.join(map(str, table.columns))}\n"
    value = next((name for name in ("value", "ours") if name in table and is_numeric(table[name])), None)
    if value is not None and {"low", "high"} <= set(table.columns):
        table = folded(table, value=value, digits=3)
    constant = [name for name in table if len(table) > 1 and is_constant(table[name])]
    heads = [f"% {name}: {' '.join(str(table[name].iloc[0]).split())}\n" for name in constant]
    return "".join(heads) + latex(table.drop(columns=constant))
