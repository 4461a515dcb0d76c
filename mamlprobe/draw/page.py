"""One self-contained page of figures, each with its source, its table, its claims and where its numbers come from."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mamlprobe.base.errors import UserError
from mamlprobe.draw.table_text import VERDICTS, Digits, badge, html_table, latex
from mamlprobe.draw.table_text import claims as readable


@dataclass(frozen=True, kw_only=True)
class Section:
    """One figure of a page.

    `name` is its anchor and file stem; `source` the paper and figure it reproduces; `picture` the bytes of a PNG,
    `about` says in words what it shows, `alt` the same to those who do not see it; `files` maps names to files beside
    the page, such as the CSV of the table, which the page then does not hold; `provenance` holds versions, device,
    preset, seconds.
    """

    name: str
    title: str
    source: str = ""
    about: str = ""
    alt: str = ""
    picture: bytes | None = None
    picture_file: str = ""
    """Name of the file beside the page that has the picture; else the page holds it itself."""
    table: pd.DataFrame | None = None
    claims: pd.DataFrame | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    digits: Digits = 3
    files: Mapping[str, str] = field(default_factory=dict)


LATEX_ROWS = 60
"""A longer table has no LaTeX next to it."""

FACTS = 15
"""More facts than these below a section are folded."""


@cache
def _machine() -> Environment:
    """Return what renders the templates of this package, which escapes every value."""
    loader = PackageLoader("mamlprobe", "draw/templates")
    return Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True, loader=loader)


def render(template: str, **values: object) -> str:
    """Fill in the template of this name with the values, each escaped unless it is `Markup`."""
    return _machine().get_template(template).render(**values)


def _counts(tables: Iterable[pd.DataFrame | None]) -> dict[str, int]:
    """Count the claims of each verdict, in the order of `VERDICTS`; a verdict that is none of these is undecided."""
    verdicts = [
        str(word) if word in VERDICTS else "undecided"
        for table in tables
        if table is not None
        for word in table["verdict"]
    ]
    return {word: verdicts.count(word) for word in VERDICTS if word in verdicts}


def _claims(table: pd.DataFrame) -> pd.DataFrame:
    """Format the claims for a section: without the paper, which its source names, and no line break in an interval."""
    shown = readable(table).drop(columns="paper", errors="ignore")
    return shown.assign(ours=[text.replace(", ", ",\N{NO-BREAK SPACE}") for text in shown["ours"]])


def _address(section: Section) -> str:
    """Return what an image of the page loads: the file beside it, or the picture itself."""
    if section.picture is None:
        return ""
    return section.picture_file or f"data:image/png;base64,{base64.b64encode(section.picture).decode()}"


def _size(png: bytes) -> tuple[int, int]:
    """Read width and height of a PNG, which stand at its head, so that its place is free before it is loaded."""
    wide, high = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    return (wide, high) if png.startswith(b"\x89PNG") else (0, 0)


def page(
    sections: Iterable[Section],
    *,
    title: str,
    intro: str = "",
    provenance: Mapping[str, object] | None = None,
    rows: int = 200,
    claims_page: str = "",
) -> str:
    """Write an HTML page without scripts and fetches; tables end after `rows`.

    It needs no other file, but for pictures in files and for links to `Section.files`: each table has its rows as CSV,
    to be saved, if the section has no files, and if it is short its LaTeX (booktabs).

    claims_page: address of a page with all claims, if there is one.

    Blank lines in `intro` separate paragraphs. All texts are escaped.

    Raises:
        UserError: two sections have one name, or a claims table lacks a column.
    """
    sections = list(sections)
    names = [section.name for section in sections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError("draw.page", "every section must have a name of its own", ", ".join(twice), "rename one")
    shown = []
    for section in sections:
        table, size = section.table, 0 if section.table is None else len(section.table)
        cut = (
            f"the first {rows} of {size} rows of {section.name}.csv"
            if size > rows
            else f"{size} rows of {section.name}.csv"
        )
        claims = None if section.claims is None or section.claims.empty else section.claims
        shown.append({
            "name": section.name, "title": section.title, "source": section.source, "about": section.about,
            "alt": section.alt, "files": section.files,
            "picture": _address(section), "size": _size(section.picture or b""),
            "table": Markup(html_table(table, digits=section.digits, rows=rows)) if table is not None and size else "",
            "table_title": f"Table: {cut}",
            "csv": base64.b64encode(table.to_csv(index=False).encode()).decode()
            if table is not None and size and not section.files else "",
            "latex": latex(table, digits=section.digits) if table is not None and 0 < size <= LATEX_ROWS else "",
            "claims": "" if claims is None else Markup(html_table(_claims(claims))),
            "counts": _counts([claims]), "provenance": section.provenance,
        })  # fmt: skip
    return render(
        "page.html.j2", sheets=["page.css"], title=title, sections=shown,
        intro=[part for part in intro.split("\n\n") if part.strip()],
        provenance=provenance or {}, claims_page=claims_page, counts=_counts(section.claims for section in sections),
        badge=lambda word: Markup(badge(word)),
        facts=lambda named: Markup(render("facts.html.j2", facts=named, most=FACTS)),
    )  # fmt: skip
