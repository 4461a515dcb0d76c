"""The README's table of results, written from the tables of the figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.draw.text import interval, markdown
from mamlprobe.runs.writing import write

BEGIN, END = "<!-- results: written by python -m analyses --readme README.md -->", "<!-- /results -->"


def results(out: Path) -> str:
    """Markdown: a row a script, its first claim and the count of verdicts; below, folded, what does not hold."""
    rows, others = [], []
    for path in sorted((out / "provenance").glob("*.json")):
        record = json.loads(path.read_text())
        if not record["claims"]:
            continue
        first, link = record["claims"][0], f"[{path.stem}]({out.name}/{path.stem}.png)"
        verdicts = [row["verdict"] for row in record["claims"]]
        counts = [f"{verdicts.count(word)} {word}" for word in ("holds", "fails", "undecided") if word in verdicts]
        rows.append(
            {
                "script": link,
                "paper figure": first["paper"],
                "first claim": f"{first['id']}: {first['claim']}",
                "published": str(first["published"]),
                "ours": ours(first),
                "claims": ", ".join(counts),
                "time": f"{record['provenance']['seconds']:.0f} s",
            }
        )
        for row in record["claims"]:
            if row["verdict"] != "holds":
                told = f"published {row['published'] or 'none'}, ours {ours(row)}"
                others.append(f"* **{row['verdict']}** {link} {row['id']}: {row['claim']}; {told}")
    return markdown(pd.DataFrame(rows)).strip() + (_folded(others) if others else "")


def _folded(others: list[str]) -> str:
    """The list behind a line that opens it."""
    counts = [f"{sum(f'**{word}**' in line for line in others)} {word}" for word in ("fails", "undecided")]
    summary = f"Claims that do not hold at this preset ({', '.join(counts)})"
    return f"\n\n<details>\n<summary>{summary}</summary>\n\n" + "\n".join(others) + "\n\n</details>"


def ours(row: Mapping[str, Any]) -> str:
    """The measured value with its interval and unit."""
    if row["unit"] in ("error", "relative error", "sine"):
        return f"{row['ours']:.1e} {row['unit']}"
    low, high = (float("nan") if row[end] is None else float(row[end]) for end in ("low", "high"))
    return f"{interval(row['ours'], low, high, digits=1 if row['unit'] in ('%', 'points') else 3)} {row['unit']}"


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
