"""One self-contained page of figures, each with its source, its table, its claims and where its numbers come from."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from jinja2 import Environment, StrictUndefined
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

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5d6470; --paper: #ffffff; --card: #f6f7f8;
  --rule: #dcdfe3; --link: #0b5cad; --good: #00694c; --good-back: #d8f0e6;
  --bad: #9c3c00; --bad-back: #fbe4d5; --open: #4d5561; --open-back: #e8eaed; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7e9; --soft: #a2a8b2; --paper: #15171a; --card: #1e2125;
  --rule: #363b42; --link: #7fb8f0; --good: #7ee0bd; --good-back: #0d3a2c;
  --bad: #ffb48a; --bad-back: #4a2410; --open: #c3c8d0; --open-back: #32373e; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .5rem; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 0; font-size: 1.2rem; line-height: 1.3; }
a { color: var(--link); }
nav ol { margin: 1rem 0; padding: 0; list-style: none; columns: 20rem; column-gap: 2rem; }
nav li { padding: .2rem 0; break-inside: avoid; }
section { margin-top: 2.5rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
.soft { margin: .15rem 0; color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; padding: 6px; }
figcaption { margin-top: .4rem; font-size: .9rem; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { white-space: nowrap; border-bottom-width: 2px; }
.claims td:nth-child(2) { min-width: 9rem; }
.n { text-align: right; }
pre { font-size: .8rem; }
details { margin: .5rem 0; background: var(--card); border-radius: 4px; padding: .4rem .8rem; }
summary { cursor: pointer; font-size: .9rem; }
.badge { display: inline-block; padding: 0 .5em; border-radius: 1em; font-size: .8rem; font-weight: 600;
  white-space: nowrap; }
.holds { color: var(--good); background: var(--good-back); }
.fails { color: var(--bad); background: var(--bad-back); }
.undecided { color: var(--open); background: var(--open-back); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .75rem 0 0;
  font-size: .85rem; color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } a { color: inherit; text-decoration: none; }
  section { break-inside: avoid-page; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  details { display: none; } }
"""

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
"""
"""How every page begins, with its `title` and `style`."""

_PAGE = """<header>
<h1>{{ title }}</h1>
{% for line in intro %}<p>{{ line }}</p>
{% endfor %}{% if counts %}<p>Claims:
{% for word, count in counts.items() %}{{ badge(word) }} {{ count }} {% endfor %}
{% if claims_page %}<a href="{{ claims_page }}">all claims in one table</a>{% endif %}</p>
{% endif %}{{ facts(provenance) }}
</header>
<nav aria-label="Figures">
<ol>
{% for s in sections %}<li><a href="#{{ s.name }}">{{ s.title }}</a>
{% for word, count in s.counts.items() %} {{ badge(word) }}{% if count > 1 %} {{ count }}{% endif %}{% endfor %}</li>
{% endfor %}</ol>
</nav>
<main>
{% for s in sections %}<section id="{{ s.name }}">
<h2>{{ s.title }}</h2>
{% if s.source %}<p class="soft">{{ s.source }}</p>
{% endif %}{% if s.picture %}<figure>
<img src="{{ s.picture }}" width="{{ s.size[0] }}" height="{{ s.size[1] }}" loading="lazy" decoding="async"
alt="{{ s.alt or s.about or s.title }}">
{% if s.about %}<figcaption>{{ s.about }}</figcaption>
{% endif %}</figure>
{% elif s.about %}<p>{{ s.about }}</p>
{% endif %}{% if s.claims %}<div class="scroll claims">{{ s.claims }}</div>
{% endif %}{% if s.table %}<details><summary>{{ s.table_title }}</summary>
{% if s.csv %}<p class="soft"><a download="{{ s.name }}.csv"
href="data:text/csv;base64,{{ s.csv }}">CSV of all rows</a></p>
{% endif %}<div class="scroll">{{ s.table }}</div>
{% if s.latex %}<details><summary>LaTeX</summary><pre class="scroll">{{ s.latex }}</pre></details>
{% endif %}</details>
{% endif %}{% if s.files %}<p class="soft">{% for words, file in s.files.items() %}<a href="{{ file }}">{{ words }}</a>
{% endfor %}</p>
{% endif %}{{ facts(s.provenance) }}
</section>
{% endfor %}</main>
</body>
</html>
"""

_FACTS = """{% if facts %}{% if facts|length > most %}<details><summary>{{ facts|length }} facts</summary>
{%- endif %}<dl>
{% for name, fact in facts.items() %}<dt>{{ name }}</dt><dd>{{ fact }}</dd>
{% endfor %}</dl>{% if facts|length > most %}</details>{% endif %}{% endif %}"""

FACTS = 15
"""More facts than these below a section are folded."""


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
    machine = Environment(autoescape=True, undefined=StrictUndefined)
    facts = machine.from_string(_FACTS)
    return machine.from_string(HEAD + _PAGE).render(
        title=title, intro=[part for part in intro.split("\n\n") if part.strip()], sections=shown, style=Markup(STYLE),
        provenance=provenance or {}, claims_page=claims_page, counts=_counts(section.claims for section in sections),
        badge=lambda word: Markup(badge(word)), facts=lambda facts_of: Markup(facts.render(facts=facts_of, most=FACTS)),
    )  # fmt: skip
