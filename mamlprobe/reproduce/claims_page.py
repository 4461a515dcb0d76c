"""One table of all claims: from a claim to its figure, table, script and paper in one click; needs no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from mamlprobe.draw.page import render
from mamlprobe.draw.table_text import MISSING, badge, cell, interval
from mamlprobe.reproduce.papers import PAPERS, papers_in

MINUS = "\N{MINUS SIGN}"

ORDER = ("fails", "undecided", "holds")
"""Verdicts, the first that a reader must see first."""


@dataclass(frozen=True, kw_only=True)
class ClaimSource:
    """The claims of one script, and where what they stand on lies from the page."""

    claims: pd.DataFrame
    figure: str
    """Name of its section in the gallery."""
    table: str
    script: str
    """Path of its text; empty if it lies nowhere near the page."""


_HEADS = ("verdict", "id", "claim", "ours [95 %]", "published", "measured on", "")


def claims_page(sources: Sequence[ClaimSource], *, title: str, gallery: str = "index.html") -> str:
    """Write a page with a row for each claim, fails and undecided first; without scripts it is that table alone.

    gallery: address of the page with the figures.
    """
    rows = [_row(claim, source, gallery) for source in sources for claim in source.claims.to_dict("records")]
    rows.sort(key=lambda row: row["rank"])
    papers = sorted({name for row in rows for name in row["papers"].split(";") if name})
    return render(
        "claims.html.j2", sheets=["page.css", "claims.css"], title=title, gallery=gallery, rows=rows, papers=papers,
        heads=_HEADS, verdicts=[word for word in ORDER if any(row["verdict"] == word for row in rows)],
    )  # fmt: skip


def _row(claim: dict[Any, Any], source: ClaimSource, gallery: str) -> dict[str, Any]:
    """Return what a row shows of a claim, and what it is sorted and filtered by."""
    verdict = claim["verdict"] if claim["verdict"] in ORDER else "undecided"
    named = papers_in(str(claim["paper"]))
    files = {"figure": f"{gallery}#{source.figure}", "table": source.table, "script": source.script}
    links = [(word, address) for word, address in files.items() if address]
    links += [(name, PAPERS[name].address) for name in named]
    facts = [claim["dataset"], claim["preset"], _count(claim["seeds"], "seeds"), _count(claim["tasks"], "tasks")]
    digits = 1 if claim["unit"] == "points" else 3
    stated = "" if claim["published"] in (None, "") else cell(claim["published"], digits).replace(MISSING, "")
    origin = f" ({claim['published_source']})" if stated and _said(claim["published_source"]) else ""
    ours = interval(float(claim["ours"]), _number(claim["low"]), _number(claim["high"]), digits).replace("-", MINUS)
    return {
        "verdict": verdict, "rank": ORDER.index(verdict), "badge": Markup(badge(str(claim["verdict"]))),
        "id": claim["id"], "claim": claim["claim"], "number": float(claim["ours"]),
        "ours": f"{ours} {claim['unit'] if _said(claim['unit']) else ''}".strip(),
        "published": stated.replace("-", MINUS) + origin,
        "on": ", ".join(str(fact) for fact in facts if _said(fact)), "papers": ";".join(named), "links": links,
    }  # fmt: skip


def _count(value: Any, word: str) -> str:
    """Write a number of seeds or tasks; nothing where there is none, or only text."""
    number = _number(value) if isinstance(value, int | float) else float("nan")
    return "" if number != number else f"{number:g} {word}"


def _said(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
