"""The pages over a folder of figures: all figures on one, all claims on another."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.borders.regular_files import read_file
from mamlprobe.draw.page import Section, page
from mamlprobe.reproduce.claims_page import ClaimSource, claims_page
from mamlprobe.reproduce.records import ADVICE, CLAIM_COLUMNS, read_record, read_rows, write_rows
from mamlprobe.reproduce.scripts import Script
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.writing import write

ROWS = 20
"""Rows of a table that the page shows."""
CLAIMS = "claims.html"
"""The table of all claims, beside the page of figures."""
NEAR = 3
"""Folders up that a script may lie from the page to be linked from it."""
PICTURE = 2**26
"""Bytes of a figure."""


def publish(stage: Study, scripts: Sequence[Script]) -> None:
    """Write claims.csv, claims.html and index.html from the records in the folder of figures."""
    sections, claims, sources = [], [], []
    for script in scripts:
        name = script.name
        path = stage.out / "provenance" / f"{name}.json"
        if not path.is_file():
            continue
        record = read_record(path)
        claims += record["claims"]
        facts = {word: value for word, value in record["provenance"].items() if word != "key"}
        claim_table = pd.DataFrame(record["claims"], columns=CLAIM_COLUMNS) if record["claims"] else None
        if claim_table is not None:
            place = _place(script, stage.out)
            sources.append(ClaimSource(claims=claim_table, figure=name, table=f"{name}.csv", script=place))
        table = read_rows(stage.out / f"{name}.csv")
        sections.append(
            Section(
                name=name,
                title=script.analysis.title,
                source=script.analysis.paper,
                about=script.about,
                alt=f"{script.alt} Data: {facts['dataset']}.",
                files=_files(stage.out, name),
                picture=read_file("reproduce", stage.out / f"{name}.png", most=PICTURE, advice=ADVICE),
                picture_file=f"{name}.png",
                table=table.drop(columns=[c for c in ("pixels",) if c in table]),
                claims=claim_table,
                provenance=facts,
            )
        )
    if not sections:
        raise UserError(
            "reproduce", "there must be a figure to publish", "none", "draw one first, without --from-table"
        )
    write_rows(pd.DataFrame(claims, columns=CLAIM_COLUMNS), stage.out / "claims.csv")
    intro = "Figures of the papers, made again, each with its table, its claims and where its numbers come from."
    if sources:
        write(stage.out / CLAIMS, claims_page(sources, title="mamlprobe: claims").encode())
    linked = CLAIMS if sources else ""
    text = page(sections, title="mamlprobe: the gallery", intro=intro, rows=ROWS, claims_page=linked)
    write(stage.out / "index.html", text.encode())


def _files(out: Path, name: str) -> dict[str, str]:
    """Return the files of a script that stand beside the page, by what they are."""
    names = {"CSV of all rows": f"{name}.csv", "PDF for print": f"{name}.pdf"}
    return {text: file for text, file in names.items() if (out / file).is_file()}


def _place(script: Script, out: Path) -> str:
    """Return the path of the script from the page, if it lies near; else an empty one."""
    path = os.path.relpath(script.module.__file__ or out, os.path.realpath(out)).replace(os.sep, "/")
    return path if path.count("../") <= NEAR else ""
