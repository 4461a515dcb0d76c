"""The README's table of results, written from the tables of the figures."""

import json
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.draw.text import interval, markdown
from mamlprobe.runs.writing import write

BEGIN, END = "<!-- results: written by python -m analyses --readme README.md -->", "<!-- /results -->"


def results(out: Path) -> str:
    """A Markdown table: script, the figure it answers, claim, published, ours with interval, verdict, seconds."""
    rows = []
    for path in sorted((out / "provenance").glob("*.json")):
        record = json.loads(path.read_text())
        seconds = record["provenance"]["seconds"]
        for row in record["claims"]:
            digits = 1 if row["unit"] in ("%", "points") else 3
            exact = row["unit"] in ("error", "relative error", "sine")
            low, high = (float("nan") if row[end] is None else float(row[end]) for end in ("low", "high"))
            ours = f"{row['ours']:.1e}" if exact else interval(row["ours"], low, high, digits=digits)
            rows.append(
                {
                    "script": f"[{path.stem}]({out.name}/{path.stem}.png)",
                    "paper": row["paper"],
                    "claim": f"{row['id']}: {row['claim']}",
                    "published": row["published"],
                    "ours": f"{ours} {row['unit']}",
                    "verdict": row["verdict"],
                    "time": f"{seconds:.0f} s",
                }
            )
    return markdown(pd.DataFrame(rows))


def update(readme: Path, out: Path) -> None:
    """Puts the table between the README's two marks.

    Raises:
        UserError: a README without the marks.
    """
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise UserError(
            str(readme), f"there must be the marks {BEGIN} and {END}", "none", "put them where the table goes"
        )
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    write(readme, f"{before}{BEGIN}\n{results(out).strip()}\n{END}{after}".encode())
