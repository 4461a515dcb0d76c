"""The table of results, from the claims of the figures: all rows on one page, the central rows in the README."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.draw.table_text import interval, markdown
from mamlprobe.reproduce.records import read_record
from mamlprobe.runs.writing import write

BEGIN, END = "<!-- results: written by python -m analyses --readme README.md -->", "<!-- /results -->"

CENTRAL = (
    "raghu_fig2_layers",
    "raghu_table1_freezing",
    "raghu_table2_anil_nil",
    "kao_fig4_test_zeroing",
    "kao_noisy",
    "collins_fig1_linear",
)
"""Scripts whose rows stand in the README, in its order."""

PAGE = Path("docs", "results", "index.md")
"""Page of all rows, from the README's folder."""

Claim = Mapping[str, Any]


def all_results(out: Path, figures: str) -> str:
    """Return the table with a row a script, and the claims that do not hold folded below, as markdown.

    `out` is the folder of the figures, `figures` the same folder as seen from the page that the text is for.
    """
    records = _records(out)
    others = [
        f"* **{row['verdict']}** {_link(name, figures)} {row['id']}: {row['claim']}; "
        f"published {row['published'] or 'none'}, ours {ours(row)}"
        for name, record in records.items()
        for row in record["claims"]
        if row["verdict"] != "holds"
    ]
    return _table(records, list(records), figures) + (_folded(others) if others else "")


def central_results(out: Path, figures: str) -> str:
    """Return the rows of the `CENTRAL` scripts, of those that have been made; arguments as for `all_results`."""
    records = _records(out)
    return _table(records, [name for name in CENTRAL if name in records], figures)


def _records(out: Path) -> dict[str, dict[str, Any]]:
    """Read claims and provenance of every script that claims something, by name."""
    records = {path.stem: read_record(path) for path in sorted((out / "provenance").glob("*.json"))}
    return {name: record for name, record in records.items() if record["claims"]}


def _link(name: str, figures: str) -> str:
    """Link a script's name to its figure."""
    return f"[{name}]({figures}/{name}.png)"


def _table(records: Mapping[str, Mapping[str, Any]], names: Sequence[str], figures: str) -> str:
    """Lay out a row a script: its first claim and the count of verdicts."""
    rows = []
    for name in names:
        claims: list[Claim] = records[name]["claims"]
        first, verdicts = claims[0], [row["verdict"] for row in claims]
        counts = [f"{verdicts.count(word)} {word}" for word in ("holds", "fails", "undecided") if word in verdicts]
        rows.append(
            {
                "script": _link(name, figures),
                "paper figure": first["paper"],
                "first claim": f"{first['id']}: {first['claim']}",
                "published": str(first["published"]),
                "ours": ours(first),
                "claims": ", ".join(counts),
                "time": f"{records[name]['provenance']['seconds']:.0f} s",
            }
        )
    return markdown(pd.DataFrame(rows)).strip() if rows else ""


def _folded(others: Sequence[str]) -> str:
    """Fold the list behind a line that opens it."""
    counts = [f"{sum(f'**{word}**' in line for line in others)} {word}" for word in ("fails", "undecided")]
    summary = f"Claims that do not hold at this preset ({', '.join(counts)})"
    return f"\n\n<details>\n<summary>{summary}</summary>\n\n" + "\n".join(others) + "\n\n</details>"


def ours(row: Claim) -> str:
    """Format the measured value with its interval and unit."""
    if row["unit"] in ("error", "relative error", "sine"):
        return f"{row['ours']:.1e} {row['unit']}"
    low, high = (float("nan") if row[end] is None else float(row[end]) for end in ("low", "high"))
    return f"{interval(row['ours'], low, high, digits=1 if row['unit'] in ('%', 'points') else 3)} {row['unit']}"


def marked_pages(readme: Path) -> tuple[Path, Path]:
    """Return the paths of the README and of the page of all rows, after checking that both have the marks for the rows.

    Raises:
        UserError: one of the two is not there, or has no marks.
    """
    pages = readme, readme.parent / PAGE
    for page in pages:
        text = page.read_text() if page.is_file() else ""
        if END not in text.partition(BEGIN)[2]:
            must, got = f"there must be the marks {BEGIN} and {END}", "none" if text else "no such file"
            raise UserError(str(page), must, got, "put them where the table goes")
    return pages


def update(readme: Path, out: Path) -> None:
    """Write the central rows between the README's marks, and all rows between those of `PAGE`.

    Raises:
        UserError: one of the two is not there, or has no marks; neither is written then.
    """
    for page, results in zip(marked_pages(readme), (central_results, all_results), strict=True):
        before, _, rest = page.read_text().partition(BEGIN)
        rows = results(out, Path(os.path.relpath(out, page.parent)).as_posix())
        write(page, f"{before}{BEGIN}\n{rows}\n{END}{rest.partition(END)[2]}".encode())
