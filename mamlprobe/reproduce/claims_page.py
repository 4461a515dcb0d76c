"""One table of all claims: from a claim to its figure, table, script and paper in one click; needs no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mamlprobe.draw.page import HEAD, STYLE
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


_STYLE = """
body { max-width: 90rem; overflow-wrap: anywhere; }
.ask { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: 1rem 0; }
.ask input, .ask select { font: inherit; padding: .2rem .4rem; max-width: 100%; color: inherit;
  background: var(--card); border: 1px solid var(--rule); border-radius: 4px; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td:nth-child(3) { min-width: 16rem; } td:nth-child(4) { white-space: nowrap; }
td:nth-child(5), td:nth-child(6) { min-width: 9rem; } td a { margin-right: .5em; white-space: nowrap; }
@media (max-width: 45rem) { thead { display: none; } table, tbody, tr, td { display: block; }
  tr { padding: .5rem 0; border-bottom: 1px solid var(--rule); } tr[hidden] { display: none; }
  td:nth-child(5):not(:empty)::before { content: "published: "; }
  td { border: 0; padding: 0; white-space: normal !important; }
  td:nth-child(-n+2) { display: inline; margin-right: .5em; } }
"""

_SCRIPT = """
const table = document.querySelector("table"), body = table.tBodies[0], rows = [...body.rows];
const words = document.querySelector("#words"), verdict = document.querySelector("#verdict");
const paper = document.querySelector("#paper"), count = document.querySelector("#count");
function show() {
  const asked = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = asked.every(word => text.includes(word))
      && (!verdict.value || row.dataset.verdict === verdict.value)
      && (!paper.value || row.dataset.papers.split(";").includes(paper.value));
    row.hidden = !fits;
    shown += fits;
  }
  count.textContent = shown + " of " + rows.length + " claims";
}
function sort(head, place) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = row => row.cells[place].dataset.key;
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)], numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
    const sign = numbers ? x - y : x.localeCompare(y, undefined, { numeric: true });
    return down ? -sign : sign;
  };
  body.append(...rows.sort(order));
}
for (const each of [words, verdict, paper]) each.addEventListener("input", show);
[...table.tHead.rows[0].cells].forEach((head, place) => {
  const button = head.querySelector("button");
  if (button) button.addEventListener("click", () => sort(head, place));
});
document.querySelector(".ask").hidden = false;
show();
"""

_PAGE = """<header>
<h1>{{ title }}</h1>
<p>What the papers say, asked of our own runs. A claim holds or fails if its whole interval lies on one side of its
limit; otherwise it is undecided. <a href="{{ gallery }}">The figures</a></p>
</header>
<main>
<form class="ask" role="search" hidden>
<label>Words <input id="words" type="search" autocomplete="off"></label>
<label>Verdict <select id="verdict"><option value="">all</option>
{% for word in verdicts %}<option>{{ word }}</option>
{% endfor %}</select></label>
<label>Paper <select id="paper"><option value="">all</option>
{% for name in papers %}<option>{{ name }}</option>
{% endfor %}</select></label>
<output id="count" for="words verdict paper"></output>
</form>
<div class="scroll"><table>
<thead><tr>
{% for word in heads %}<th scope="col">{% if word %}<button type="button">{{ word }}</button>{% endif %}</th>
{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}<tr data-verdict="{{ row.verdict }}" data-papers="{{ row.papers }}">
<td data-key="{{ row.rank }}">{{ row.badge }}</td><td data-key="{{ row.id }}">{{ row.id }}</td>
<td data-key="{{ row.claim }}">{{ row.claim }}</td>
<td data-key="{{ row.number }}">{{ row.ours }}</td><td data-key="{{ row.published }}">{{ row.published }}</td>
<td data-key="{{ row.on }}">{{ row.on }}</td>
<td>{% for words, address in row.links %}<a href="{{ address }}">{{ words }}</a>
{% endfor %}</td></tr>
{% endfor %}</tbody></table></div>
</main>
<script>{{ script }}</script>
</body>
</html>
"""

_HEADS = ("verdict", "id", "claim", "ours [95 %]", "published", "measured on", "")


def claims_page(sources: Sequence[ClaimSource], *, title: str, gallery: str = "index.html") -> str:
    """Write a page with a row for each claim, fails and undecided first; without scripts it is that table alone.

    gallery: address of the page with the figures.
    """
    rows = [_row(claim, source, gallery) for source in sources for claim in source.claims.to_dict("records")]
    rows.sort(key=lambda row: row["rank"])
    papers = sorted({name for row in rows for name in row["papers"].split(";") if name})
    machine = Environment(autoescape=True, undefined=StrictUndefined)
    return machine.from_string(HEAD + _PAGE).render(
        title=title, gallery=gallery, rows=rows, papers=papers, heads=_HEADS, style=Markup(STYLE + _STYLE),
        verdicts=[word for word in ORDER if any(row["verdict"] == word for row in rows)], script=Markup(_SCRIPT),
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
